"""One gate's shares in the two cohorts, device by device, and what each device's past leads to expect. Pure.

A device's own share before the change, of n records, is drawn towards that of all by k records (empirical Bayes):
`(hits + k * pooled) / (n + k)`. k follows from how much the pasts differ beyond what chance makes them differ (the
moment estimate of J. C. Kleinman, "Proportions with extraneous variance", J. Am. Stat. Assoc. 68, 1973): alike devices
share their past, odd ones keep their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloud_hub.monitoring.gates.betabinomial import Array

#: Records of its past from which a device is known.
KNOWN_AFTER = 30
_LEAST_SPREAD, _MOST_SPREAD = 1e-4, 0.9
#: By so much more records of one device resemble each other before what is known of it is taken off.
RAW = 3.0
#: What a guess is worth where nothing is known of any device: all there is, for no past is weighed against it.
ALL = 1e12


@dataclass(frozen=True)
class Cohort:
    """Shares of devices: a row a device, a column a share. `hits_before` of `records_before` are their own pasts."""

    devices: Sequence[str]
    targets: Sequence[str]
    hits: Array
    records: Array
    hits_before: Array
    records_before: Array

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which devices have a past."""
        return np.asarray(self.records_before.max(axis=1, initial=0.0) >= KNOWN_AFTER)

    def of(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> "Cohort":
        """The devices of those rows alone."""
        at = [int(row) for row in (np.flatnonzero(rows) if rows.dtype == bool else rows)]
        return Cohort(
            [self.devices[row] for row in at],
            [self.targets[row] for row in at],
            self.hits[at],
            self.records[at],
            self.hits_before[at],
            self.records_before[at],
        )


@dataclass(frozen=True)
class Expected:
    """What to expect of each device's shares, and the variance of that."""

    share: Array
    variance: Array


@dataclass(frozen=True)
class Past:
    """What all devices together did before: `pooled` shares, and the `worth` of that in records of one device."""

    pooled: Array
    worth: Array

    def expect(self, cohort: Cohort) -> Expected:
        """By its own past for each device that has one, and by that of the others for each that has none."""
        weight = cohort.records_before + self.worth
        share = (cohort.hits_before + self.worth * self.pooled) / weight
        return Expected(share, share * (1.0 - share) / (weight + 1.0))


@dataclass(frozen=True)
class Question:
    """One gate's shares. `guess` is each share where no device has a past, and need not be good; but where it is
    `promised`, it is what to expect, give or take `uncertain`, and nobody is a control. `correlation` is the most that
    records of one device may have."""

    treated: Cohort
    control: Cohort
    guess: Array
    tolerated: float
    both_ways: bool
    correlation: float
    promised: bool = False
    uncertain: Array | float = 0.0
    concurrent: bool = True
    """Whether there is, or will be, a control: then its evidence is waited for."""
    alone: "Question | None" = None
    """The same, asked of what the treated showed while nobody was a control, against their own past alone."""
    alone_since_seconds: int = 0
    """From when on that was, after the rollout's start."""
    unmistakable: bool = False
    """Whether a large enough rise can only be the version, and never the world."""

    @property
    def shares(self) -> int:
        return len(self.guess)

    @property
    def weighable(self) -> bool:
        """Whether there is anything yet that the treated can be compared with."""
        if not self.treated.records.any():
            return False
        if self.promised or len(self.control.devices):
            return True
        return self.by_past and not self.concurrent

    @property
    def by_past(self) -> bool:
        """Whether there are devices in both cohorts, where there are two, that can be compared with their own past."""
        return not self.promised and bool(
            self.treated.known.any() and (self.control.known.any() or not len(self.control.devices))
        )


def past_of(question: Question) -> Past:
    """What the pasts of both cohorts say; where no device has one, the guess."""
    hits = np.concatenate([question.treated.hits_before, question.control.hits_before])
    records = np.concatenate([question.treated.records_before, question.control.records_before])
    total = records.sum(axis=0)
    if not question.by_past:
        # Nothing of its own is known of any device, and so the guess is the same for all of them.
        return Past(question.guess, np.full(question.shares, ALL))
    pooled = (hits.sum(axis=0) + question.guess) / (total + 1.0)
    safe = np.maximum(records, 1.0)
    chance = np.maximum(pooled * (1.0 - pooled), 1e-9)
    between = (records * (hits / safe - pooled) ** 2).sum(axis=0) / chance
    freedom = np.maximum((records > 0).sum(axis=0) - 1.0, 0.0)
    room = total - (records**2).sum(axis=0) / np.maximum(total, 1.0) - freedom
    spread = np.where(room > 0, (between - freedom) / np.maximum(room, 1.0), _MOST_SPREAD)
    return Past(pooled, 1.0 / np.clip(spread, _LEAST_SPREAD, _MOST_SPREAD) - 1.0)
