"""What of a report is worth remembering: the events between what was known of a device and what it says now.

No I/O, no clock, no randomness.
"""

from dataclasses import dataclass, field
from datetime import datetime

from cloud_hub.devices.freshness import Known
from fleet_contract.because import Because
from fleet_contract.report import ModelReport, Presence, Release, Report


@dataclass(frozen=True)
class ModelState:
    """Of one model on one device, what makes an event when it changes."""

    phase: str
    wanted: int | None
    running: int | None
    code: str

    @classmethod
    def of(cls, model: ModelReport) -> "ModelState":
        return cls(model.phase.value, _version(model.wanted), _version(model.running), model.because.code)


@dataclass
class DeviceState:
    """One device while a batch of reports is worked through. `refused` is a code."""

    known: Known
    presence: str
    refused: str | None
    #: By model and slot.
    models: dict[tuple[str, str], ModelState] = field(default_factory=dict)
    running: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    heard_at: datetime | None = None


@dataclass(frozen=True)
class Event:
    """`kind` is presence, phase or refused; the last four are about a model."""

    kind: str
    because: Because
    model: str | None = None
    slot: str | None = None
    phase: str | None = None
    version: int | None = None


def will_events(before: DeviceState) -> list[Event]:
    """What a last will adds to the history."""
    if before.presence == Presence.LOST:
        return []
    return [Event("presence", Because(Presence.LOST.value, "Its connection broke."))]


def news_events(before: DeviceState, report: Report) -> list[Event]:
    """What a report that is news adds to the history."""
    events = []
    if report.presence != before.presence or report.boot != before.known.boot:
        told = {
            Presence.ONLINE: f"It came online with agent {report.agent_version}.",
            Presence.CLOSING: "It said that it was stopping.",
            Presence.LOST: "Its connection broke.",
        }
        events.append(Event("presence", Because(report.presence.value, told[report.presence])))
    if report.refused and report.refused.code != before.refused:
        events.append(Event("refused", report.refused))
    for model in report.models:
        if before.models.get((model.model, model.slot)) != ModelState.of(model):
            version = _version(model.wanted or model.running)
            events.append(Event("phase", model.because, model.model, model.slot, model.phase.value, version))
    return events


def _version(release: Release | None) -> int | None:
    return release.version if release else None
