"""What a person types to have a device join, and what it asks for: texts in, a token's order or faults out. Pure."""

import re
from collections.abc import Mapping

from cloud_hub.access.views import TokenOrder
from cloud_hub.console.rollout_form import Fault
from cloud_hub.devices.labels import parse_labels
from cloud_hub.errors import Invalid
from fleet_contract.errors import ContractError
from fleet_contract.topics import check_id

FIELDS = ("device", "labels", "target", "hours")
DEFAULTS = {"hours": "24"}
MAX_HOURS = 720
_HOURS = re.compile(r"[0-9]{1,4}(\.[0-9]{1,3})?", re.ASCII)
_LEAST_SECONDS = 10


def asked(typed: Mapping[str, str]) -> TokenOrder | dict[str, Fault]:
    """The token that `typed` asks for, or what is wrong, by the name of the field."""
    given = {name: typed.get(name, "").strip() for name in FIELDS}
    faults: dict[str, Fault] = {}
    for name, what in (("device", "device id"), ("target", "hardware target")):
        try:
            check_id(given[name] or "any", what)
        except ContractError as error:
            faults[name] = Fault(error.what, error.remedy)
    labels: dict[str, str] = {}
    try:
        labels = parse_labels([line.strip() for line in re.split("\r\n|[\r\n]", given["labels"]) if line.strip()])
    except Invalid as error:
        faults["labels"] = Fault(error.what, error.remedy)
    hours = float(given["hours"]) if _HOURS.fullmatch(given["hours"]) else 0.0
    if not 0 < hours <= MAX_HOURS:
        faults["hours"] = Fault(f"{given['hours']!r} is no number of hours.", f"Write one from 0.01 to {MAX_HOURS}.")
    if faults:
        return faults
    return TokenOrder(
        device=given["device"] or None,
        labels=labels,
        target=given["target"] or None,
        expires_in_seconds=max(_LEAST_SECONDS, round(hours * 3600)),
    )
