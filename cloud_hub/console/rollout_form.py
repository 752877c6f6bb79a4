"""What a person types to start a rollout, and what it asks for: texts in, a rollout or faults out. Pure.

What the policy refuses is a fault at the field that says it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from cloud_hub.console.rollout_fields import FIELDS, Field, shown
from cloud_hub.devices.selector_text import SelectorWrong
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.views import RolloutIn

_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", re.ASCII)
_WAVE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(%|devices?)?", re.ASCII)

_ORDER = {name: place for place, name in enumerate(FIELDS)}


@dataclass(frozen=True)
class Fault:
    """What is wrong with a field, and what to do; `column`, from 1, is where in its text, if that is known."""

    what: str
    remedy: str = ""
    column: int | None = None


def at_first() -> dict[str, str]:
    """What the fields hold before anything is typed: the policy's own defaults."""
    standard = Policy().model_dump()
    return {name: shown(_find(standard, name.split("."))) for name in FIELDS}


def asked(model: str, version: int, slot: str, salt: str, typed: Mapping[str, str]) -> RolloutIn | dict[str, Fault]:
    """The rollout that `typed` asks for, or what is wrong, by the name of the field."""
    faults: dict[str, Fault] = {}
    policy: dict[str, Any] = {}
    for name, field in FIELDS.items():
        text = typed.get(name, "")
        if text.strip():
            # Of a selector each column counts: where it is wrong is told by it.
            found = _read(field, text if field.kind == "selector" else text.strip())
            if isinstance(found, Fault):
                faults[name] = found
            else:
                _put(policy, name.split("."), found)
        elif name.startswith("gates.") and name.count(".") > 1:
            _put(policy, name.split("."), None)
    gates = policy.get("gates", {})
    policy["gates"] = {name: gate if _says_something(gate) else None for name, gate in gates.items()}
    try:
        wanted = RolloutIn.model_validate(
            {"model": model, "version": version, "slot": slot, "salt": salt, "policy": policy}
        )
    except ValidationError as error:
        for one in error.errors():
            faults.setdefault(_field_of(one["loc"]), _fault(one))
        return dict(sorted(faults.items(), key=lambda named: _ORDER.get(named[0], -1)))
    return faults or wanted


def _read(field: Field, text: str) -> Any:
    match field.kind:
        case "number":
            if not _NUMBER.fullmatch(text):
                return Fault(f"{text!r} is no number.", "Write it like 12 or 0.5.")
            return float(text) if "." in text else int(text)
        case "check":
            return True
        case "days":
            return [day.lower() for day in re.split(r"[,\s]+", text) if day]
        case "waves":
            return _waves(text)
        case _:
            return text


def _waves(text: str) -> list[dict[str, float]] | Fault:
    waves: list[dict[str, float]] = []
    for number, part in enumerate(text.split(","), 1):
        found = _WAVE.fullmatch(part.strip())
        if found is None or (found[2] != "%" and "." in found[1]):
            return Fault(
                f"Wave {number}, {part.strip()!r}, is neither a percentage nor a number of devices.",
                "Write waves like 1 %, 5 %, 25 %, 100 % or 1, 10, 100 %.",
            )
        waves.append({"percent": float(found[1])} if found[2] == "%" else {"devices": int(found[1])})
    return waves


def _says_something(gate: Any) -> bool:
    return any(value is not None for value in gate.values()) if isinstance(gate, dict) else True


def _find(policy: Any, path: list[str]) -> Any:
    for name in path:
        if policy is None:
            return None
        policy = policy[name]
    return policy


def _put(policy: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        policy = policy.setdefault(name, {})
    policy[path[-1]] = value


def _field_of(place: tuple[int | str, ...]) -> str:
    """The field that shows what is wrong at `place` in a `RolloutIn`."""
    names = [str(one) for one in place[1:]] if place[:1] == ("policy",) else [str(one) for one in place]
    for end in range(len(names), 0, -1):
        name = ".".join(names[:end])
        found = name if name in FIELDS else next((one for one in FIELDS if one.startswith(f"{name}.")), None)
        if found is not None:
            return found
    # What holds between the fields of a policy is a matter of its waves.
    return "waves" if place == ("policy",) else names[0]


def _fault(error: ErrorDetails) -> Fault:
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, SelectorWrong):
        return Fault(cause.what, cause.remedy, cause.column)
    what = error["msg"].removeprefix("Value error, ").replace("Input should", "It should")
    return Fault("It is needed here." if error["type"] == "missing" else f"{what[:1].upper()}{what[1:].rstrip('.')}.")
