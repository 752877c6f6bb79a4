"""One gate's shares in the two cohorts, device by device, and what each device's past leads to expect. Pure.

A device's own share before the change, of n records, is drawn towards that of all by k records (empirical Bayes):
`(hits + k * pooled) / (n + k)`. k follows from how much the pasts differ beyond what chance makes them differ (the
moment estimate of J. C. Kleinman, "Proportions with extraneous variance", J. Am. Stat. Assoc. 68, 1973): alike devices
share their past, odd ones keep their own.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from cloud_hub.monitoring.gates.betabinomial import Array
from cloud_hub.monitoring.gates.case import FEWEST
from cloud_hub.monitoring.gates.rows import Flags, Ints, Names

#: Records of its past from which a device is known.
KNOWN_AFTER = 30
_LEAST_SPREAD, _MOST_SPREAD = 1e-4, 0.9
#: By so much more records of one device resemble each other before what is known of it is taken off.
RAW = 3.0
#: What a guess is worth where nothing is known of any device: all there is, for no past is weighed against it.
ALL = 1e12


@dataclass(frozen=True)
class Cohort:
    """Shares of devices: a row a device, a column a share. `hits_before` of `records_before` are their own pasts. In
    order of `rank` some can be chosen, by nothing that they did; those that were not `drawn` from all speak for their
    hardware target alone."""

    devices: Names
    targets: Names
    rank: Ints
    drawn: Flags
    hits: Array
    records: Array
    hits_before: Array
    records_before: Array

    @classmethod
    def empty(cls, shares: int) -> "Cohort":
        """Nobody's."""
        nobody, nothing = np.zeros(0, object), np.zeros((0, shares))
        return cls(nobody, nobody, np.zeros(0, np.int64), np.zeros(0, np.bool_), nothing, nothing, nothing, nothing)

    @cached_property
    def known(self) -> Flags:
        """Which devices have a past."""
        return np.asarray(self.records_before.max(axis=1, initial=0.0) >= KNOWN_AFTER)

    def of(self, which: Flags) -> "Cohort":
        """Those devices alone."""
        if which.all():
            return self
        return Cohort(
            self.devices[which],
            self.targets[which],
            self.rank[which],
            self.drawn[which],
            self.hits[which],
            self.records[which],
            self.hits_before[which],
            self.records_before[which],
        )


@dataclass(frozen=True)
class Pooled:
    """A cohort's shares, all devices added up, and what was to be expected of these very devices."""

    hits: Array
    records: Array
    expected: Array
    variance: Array

    @cached_property
    def share(self) -> Array:
        return self.hits / np.maximum(self.records, 1.0)

    @property
    def change(self) -> Array:
        return self.share - self.expected


@dataclass(frozen=True)
class Expected:
    """What to expect of each device's shares, and the variance of that."""

    cohort: Cohort
    share: Array
    variance: Array

    @cached_property
    def pooled(self) -> Pooled:
        cohort = self.cohort
        records = cohort.records.sum(axis=0)
        weight = cohort.records / np.maximum(records, 1.0)
        expected, variance = (weight * self.share).sum(axis=0), (weight * weight * self.variance).sum(axis=0)
        return Pooled(cohort.hits.sum(axis=0), records, expected, variance)


@dataclass(frozen=True)
class Past:
    """What all devices together did before: `pooled` shares, and the `worth` of that in records of one device."""

    pooled: Array
    worth: Array
    _expected: dict[int, Expected] = field(default_factory=dict, init=False, compare=False, repr=False)

    def expect(self, cohort: Cohort) -> Expected:
        """By its own past for each device that has one, and by that of the others for each that has none. Worked out
        once for a cohort: whatever a gate asks, it asks of the same few."""
        if (known := self._expected.get(id(cohort))) is None:
            weight = cohort.records_before + self.worth
            share = (cohort.hits_before + self.worth * self.pooled) / weight
            # It holds the cohort, so that no other gets its id.
            known = self._expected[id(cohort)] = Expected(cohort, share, share * (1.0 - share) / (weight + 1.0))
        return known


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
    final: bool = False
    """Whether nobody is left to be exposed, and too few to be a control that says anything by itself."""
    own: "Question | None" = None
    """The same, asked of the treated alone: against their own past, or else what is promised. What a control of a few
    devices seems to prove must be proved by this as well."""
    alone: "Question | None" = None
    """The same, asked of what the treated showed while nobody was a control, against their own past alone."""
    just_after: "Question | None" = None
    """The same, asked of what they showed right after the control fell silent, against what it showed right before."""
    alone_since_seconds: int = 0
    """From when on that was, after the rollout's start."""
    by_itself: bool = False
    """Of `alone`: whether the control showed too little to tell by it what the world does."""
    usual: bool = False
    """Whether shares are of what is beyond each device's own usual: then `guess` is what to expect of the control."""
    unmistakable: bool = False
    """Whether a large enough rise can only be the version, and never the world."""
    apart: Flags | None = None
    """The shares that each hardware target must be cleared of by itself; None where it need not."""

    @property
    def shares(self) -> int:
        return len(self.guess)

    @property
    def few(self) -> bool:
        """Whether one odd device could be all that the treated differ from."""
        return 0 < len(self.control.devices) < FEWEST

    @property
    def strange(self) -> bool:
        """Whether the control's devices have no past to be known by, and those that it is compared with have."""
        if self.own is None or not self.own.by_past or self.by_past or not len(self.control.devices):
            return False
        return 2 * len(self.own.treated.devices) >= len(self.treated.devices)

    @property
    def of_all(self) -> "Question":
        """The same, asked of those devices that speak for all."""
        treated, control = (one.of(one.drawn) for one in (self.treated, self.control))
        if not len(treated.devices) or (len(self.control.devices) and not len(control.devices)):
            return self
        return replace(self, treated=treated, control=control)

    def on(self, target: str) -> "Question":
        """The same, asked of the devices of one hardware target."""
        treated, control = (one.of(one.targets == target) for one in (self.treated, self.control))
        own = None if self.own is None else self.own.on(target)
        return replace(self, treated=treated, control=control, own=own)

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


def world(question: Question) -> Array:
    """How far the control moved from what was to be expected of it: as much at the least the world can do. Nothing is
    expected of a control without a past, but where the shares are of what is beyond its devices' usual."""
    if not question.by_past and not question.usual:
        return np.zeros(question.shares)
    moved = past_of(question).expect(question.of_all.control).pooled.change
    return np.asarray(np.abs(moved) if question.both_ways else np.maximum(moved, 0.0))
