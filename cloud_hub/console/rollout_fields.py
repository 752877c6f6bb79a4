"""The fields of the form that starts a rollout, section by section, each with its words.

A field is named after its place in the policy ("rate.devices_per_minute"). Those of the gates are found in the policy
itself.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import BaseModel

from cloud_hub.rollouts.policy import Gates

Kind = Literal["text", "number", "choice", "check", "waves", "days", "selector"]


@dataclass(frozen=True)
class Field:
    """One field. `choices` are values with their words; an empty text stands for `standard`, or for nothing."""

    name: str
    label: str
    help: str = ""
    kind: Kind = "number"
    unit: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    standard: str = ""


@dataclass(frozen=True)
class Section:
    """Fields that belong together. What is `optional` is folded away until something is typed in it."""

    title: str
    help: str
    fields: tuple[Field, ...]
    optional: bool = False


def shown(value: Any) -> str:
    match value:
        case None | False:
            return ""
        case True:
            return "on"
        case float():
            return f"{value:g}"
        case tuple() | list():
            return ", ".join(_wave_text(one) if isinstance(one, Mapping) else str(one) for one in value)
        case _:
            return str(value)


def _wave_text(wave: Mapping[str, Any]) -> str:
    return f"{wave['percent']:g} %" if wave["percent"] is not None else str(wave["devices"])


def _gates() -> Iterator[Field]:
    for gate, info in Gates.model_fields.items():
        kind = next((one for one in (*get_args(info.annotation), info.annotation) if _is_part(one)), None)
        if kind is None:
            yield Field(f"gates.{gate}", _words(gate), standard=shown(info.default))
            continue
        said = " ".join((kind.__doc__ or "").split()).replace("`", "")
        for number, (name, of) in enumerate(kind.model_fields.items()):
            text = said if number == 0 else ""
            yield Field(f"gates.{gate}.{name}", f"{_words(gate)}, {_words(name)}", text, standard=shown(of.default))


def _is_part(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _words(name: str) -> str:
    return name.replace("_", " ")


SECTIONS = (
    Section(
        "Whom",
        "Of the devices that the selector means, those with a hardware target that the version is built for.",
        (
            Field("selector", "Selector", "Empty: every device. For example site = lyon and not line = 2.", "selector"),
            Field(
                "lab",
                "Lab",
                "A selector too. When given, a first wave of exactly these devices comes before all others.",
                "selector",
            ),
        ),
    ),
    Section(
        "In which waves",
        "Each wave goes on where the last one ended, and opens only when the one before has shown that it is good.",
        (
            Field(
                "waves",
                "Waves",
                "How many devices have it once each wave is open: percentages (5 %) or numbers of devices (3). Rounded "
                "up, with one device of each hardware target at the least.",
                "waves",
            ),
            Field(
                "approval.waves",
                "Approval",
                "Which waves open only after a person approved them.",
                "choice",
                choices=(("none", "none"), ("after-first", "all after the first"), ("all", "all")),
            ),
            Field("approval.second_person", "By another person than who starts it", "", "check"),
        ),
    ),
    Section(
        "What a wave must show",
        "The next wave opens when all of this holds and every gate is passed. No evidence is no good evidence.",
        (
            Field("success_percent", "Run it", "Of the devices that were heard from.", unit="%"),
            Field("heard_percent", "Heard from", "Of the devices of the wave: silence is no good news.", unit="%"),
            Field("minimum_devices", "Run it, at least", "However few the wave has.", unit="devices"),
            Field("minimum_records", "Records, at least", "That came in while the wave was open.", unit="records"),
            Field("soak_seconds", "Soak", "How long half of the devices must have run it.", unit="s"),
        ),
    ),
    Section(
        "When it stops",
        "It stops by itself when a gate proves harm, or when too many devices fail.",
        (
            Field("stop_failed_percent", "Failed, more than", "Of the devices heard from.", unit="%"),
            Field("stop_failed_after", "Only after", "So many are done with it, well or badly.", unit="devices"),
            Field(
                "on_stop",
                "Then",
                "Each device is ordered back to what it ran; or what is out stays, and a person decides.",
                "choice",
                choices=(("revert", "take it back"), ("pause", "stay and wait")),
            ),
        ),
    ),
    Section(
        "How fast, and when",
        "Left empty: as fast as it goes, at any time.",
        (
            Field("rate.devices_per_minute", "Rate", "At most so many are offered it in a minute.", unit="devices/min"),
            Field("rate.growth_factor", "Rate grows by", "Each time that a minute's worth succeeded.", unit="×"),
            Field(
                "rate.until_proven", "Rate only until proven", "While every gate is passed it holds nobody.", "check"
            ),
            Field("rate.jitter_seconds", "Jitter", "Each device waits up to so long of its own.", unit="s"),
            Field("max_in_flight", "At once", "At most so many are between their order and their end.", unit="devices"),
            Field("group.label", "Group by label", "Devices with the same value are one group: an HA pair.", "text"),
            Field("group.max_in_flight", "At once in a group", "", unit="devices"),
            Field("window.days", "Days", "mon, tue … sun, in the device's own time. Empty: every day.", "days"),
            Field("window.start", "From", "HH:MM. Devices fetch and prove at any time, and switch only then.", "text"),
            Field("window.end", "To", "HH:MM; before the start, it is on the next day.", "text"),
            Field("deadline_seconds", "Deadline", "A device that is not done by then counts as failed.", unit="s"),
            Field("retries", "Retries", "So often a device that rejected it is asked to try again.", unit="times"),
        ),
        optional=True,
    ),
    Section(
        "Gates",
        "By how much it may be worse than what runs beside it. A gate whose fields are all empty is not judged.",
        tuple(_gates()),
        optional=True,
    ),
)
FIELDS: Mapping[str, Field] = {field.name: field for section in SECTIONS for field in section.fields}
