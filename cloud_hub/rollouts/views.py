"""Rollouts as the API and the console show them, and as they are asked for."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from cloud_hub.rollouts.policy import Policy


class _View(BaseModel):
    model_config = ConfigDict(frozen=True)


class BecauseView(_View):
    """Why it is so: a stable code, and a sentence with the numbers."""

    code: str
    sentence: str


class WaveView(_View):
    """One wave. `covers` devices are exposed once it is open, which is `exposed_percent` of the eligible; for a wave
    to come, as many as there would be now. State: waiting, open, done, stopped or reverted."""

    name: str
    exposed_percent: float
    covers: int
    state: str


class CountsView(_View):
    """Devices: eligible by the selector; offered the version by this rollout; of those, heard from since; of those,
    succeeded, failed and pending. `unheard` are offered and never heard from since: they count for nothing."""

    eligible: int = 0
    offered: int = 0
    heard: int = 0
    succeeded: int = 0
    failed: int = 0
    pending: int = 0
    unheard: int = 0


class CohortView(_View):
    """The telemetry of one cohort since the rollout started."""

    records: int = 0
    errors: int = 0
    devices: int = 0
    predictions: dict[str, int] = {}


class EvidenceView(_View):
    """`treated` ran the version of this rollout, `control` any other version in the same time."""

    treated: CohortView = CohortView()
    control: CohortView = CohortView()
    wave_records: int = 0
    """Records of the treated since the open wave began."""


class GateView(_View):
    """One gate. `value` was measured, and lies between `lower` and `upper`; the gate fails once `lower` is above
    `threshold`, and is passed once `upper` is not. Verdict: pass, fail or not-enough-evidence."""

    name: str
    verdict: str
    sentence: str
    value: float
    lower: float
    upper: float
    threshold: float


class RolloutView(_View):
    """One rollout. `wave` is the newest open wave, from 0, or -1 before the first."""

    id: str
    model: str
    version: int
    state: str
    wave: int
    waves: list[WaveView]
    counts: CountsView
    evidence: EvidenceView
    gates: list[GateView]
    because: BecauseView
    policy: Policy
    created_at: datetime
    updated_at: datetime
    revision: int


class DecisionView(_View):
    """One decision on a rollout, and what it rested on."""

    number: int
    at: datetime
    state: str
    wave: int
    because: BecauseView
    counts: CountsView
    evidence: EvidenceView
    gates: list[GateView]


class RolloutIn(BaseModel):
    """A rollout to start."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    version: int = Field(ge=1)
    policy: Policy = Policy()


class VerbIn(BaseModel):
    """Why a person pauses, resumes or aborts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str = Field(default="", max_length=1_000)
