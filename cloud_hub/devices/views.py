"""Devices as REST and the console show them."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cloud_hub.because import BecauseView
from cloud_hub.devices.selector_text import EXAMPLE, MAX_CHARACTERS

PresenceName = Literal["online", "silent", "closing", "lost", "never"]
PRESENCES: tuple[PresenceName, ...] = ("online", "silent", "closing", "lost", "never")


class View(BaseModel):
    """Never changed once made."""

    model_config = ConfigDict(frozen=True)


class ReleaseView(View):
    """A version of a model as one artifact."""

    version: int
    digest: str


class DeviceModelView(View):
    """One slot of one model on the device, as it said itself."""

    model: str
    slot: str = "default"
    phase: str
    because: BecauseView
    since: datetime
    wanted: ReleaseView | None
    running: ReleaseView | None
    previous: ReleaseView | None
    rollout: str | None


class LaneView(View):
    """One lane of a spool; `dropped` is by reason."""

    records: int
    size_bytes: int
    dropped: dict[str, int] = {}


class SpoolView(View):
    """What waits on the device to be acked, and what it dropped, ever: windows, and of each lane by name."""

    records: int
    size_bytes: int
    dropped: int
    lanes: dict[str, LaneView] = {}


class CaptureView(View):
    """The inputs that a device keeps for the next version; `dropped` is by reason, since its agent started."""

    files: int
    size_bytes: int
    dropped: dict[str, int] = {}


class DeviceView(View):
    """One device. `last_heard_at` is when it was last proven to live, by the hub's clock."""

    id: str
    fleet: str
    labels: dict[str, str]
    target: str
    presence: PresenceName
    presence_because: BecauseView
    last_heard_at: datetime | None
    joined_at: datetime
    agent_version: str
    hostname: str
    generation_wanted: int
    generation_reported: int
    models: list[DeviceModelView]
    refused: BecauseView | None
    spool: SpoolView | None
    captures: CaptureView | None = None
    troubles: list[BecauseView]
    inventory: dict[str, Any] | None


class DeviceEventView(View):
    """Something that changed on a device; `number` rises."""

    number: int
    at: datetime
    kind: str
    model: str | None
    slot: str | None = None
    phase: str | None
    version: int | None
    because: BecauseView


class RunningView(View):
    """On how many devices one version of a model runs."""

    model: str
    version: int
    devices: int


class FleetSummary(View):
    """The fleet in counts."""

    total: int
    presence: dict[str, int]
    targets: dict[str, int]
    running: list[RunningView]
    """In order of model and version."""
    troubled: int
    """Devices with a trouble, a refused desired state, or a model that they rejected."""


class LabelChange(BaseModel):
    """Labels to set; one that is null is taken away, others stay."""

    model_config = ConfigDict(extra="forbid")

    labels: dict[str, str | None] = Field(examples=[{"site": "lyon", "line": None}])


class CohortChange(BaseModel):
    """What a cohort is to mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    selector: str = Field(max_length=MAX_CHARACTERS, examples=[EXAMPLE])


class CohortIn(CohortChange):
    """A cohort to save."""

    name: str = Field(examples=["night"])


class CohortView(View):
    """A selector with a name; `devices` is how many it means now, where that was asked. `revision` rises."""

    name: str
    selector: str
    revision: int
    changed_by: str
    changed_at: datetime
    devices: int | None = None
