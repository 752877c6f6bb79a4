"""A device of the modelled fleet: its order in the hub, and what it did with the one that reached it last."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from cloud_hub.rollouts.outcomes import Outcome
from cloud_hub.rollouts.wanted import Candidate, Claim

START = datetime(2026, 11, 2, 12, tzinfo=UTC)


@dataclass
class Device:
    """A device, its order in the hub, and what it did with the one that reached it last."""

    candidate: Candidate
    online: bool = True
    offer: Claim | None = None
    followed: tuple[str, ...] = ()
    offered_at: datetime = START
    generation: int = 0
    #: What each generation said.
    orders: dict[int, Claim | None] = field(default_factory=lambda: {0: None})
    received: int = 0
    received_claim: Claim | None = None
    runs: int | None = None
    rejected: bool = False
    reported: int = 0

    @property
    def group(self) -> str:
        return self.candidate.labels["pair"]

    @property
    def outcome(self) -> Outcome:
        if self.reported < self.generation:
            return Outcome.AWAITED if self.online else Outcome.UNHEARD
        if self.rejected:
            return Outcome.REJECTED
        good = self.offer is not None and self.runs == self.offer.version
        return Outcome.SUCCEEDED if good else Outcome.UNDERWAY
