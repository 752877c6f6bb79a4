"""Decides which records are kept, and why, under a budget of bytes an hour. No I/O, no clock, no randomness.

Each reason that is asked for has an equal share of the budget, and no other spends it: a flood of low margins ends
neither the random picks nor what a rare disagreement needs. A share that is saved up in full flows over to the others.

A reason that has anything saved may keep a record of any size, and is in debt until that is paid: what large records
take on average is within the budget, and a flood of small ones does not keep them out.
"""

from enum import StrEnum

import msgspec

#: How long bytes that nobody spent may be saved up.
SAVED_SECONDS = 3600.0


class Reason(StrEnum):
    """Why a record is kept."""

    RANDOM = "random"
    LOW_MARGIN = "low-margin"
    DISAGREEMENT = "disagreement"


class Rules(msgspec.Struct, frozen=True):
    """What the owner asks for: `random_share` of all records (0..1), those whose margin is below `low_margin`, those
    on which the live version and its shadow disagree. All together may take `bytes_per_hour`."""

    bytes_per_hour: int
    random_share: float = 0.0
    low_margin: float = 0.0
    disagreement: bool = False

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Those that are asked for."""
        asked = {
            Reason.RANDOM: self.random_share > 0,
            Reason.LOW_MARGIN: self.low_margin > 0,
            Reason.DISAGREEMENT: self.disagreement,
        }
        return tuple(reason for reason, is_asked in asked.items() if is_asked)


class Candidate(msgspec.Struct, frozen=True):
    """A record that may be kept. `random` is drawn for it, evenly from 0 to 1; `margin` is None where the model names
    no labels."""

    size_bytes: int
    random: float
    margin: float | None = None
    disagrees: bool = False


class Budget(msgspec.Struct, frozen=True):
    """The bytes that each reason has saved up, or owes, `at` some time in seconds. It starts with none: an agent that
    is restarted over and over writes no more than one that stays."""

    saved: dict[Reason, float] = {}
    at: float | None = None


def choose(rules: Rules, budget: Budget, candidate: Candidate, now: float) -> tuple[Budget, Reason | None]:
    """Whether `candidate` is kept and why, and the budget after it. `now` in seconds, of a clock that only rises."""
    budget = _saved_up(rules, budget, now)
    for reason in _asking(rules, candidate):
        saved = budget.saved[reason]
        if saved > 0:
            return Budget({**budget.saved, reason: saved - candidate.size_bytes}, budget.at), reason
    return budget, None


def _asking(rules: Rules, candidate: Candidate) -> list[Reason]:
    """The reasons to keep it. Chance comes first: what it picks is a fair sample of all records only if it does not
    look at what else is special about them."""
    asking = []
    if candidate.random < rules.random_share:
        asking.append(Reason.RANDOM)
    if rules.disagreement and candidate.disagrees:
        asking.append(Reason.DISAGREEMENT)
    if candidate.margin is not None and candidate.margin < rules.low_margin:
        asking.append(Reason.LOW_MARGIN)
    return asking


def _saved_up(rules: Rules, budget: Budget, now: float) -> Budget:
    at = now if budget.at is None else max(now, budget.at)
    reasons = rules.reasons
    if not reasons:
        return Budget({}, at)
    come = 0.0 if budget.at is None else rules.bytes_per_hour * (at - budget.at) / 3600
    full = rules.bytes_per_hour * SAVED_SECONDS / 3600 / len(reasons)
    saved = {reason: min(budget.saved.get(reason, 0.0), full) for reason in reasons}
    while come > 0 and (short := [reason for reason in reasons if saved[reason] < full]):
        each, come = come / len(short), 0.0
        for reason in short:
            room = full - saved[reason]
            if each < room:
                saved[reason] += each
            else:
                # Set, not added: a share that rounding leaves a hair below would never be full.
                saved[reason] = full
                come += each - room
    return Budget(saved, at)
