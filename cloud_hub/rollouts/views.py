"""Rollouts as the API and the console show them, and as they are asked for."""

from datetime import datetime
from typing import Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from cloud_hub.because import BecauseView
from cloud_hub.monitoring.views import EvidenceView
from cloud_hub.rollouts.policy import Expression, Policy


class _View(BaseModel):
    model_config = ConfigDict(frozen=True)


class WaveView(_View):
    """One wave. `covers` devices are exposed once it is open, which is `exposed_percent` of the eligible; for a wave
    to come, as many as there would be now. State: waiting, open, done, stopped or reverted."""

    name: str
    exposed_percent: float
    covers: int
    state: str


class CountsView(_View):
    """Devices: eligible by the selector; offered the version by this rollout; of those, heard from since; of those,
    succeeded, failed and pending, of which `waiting` for their maintenance window. `unheard` are offered and never
    heard from since: they count for nothing. `pinned` of those offered were pinned since: what the version did to them
    counts, and they are eligible no longer. `held` are exposed and have no order yet, by what they wait for: rate, cap,
    group, jitter, turn, away."""

    eligible: int = 0
    offered: int = 0
    heard: int = 0
    succeeded: int = 0
    failed: int = 0
    pending: int = 0
    unheard: int = 0
    waiting: int = 0
    pinned: int = 0
    held: dict[str, int] = {}

    @property
    def left(self) -> int:
        """How many eligible devices have not been offered it."""
        return max(0, self.eligible - (self.offered - self.pinned))


class CohortsView(_View):
    """Telemetry since the rollout started: `treated` ran its version, `control` any other in the same time."""

    treated: EvidenceView
    control: EvidenceView
    wave_records: int = 0
    """Records of the treated since the open wave began."""


class GateView(_View):
    """One gate. `value` was measured, and lies between `lower` and `upper`; the gate fails once `lower` is above
    `threshold`, and is passed once `upper` is not. Verdict: pass, fail or not-enough-evidence. `exhausted`: nothing
    that is still to come could tell, and somebody must."""

    name: str
    verdict: str
    sentence: str
    value: float
    lower: float
    upper: float
    threshold: float
    exhausted: bool = False


class ReadingView(_View):
    """What one gate said at one time; figures as in `GateView`."""

    at: datetime
    verdict: str
    value: float
    lower: float
    upper: float
    threshold: float


class GateReadingsView(_View):
    """What one gate said over the time of a rollout, the oldest first: evenly spread, and never more than 240."""

    name: str
    readings: list[ReadingView]


class FailureView(_View):
    """So many devices failed for the same reason: its code, the sentence of one of them, and the first few."""

    code: str
    sentence: str
    devices: int
    examples: list[str]


class ManifestVersionView(_View):
    """The manifest that a rollout was made from: its name, and the how manieth rollout of that name it is."""

    name: str
    generation: int


class RolloutView(_View):
    """One rollout. `wave` is the newest open wave, from 0, or -1 before the first. `created_by` says who asked for it,
    by their own account."""

    id: str
    model: str
    slot: str = "default"
    version: int
    state: str
    wave: int
    waves: list[WaveView]
    counts: CountsView
    evidence: CohortsView
    gates: list[GateView]
    failures: list[FailureView] = []
    """Why devices failed, the most frequent reason first."""
    because: BecauseView
    policy: Policy
    created_at: datetime
    updated_at: datetime
    revision: int
    created_by: str
    manifest: ManifestVersionView | None = None


class PreviewWaveView(_View):
    """One wave: so many devices are exposed once it is open, by target, and so many of them `added` by it."""

    name: str
    covers: int
    added: int
    by_target: dict[str, int]


class PreviewView(_View):
    """What a rollout that is created with `salt` does while the fleet stays as it is. `devices` are the first of those
    that `wave` adds."""

    salt: str
    waves: list[PreviewWaveView]
    wave: int
    devices: list[str]


class ConditionView(_View):
    """One condition of a rollout's next step: what there is, what is asked for, and what would meet it."""

    name: str
    have: str
    want: str
    met: bool
    moves: str


class HoldView(_View):
    """So many devices are held back for the same reason: its code (frozen, paused, stopped, rate, cap, group, jitter,
    turn, away, window, unheard, wave, pinned, returning), and what would let them go."""

    code: str
    devices: int
    sentence: str


class ExplanationView(_View):
    """Why a rollout is where it is. `earliest` is when time alone could move it; null where something else must come
    first. `held` are the devices that do not run it yet through no fault of theirs; `failures` why devices failed."""

    rollout: str
    state: str
    wave: int
    because: BecauseView
    conditions: list[ConditionView]
    earliest: datetime | None
    held: list[HoldView]
    failures: list[FailureView]


class DecisionView(_View):
    """One decision on a rollout, and what it rested on. `by` says who made it, or is null for the hub itself."""

    number: int
    at: datetime
    state: str
    wave: int
    because: BecauseView
    by: str | None = None
    counts: CountsView
    evidence: CohortsView
    gates: list[GateView]
    failures: list[FailureView] = []


class LatestDecisionView(_View):
    """One decision, told among those of other rollouts. `by` says who made it, or is null for the hub itself."""

    rollout: str
    model: str
    version: int
    number: int
    at: datetime
    state: str
    wave: int
    because: BecauseView
    by: str | None = None


class RolloutIn(BaseModel):
    """A rollout to start."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    version: int = Field(ge=1, le=2**31 - 1)
    slot: Literal["default", "shadow"] = Field(
        default="default", description="shadow: beside the version that answers, on the same inputs, answering nobody"
    )
    policy: Policy = Policy()
    salt: str | None = Field(
        default=None, pattern="^[0-9a-f]{8,64}$", description="Of a preview: what it showed is what happens"
    )


class RetryView(_View):
    """What a device was told: to try `version` again, in the desired state of `generation`."""

    device: str
    model: str
    slot: str
    version: int
    generation: int


class RetryIn(BaseModel):
    """Which slot of the model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slot: Literal["default", "shadow"] = "default"


class VerbIn(BaseModel):
    """Why a person pauses, resumes, aborts or approves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str = Field(default="", max_length=1_000)


class FreezeIn(BaseModel):
    """Why nothing may move, and until when; without, until somebody ends it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str = Field(min_length=1, max_length=1_000)
    until: AwareDatetime | None = None


class FreezeView(_View):
    """Whether the whole fleet is frozen; if so, why, by whom, since when and until when. `revision` rises whenever a
    freeze begins or ends."""

    frozen: bool
    revision: int
    reason: str = ""
    by: str = ""
    since: datetime | None = None
    until: datetime | None = None


class PinIn(BaseModel):
    """What rollouts must leave alone, and until when: a device or those that a selector means; all their models or
    one; at what they are offered now, or at a version of that model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str | None = None
    selector: Expression | None = None
    model: str | None = None
    version: int | None = Field(default=None, ge=1, le=2**31 - 1)
    reason: str = Field(min_length=1, max_length=1_000)
    until: AwareDatetime

    @model_validator(mode="after")
    def _of_one(self) -> Self:
        if (self.device is None) == (self.selector is None):
            raise ValueError("give either device or selector")
        if self.version is not None and self.model is None:
            raise ValueError("a version needs the model that it is of")
        return self


class PinView(_View):
    """One pin; it holds while `ended_at` is null and `until` is to come."""

    id: str
    device: str | None
    selector: str | None
    model: str | None
    version: int | None
    reason: str
    by: str
    since: datetime
    until: datetime
    ended_at: datetime | None
    revision: int


class RanView(_View):
    """What one slot of one model ran on a device at some time, from when to when (null: still), and what put it there:
    the rollout with who asked for it, the wave (from 0), and the decision that opened the wave, with its evidence; or
    the `pin` (its id is in the place of the rollout's), with who asked for that and why."""

    model: str
    slot: str
    version: int
    digest: str
    since: datetime
    until: datetime | None
    rollout: str | None = None
    asked_by: str | None = None
    approved_by: str | None = None
    wave: int | None = None
    decision: DecisionView | None = None
    pin: PinView | None = None
