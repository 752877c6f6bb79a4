"""Devices, what they said, and selectors of them that were saved."""

from datetime import datetime
from typing import Any

import msgspec

from fleet_contract.because import Because
from fleet_contract.report import CaptureReport, Release, SpoolReport


class DeviceModel(msgspec.Struct, frozen=True):
    """One slot of one model on a device, as the device said itself: "default" answers, "shadow" is only compared."""

    model: str
    phase: str
    because: Because
    since: datetime
    wanted: Release | None = None
    running: Release | None = None
    previous: Release | None = None
    rollout: str | None = None
    slot: str = "default"


class Device(msgspec.Struct, frozen=True):
    """One device. `last_heard_at` is when it was last proven to live, by the hub's clock."""

    id: str
    fleet: str
    labels: dict[str, str]
    target: str
    presence: str
    last_heard_at: datetime | None
    joined_at: datetime
    presence_because: Because | None = None
    agent_version: str = ""
    hostname: str = ""
    generation_wanted: int = 0
    generation_reported: int = 0
    models: tuple[DeviceModel, ...] = ()
    refused: Because | None = None
    spool: SpoolReport | None = None
    captures: CaptureReport | None = None
    troubles: tuple[Because, ...] = ()
    inventory: dict[str, Any] | None = None

    def model(self, name: str) -> DeviceModel | None:
        """The model `name` on this device, if it said anything of it."""
        return next((one for one in self.models if one.model == name), None)


class DeviceEvent(msgspec.Struct, frozen=True):
    """Something that changed on a device; `number` rises."""

    number: int
    at: datetime
    kind: str
    because: Because
    model: str | None = None
    phase: str | None = None
    version: int | None = None
    slot: str | None = None


class Retry(msgspec.Struct, frozen=True):
    """What a device was told: to try `version` again, in the desired state of `generation`."""

    device: str
    model: str
    slot: str
    version: int
    generation: int


class Token(msgspec.Struct, frozen=True):
    """A one-time join token for `device`, or for a device whose name the hub chooses."""

    token: str
    expires_at: datetime
    device: str | None = None


class SavedCohort(msgspec.Struct, frozen=True):
    """A selector with a name; `devices` is how many it means now, where that was asked."""

    name: str
    selector: str
    revision: int
    changed_by: str
    changed_at: datetime
    devices: int | None = None
