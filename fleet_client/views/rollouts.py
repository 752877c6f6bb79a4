"""Rollouts: how far they are, why, and what was decided."""

from datetime import datetime
from typing import Any

import msgspec

from fleet_client.views.evidence import Evidence, Gate
from fleet_contract.because import Because


class Wave(msgspec.Struct, frozen=True):
    """One wave of a rollout. `covers` devices are exposed once it is open. State: waiting, open, done, stopped or
    reverted."""

    name: str
    exposed_percent: float
    state: str
    covers: int = 0


class Counts(msgspec.Struct, frozen=True):
    """Devices of a rollout: eligible; offered its version; of those, heard from since, and how they fared, `waiting`
    for their maintenance window among the pending; `pinned` of those offered were pinned since, and are eligible no
    longer; `held` are exposed and have no order yet, by what they wait for."""

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


#: The states that a rollout does not leave by itself.
ENDED = frozenset({"completed", "reverted", "stopped", "aborted", "superseded"})


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


class Hold(msgspec.Struct, frozen=True):
    """So many devices are held back for the same reason: its code (rate, window, pinned, ...), and what would let them
    go."""

    code: str
    devices: int
    sentence: str


class Explanation(msgspec.Struct, frozen=True):
    """Why a rollout is where it is. `earliest` is when time alone could move it; `held` are the devices that do not run
    it yet through no fault of theirs."""

    rollout: str
    state: str
    wave: int
    because: Because
    conditions: tuple[Condition, ...] = ()
    earliest: datetime | None = None
    held: tuple[Hold, ...] = ()
    failures: tuple[Failure, ...] = ()


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
