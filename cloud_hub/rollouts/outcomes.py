"""What became of what a device was offered, as far as its reports tell. Pure.

The outcome is kept beside the offer and brought up to date in the transaction that takes the report in, so that
counting a rollout's devices reads no report again.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from cloud_hub.rollouts.engine import Counts

#: What a device says that has all ready and waits for its maintenance window (`edge_agent.core.maintenance`).
_WINDOW_CLOSED = "window-closed"


class Outcome(StrEnum):
    """UNHEARD: not connected when it was offered, and silent since. AWAITED: connected then, and silent since.
    WAITING: all is ready, and its maintenance window is closed."""

    UNHEARD = "unheard"
    AWAITED = "awaited"
    UNDERWAY = "underway"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    REJECTED = "rejected"


#: The device may be switching, now or whenever it likes.
IN_FLIGHT = frozenset({Outcome.UNHEARD, Outcome.AWAITED, Outcome.UNDERWAY, Outcome.WAITING})


@dataclass(frozen=True)
class Offered:
    version: int
    digest: str
    generation: int
    offered_at: datetime
    outcome: Outcome


@dataclass(frozen=True)
class Said:
    """What a device says now: the `generation` that it follows, and how it is with the model, when it names it."""

    generation: int
    heard_at: datetime | None
    phase: str | None = None
    code: str | None = None
    wanted: tuple[int | None, str | None] = (None, None)
    running: tuple[int | None, str | None] = (None, None)


def outcome(offer: Offered, said: Said) -> Outcome:
    """A device speaks for its offer only once it follows the order that holds it: what it said before is about
    another."""
    release = (offer.version, offer.digest)
    if said.generation >= offer.generation:
        if said.phase == "settled" and said.running == release:
            return Outcome.SUCCEEDED
        if said.phase == "rejected" and said.wanted == release:
            return Outcome.REJECTED
        return Outcome.WAITING if said.code == _WINDOW_CLOSED else Outcome.UNDERWAY
    if said.heard_at is not None and said.heard_at >= offer.offered_at:
        return Outcome.UNDERWAY
    return offer.outcome


def counted(of: Outcome, count: int, excepted: int) -> Counts:
    """What `count` offers `of` an outcome come to. `excepted` of them are silent, overdue, or to try again."""
    match of:
        case Outcome.UNHEARD:
            return Counts(offered=count)
        case Outcome.AWAITED:
            return Counts(offered=count, heard=count - excepted)
        case Outcome.UNDERWAY:
            return Counts(offered=count, heard=count, failed=excepted)
        case Outcome.WAITING:
            return Counts(offered=count, heard=count, waiting=count)
        case Outcome.SUCCEEDED:
            return Counts(offered=count, heard=count, succeeded=count)
        case Outcome.REJECTED:
            return Counts(offered=count, heard=count, failed=count - excepted)
        case _ as never:
            assert_never(never)
