"""The parts of a policy that have parts themselves, from what a person writes on a command line."""

import re
from collections.abc import Mapping
from typing import Any

from fleet_client.errors import PolicyWrong

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(r"(?:(?P<days>[a-z,-]+)\s+)?(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)")


def parts_of(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields `rate`, `group`, `approval` and `window` that `given` changes in `base`. Raises `PolicyWrong`.

    {"per_minute": 10.0, "growth": 2.0, "until_proven": True, "jitter": 30.0, "group": "pair=1", "approval": "all",
    "second_person": True, "window": "mon-fri 22:00-04:00"}; what is None or False is not given.
    """
    rate = _over(
        base.get("rate"),
        devices_per_minute=given.get("per_minute"),
        growth_factor=given.get("growth"),
        jitter_seconds=given.get("jitter"),
        until_proven=given.get("until_proven") or None,
    )
    approval = _over(
        base.get("approval"), waves=given.get("approval"), second_person=given.get("second_person") or None
    )
    if approval is not None and given.get("second_person") and "waves" not in approval:
        approval["waves"] = "all"
    if rate is not None and "devices_per_minute" not in rate:
        raise PolicyWrong("A growth, a jitter or an end goes with a rate.", "Say --per-minute N, too.")
    parts = {
        "rate": rate,
        "approval": approval,
        "group": _group(given["group"]) if given.get("group") else None,
        "window": window_of(given["window"]) if given.get("window") else None,
    }
    return {name: part for name, part in parts.items() if part is not None}


def window_of(text: str) -> dict[str, Any]:
    """A maintenance window from "22:00-04:00", "sat,sun 02:00-06:00" or "mon-fri 22:00-04:00". Raises `PolicyWrong`."""
    found = _WINDOW.fullmatch(text.strip().lower())
    days = _days(found["days"]) if found is not None and found["days"] else []
    if found is None or days is None:
        raise PolicyWrong(f"{text!r} is no maintenance window.", "Write it as 'mon-fri 22:00-04:00' or '02:00-06:00'.")
    window: dict[str, Any] = {"start": found["start"], "end": found["end"]}
    return {"days": days, **window} if days else window


def _days(text: str) -> list[str] | None:
    found: list[str] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first not in _DAYS or (dash and last not in _DAYS):
            return None
        start = _DAYS.index(first)
        length = (_DAYS.index(last) - start) % 7 + 1 if dash else 1
        # From Friday to Monday goes over the end of the week.
        found += [_DAYS[(start + number) % 7] for number in range(length)]
    return found


def _group(text: str) -> dict[str, Any]:
    label, equals, most = text.partition("=")
    if not label or (equals and not (most.isdecimal() and int(most) > 0)):
        raise PolicyWrong(f"{text!r} is no group.", "Write the key of a label, or LABEL=N for N at once.")
    return {"label": label, "max_in_flight": int(most)} if equals else {"label": label}


def _over(base: Mapping[str, Any] | None, **given: Any) -> dict[str, Any] | None:
    said = {name: value for name, value in given.items() if value is not None}
    return {**(base or {}), **said} if said else None
