"""What a device says of itself: on connecting, on every change, and as its heartbeat."""

from enum import StrEnum

import msgspec

from fleet_contract.because import Because
from fleet_contract.bounds import Moment, Number


class Presence(StrEnum):
    """Why the device speaks, or why the broker speaks for it (`LOST` is its last will)."""

    ONLINE = "online"
    CLOSING = "closing"
    LOST = "lost"


class Phase(StrEnum):
    """Where a device is with one model. The transitions are in `edge_agent.core.update`."""

    IDLE = "idle"
    EVICTED = "evicted"
    FETCHING = "fetching"
    VERIFYING = "verifying"
    PREFLIGHT = "preflight"
    TRIAL = "trial"
    SETTLED = "settled"
    REJECTED = "rejected"


class Release(msgspec.Struct, frozen=True):
    """A version of a model as one artifact."""

    version: Number
    digest: str


class ModelReport(msgspec.Struct, frozen=True):
    """One model on the device: what runs (`running`), what is wanted, and how far it is.

    REJECTED means that `wanted` failed here and that `running`, if any, goes on; it lasts until another release
    is wanted.
    """

    model: str
    phase: Phase
    because: Because
    since: Moment
    wanted: Release | None = None
    running: Release | None = None
    previous: Release | None = None
    rollout: str | None = None
    slot: str = "default"
    """Which of the model's slots this is: "default" or "shadow"."""


class Inventory(msgspec.Struct, frozen=True):
    """What the device is."""

    hostname: str
    arch: str
    cores: Number
    memory_bytes: Number
    runtimes: dict[str, str]
    providers: tuple[str, ...] = ()
    """ONNX Runtime's execution providers that could compute here, once it is loaded."""
    delegates: tuple[str, ...] = ()
    """LiteRT's delegates that could compute here."""
    accelerators: tuple[str, ...] = ()
    """What hardware the device is seen to have for models, besides its CPU."""
    features: tuple[str, ...] = ()
    """What its CPU can do that makes models faster, in the kernel's words."""
    temperatures: dict[str, float] = {}
    """In °C, by the sensor's name."""


class LaneReport(msgspec.Struct, frozen=True):
    """One lane of the spool. `dropped` is by reason ("spool-full", "damaged", "refused"), since the state folder was
    made."""

    records: Number
    size_bytes: Number
    dropped: dict[str, Number] = {}


class SpoolReport(msgspec.Struct, frozen=True):
    """What waits on the device to be acked, and what it had to drop since its state folder was made.

    `records` and `dropped` are windows; `lanes` says it of each lane by name. All lanes together take `size_bytes`.
    """

    records: Number
    size_bytes: Number
    dropped: Number
    lanes: dict[str, LaneReport] = {}


class CaptureReport(msgspec.Struct, frozen=True):
    """The captures on the device: inputs of records that it keeps. They take `size_bytes` of its disk.

    `dropped` is by reason ("quota": kept, until newer ones needed the room; "disk", "behind", "too-large", "broken"),
    since the agent started.
    """

    files: Number
    size_bytes: Number
    dropped: dict[str, Number] = {}


class Report(msgspec.Struct, frozen=True):
    """`boot` names this start of the agent, `number` rises with every report of that boot: the newest wins."""

    fleet: str
    device: str
    boot: str
    number: Number
    presence: Presence
    sent_at: Moment
    agent_version: str
    target: str
    generation: Number
    started_at: Moment
    models: tuple[ModelReport, ...] = ()
    refused: Because | None = None
    """Why the last desired state that came was not followed, until one is."""
    inventory: Inventory | None = None
    spool: SpoolReport | None = None
    troubles: tuple[Because, ...] = ()
    """What is wrong on the device now: a full disk, a source that fails."""
    captures: CaptureReport | None = None
    """None where nothing is captured, as by default."""
