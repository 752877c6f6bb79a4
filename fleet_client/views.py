"""What the hub shows over REST, as frozen structs. Fields that a newer hub adds are ignored."""

from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

from fleet_contract.because import Because
from fleet_contract.report import Release, SpoolReport

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some of `total` items; `next` is the cursor of those that follow, or None at the end."""

    items: tuple[T, ...]
    total: int
    next: str | None = None


class BrokerAddress(msgspec.Struct, frozen=True):
    """Where the devices' MQTT broker listens."""

    host: str
    port: int


class Refusal(msgspec.Struct, frozen=True):
    """A message that the hub could not use; `device` is None when its topic named none."""

    at: datetime
    because: Because
    device: str | None = None


class Health(msgspec.Struct, frozen=True):
    """`status` is "ok", or "degraded" with what is wrong in `troubles`.

    `refused_messages` counts messages of devices that could not be used, by code, since the hub started.
    """

    status: str
    version: str
    troubles: tuple[Because, ...] = ()
    broker: BrokerAddress | None = None
    refused_messages: dict[str, int] = {}
    last_refused: Refusal | None = None


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


class Model(msgspec.Struct, frozen=True):
    """One model: its newest version, how many there are, and the targets that the newest is built for."""

    name: str
    newest_version: int
    versions: int
    task: str = ""
    targets: tuple[str, ...] = ()
    created_at: datetime | None = None


class Artifact(msgspec.Struct, frozen=True):
    """One artifact. Accuracies and agreement are shares, 0 to 1; `manifest` is what the release key signed."""

    target: str
    runtime: str
    digest: str
    size_bytes: int
    accuracy: float
    source_accuracy: float
    golden_agreement: float | None = None
    manifest: dict[str, Any] = {}


class Version(msgspec.Struct, frozen=True):
    """One version of a model with its artifacts."""

    model: str
    version: int
    created_at: datetime
    artifacts: tuple[Artifact, ...]
    notes: str = ""
    task: str = ""
    labels: tuple[str, ...] = ()


class Wave(msgspec.Struct, frozen=True):
    """One wave of a rollout. `covers` devices are exposed once it is open. State: waiting, open, done, stopped or
    reverted."""

    name: str
    exposed_percent: float
    state: str
    covers: int = 0


class Counts(msgspec.Struct, frozen=True):
    """Devices of a rollout: eligible; offered its version; of those, heard from since, and how they fared."""

    eligible: int = 0
    offered: int = 0
    heard: int = 0
    succeeded: int = 0
    failed: int = 0
    pending: int = 0
    unheard: int = 0


class Cohort(msgspec.Struct, frozen=True):
    """The telemetry of one cohort since the rollout started."""

    records: int = 0
    errors: int = 0
    devices: int = 0
    predictions: dict[str, int] = {}
    compared: int = 0
    """Of a shadow: records whose label was compared with that of the version that answered."""
    agreement: float | None = None
    """The share of those, 0 to 1, with the same label."""
    labelled: int = 0
    """Records whose true label is known."""
    accuracy: float | None = None
    """The share of those, 0 to 1, that were given it."""


class Labels(msgspec.Struct, frozen=True, rename={"since": "from"}):
    """Of the records that `version` answered on `device` from `since` to `until`, so many have a true label by now, and
    so many of these were given it."""

    device: str
    version: int
    labelled: int
    correct: int
    since: datetime
    until: datetime
    slot: str = "default"


class Labelled(msgspec.Struct, frozen=True):
    """How many rows of labels were counted now, and how many had been before, under the same key."""

    counted: int
    repeated: int = 0


class Evidence(msgspec.Struct, frozen=True):
    """`treated` ran the rollout's version, `control` any other in the same time."""

    treated: Cohort = Cohort()
    control: Cohort = Cohort()
    wave_records: int = 0
    """Records of the treated since the open wave began."""


class Gate(msgspec.Struct, frozen=True):
    """One gate: "pass", "fail" or "not-enough-evidence", and the sentence that says why."""

    name: str
    verdict: str
    sentence: str
    value: float = 0.0
    lower: float = 0.0
    upper: float = 0.0
    threshold: float = 0.0


class Reading(msgspec.Struct, frozen=True):
    """What one gate said at one time; figures as in `Gate`."""

    at: datetime
    verdict: str
    value: float
    lower: float
    upper: float
    threshold: float


class GateReadings(msgspec.Struct, frozen=True):
    """What one gate said over the time of a rollout, the oldest first."""

    name: str
    readings: tuple[Reading, ...]


class Failure(msgspec.Struct, frozen=True):
    """So many devices failed for the same reason: its code, the sentence of one of them, and the first few."""

    code: str
    sentence: str
    devices: int
    examples: tuple[str, ...] = ()


class ManifestVersion(msgspec.Struct, frozen=True):
    """The manifest that a rollout was made from: its name, and the how manieth rollout of that name it is."""

    name: str
    generation: int


class Rollout(msgspec.Struct, frozen=True):
    """One rollout. `wave` is the newest open wave, from 0, or -1 before the first. `created_by` says who asked for it,
    by their own account."""

    id: str
    model: str
    version: int
    state: str
    wave: int
    waves: tuple[Wave, ...]
    because: Because
    counts: Counts
    policy: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    evidence: Evidence = Evidence()
    gates: tuple[Gate, ...] = ()
    revision: int = 0
    slot: str = "default"
    created_by: str = "operator"
    manifest: ManifestVersion | None = None
    failures: tuple[Failure, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing will happen to it any more unless a person acts."""
        return self.state in ENDED


class PreviewWave(msgspec.Struct, frozen=True):
    """One wave: so many devices are exposed once it is open, by target, and so many of them `added` by it."""

    name: str
    covers: int
    added: int
    by_target: dict[str, int]


class Preview(msgspec.Struct, frozen=True):
    """What a rollout that is created with `salt` does while the fleet stays as it is. `devices` are the first of those
    that `wave`, from 0, adds."""

    salt: str
    waves: tuple[PreviewWave, ...]
    wave: int
    devices: tuple[str, ...] = ()


class Condition(msgspec.Struct, frozen=True):
    """One condition of a rollout's next step: what there is, what is asked for, and what would meet it."""

    name: str
    have: str
    want: str
    met: bool
    moves: str = ""


class Explanation(msgspec.Struct, frozen=True):
    """Why a rollout is where it is. `earliest` is when time alone could move it; `held` are exposed devices that have
    no order yet, by what they wait for."""

    rollout: str
    state: str
    wave: int
    because: Because
    conditions: tuple[Condition, ...] = ()
    earliest: datetime | None = None
    held: dict[str, int] = {}
    failures: tuple[Failure, ...] = ()


#: The states that a rollout does not leave by itself.
ENDED = frozenset({"completed", "reverted", "stopped", "aborted", "superseded"})


class Decision(msgspec.Struct, frozen=True):
    """One decision on a rollout, and what it rested on. `by` says who made it, or is None for the hub itself."""

    number: int
    at: datetime
    state: str
    wave: int
    because: Because
    by: str | None = None
    counts: Counts = Counts()
    evidence: Evidence = Evidence()
    gates: tuple[Gate, ...] = ()
    failures: tuple[Failure, ...] = ()


class Column(msgspec.Struct, frozen=True):
    """A column of a table or of a query's answer, with its type in the lake's words."""

    name: str
    type: str


class Rows(msgspec.Struct, frozen=True):
    """What a query found; `truncated` when there were more rows than asked for."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool = False


class LakeTable(msgspec.Struct, frozen=True):
    """A table of the lake: what it holds, and where any reader of Delta tables finds it."""

    name: str
    columns: tuple[Column, ...] = ()
    location: str = ""
    version: int = 0
    rows: int = 0
    files: int = 0
    size_bytes: int = 0


class Freeze(msgspec.Struct, frozen=True):
    """Whether the whole fleet is frozen; if so, why, by whom, since when and until when."""

    frozen: bool
    reason: str = ""
    by: str = ""
    since: datetime | None = None
    until: datetime | None = None


class Ran(msgspec.Struct, frozen=True):
    """What one slot of one model ran on a device at some time, from when to when (None: still), and what put it there:
    the rollout, who asked for it, the wave (from 0) and the decision that opened that, with its evidence."""

    model: str
    slot: str
    version: int
    digest: str
    since: datetime
    until: datetime | None = None
    rollout: str | None = None
    asked_by: str | None = None
    approved_by: str | None = None
    wave: int | None = None
    decision: Decision | None = None


class Pin(msgspec.Struct, frozen=True):
    """A device, or those that a selector means, that rollouts leave alone until `until`, unless it was ended before."""

    id: str
    reason: str
    by: str
    since: datetime
    until: datetime
    device: str | None = None
    selector: str | None = None
    model: str | None = None
    version: int | None = None
    ended_at: datetime | None = None


class SavedCohort(msgspec.Struct, frozen=True):
    """A selector with a name; `devices` is how many it means now, where that was asked."""

    name: str
    selector: str
    revision: int
    changed_by: str
    changed_at: datetime
    devices: int | None = None
