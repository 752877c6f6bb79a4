"""What deciding goes by: one rollout, and what is known of it now; and what comes of it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from cloud_hub.monitoring.gates import Gate
from cloud_hub.rollouts.states import State
from fleet_contract.because import Because

Verb = Literal["pause", "resume", "abort", "approve"]


#: What a rollout says that is held by nothing but a person.
APPROVAL_WANTED = "approval-wanted"


#: A person is asked about the open wave: nothing that is still to come answers what is asked, or nothing did for long.
VERDICT_WANTED = "verdict-wanted"


#: What is asked where too few of a wave's devices came to run it.
SUCCESS = "success"


#: What is asked where too little telemetry came in.
RECORDS = "records"


#: What is asked of a gate that could not tell, beside its name: whoever approves that did not see it look bad.
UNTOLD = "-untold"


#: What it says when it goes on to its next wave.
WAVE_OPENED = "wave-opened"


#: What keeps an exposed device from its order, as `admission.py` says, in words.
AWAY = "away"


@dataclass(frozen=True)
class Rollout:
    """One rollout, as far as deciding needs it; fields as in `tables.RolloutRow`.

    `exposed` waves are open to devices: `wave` + 1, or 0 once it is taken back. `approved` have been approved.
    `rate_lifted`: its rate holds nobody now, for every gate is passed. `asked` is what only a person can answer of the
    open wave, and `accepted` what one has: names of gates, with `UNTOLD` or without, `SUCCESS` or `RECORDS`.
    """

    id: str
    model: str
    version: int
    state: State
    because: Because
    wave: int = -1
    exposed: int = 0
    aborted: bool = False
    approved: int = 0
    created_by: str = ""
    wave_started_at: datetime | None = None
    soaking_since: datetime | None = None
    rate_lifted: bool = False
    asked: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    cause: Because | None = None


@dataclass(frozen=True)
class Counts:
    """Devices. Heard from are those that spoke since they were offered the version, or were connected then. `waiting`
    of those pending wait for their maintenance window."""

    offered: int = 0
    heard: int = 0
    succeeded: int = 0
    failed: int = 0
    waiting: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.offered + other.offered,
            self.heard + other.heard,
            self.succeeded + other.succeeded,
            self.failed + other.failed,
            self.waiting + other.waiting,
        )

    @property
    def pending(self) -> int:
        return self.heard - self.succeeded - self.failed

    @property
    def unheard(self) -> int:
        return self.offered - self.heard

    @property
    def success_percent(self) -> float:
        return 100 * self.succeeded / self.heard if self.heard else 0.0

    @property
    def failed_percent(self) -> float:
        return 100 * self.failed / self.heard if self.heard else 0.0


@dataclass(frozen=True)
class LeftOver:
    """Devices that have the version, or are about to, once it is taken back: heard-from ones that are `returning`, ones
    that are not heard from (`unreachable`), and those that keep it: `pinned`, or given it by a rollout `elsewhere`."""

    returning: int = 0
    unreachable: int = 0
    pinned: int = 0
    elsewhere: int = 0


@dataclass(frozen=True)
class Snapshot:
    """What is known now.

    `waves` are how many devices each wave covered when its line was drawn; empty until there was a device to draw it
    for. `eligible` are so many now. `counts` are of all devices that this rollout has offered its version to, `fresh`
    of those that the open wave added (of all, where it added none and none waits); `wave_records` came from the
    treated since it opened. `held` are exposed devices that have no order yet, by what they wait for. `left_over` is
    who still has the version after a revert. `carried_out`: orders are where exposure is. `frozen` is why nothing in
    the fleet may move, if so.
    """

    eligible: int = 0
    waves: tuple[int, ...] = ()
    counts: Counts = Counts()
    fresh: Counts = Counts()
    wave_records: int = 0
    gates: tuple[Gate, ...] = ()
    newer: str | None = None
    carried_out: bool = True
    held: Mapping[str, int] = field(default_factory=dict)
    left_over: LeftOver = LeftOver()
    frozen: str | None = None


@dataclass(frozen=True)
class Decision:
    """The rollout as it should be from now on; its reason is `rollout.because`."""

    rollout: Rollout

    @property
    def because(self) -> Because:
        return self.rollout.because
