"""What a person types to pin devices, and what it asks for: texts in, a pin or faults out. Pure."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from pydantic import ValidationError

from cloud_hub.console.rollout_form import Fault
from cloud_hub.devices.selector_text import SelectorWrong
from cloud_hub.rollouts.views import PinIn

FIELDS = ("device", "selector", "model", "version", "days", "reason")
DEFAULTS = {"days": "7"}
MAX_DAYS = 3_650
_DAYS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?", re.ASCII)
_VERSION = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)


def asked(typed: Mapping[str, str], now: datetime) -> PinIn | dict[str, Fault]:
    """The pin that `typed` asks for, or what is wrong, by the name of the field."""
    # Of a selector each column counts: where it is wrong is told by it.
    given = {name: typed.get(name, "") if name == "selector" else typed.get(name, "").strip() for name in FIELDS}
    faults: dict[str, Fault] = {}
    device, selector = given["device"], given["selector"]
    if not device and not selector.strip():
        faults["device"] = Fault("A pin is for a device, or for those that a selector means.", "Give one of the two.")
    if device and selector.strip():
        faults["device"] = Fault("A pin is for a device or for a selector, not for both.", "Take one of the two away.")
    if given["version"] and not _VERSION.fullmatch(given["version"]):
        faults["version"] = Fault(f"{given['version']!r} is no version.", "Write its number, like 3.")
    elif given["version"] and not given["model"]:
        faults["version"] = Fault("A version is one of a model.", "Choose the model, or leave the version out.")
    if not _DAYS.fullmatch(given["days"]) or not 0 < float(given["days"]) <= MAX_DAYS:
        faults["days"] = Fault(f"{given['days']!r} is no number of days.", f"Write one from 0.01 to {MAX_DAYS:,}.")
    if not given["reason"]:
        faults["reason"] = Fault("Whoever finds it pinned asks why.", "Write a reason.")
    if faults:
        return faults
    try:
        return PinIn(
            device=device or None,
            selector=selector if selector.strip() else None,
            model=given["model"] or None,
            version=int(given["version"]) if given["version"] else None,
            reason=given["reason"],
            until=now + timedelta(days=float(given["days"])),
        )
    except ValidationError as error:
        return {str(one["loc"][0]) if one["loc"] else "device": _fault(one) for one in error.errors()}


def _fault(error: Mapping[str, object]) -> Fault:
    context = error.get("ctx")
    cause = context.get("error") if isinstance(context, Mapping) else None
    if isinstance(cause, SelectorWrong):
        return Fault(cause.what, cause.remedy, cause.column)
    what = str(error["msg"]).removeprefix("Value error, ")
    return Fault(f"{what[:1].upper()}{what[1:].rstrip('.')}.")
