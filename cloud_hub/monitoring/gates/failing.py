"""Whether a version is proved to do harm, on other devices than its canaries too. Pure.

To fail says more than that these devices are worse off: devices are the witnesses, and no number of records makes one
odd device into many (`change.py` has the test). A gate's allowance of false alarms is shared out over its shares,
directions and strata (devices with a past and without one, all hardware targets together and each by itself), by adding
up their e-values with weights whose sum is 1. That is an e-value again, however they depend on each other (V. Vovk, R.
Wang, "E-values: calibration, combination and applications", Ann. Stat. 49, 2021, proposition 3.1).

A control of one device or two may be odd, and one without a past is not known; the treated devices' own past must then
prove the same (the smaller e-value is taken). An odd device of the treated is another matter: the version touched it.

Long before it is proved of a hardware target, harm can be likely there. Then the version is not cleared either, however
well it does on all other targets (`doubt`): a wave opens by what is known of each.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import exp, inf, log

import numpy as np

from cloud_hub.monitoring.gates.betabinomial import Array
from cloud_hub.monitoring.gates.case import FEWEST
from cloud_hub.monitoring.gates.change import Counted, log_evidence
from cloud_hub.monitoring.gates.cohort import ALL, RAW, Cohort, Expected, Past, Pooled, Question, past_of

#: Devices of a cohort that harm is weighed on: more add little, and cost time at every look.
WITNESSES = 48
#: Shares of a gate and stratum that are weighed in one look, the most suspect ones; others count as no evidence.
_WEIGHED = 3
_KNOWN, _NEWCOMERS = 0.8, 0.2
#: A version is in doubt on a target once the odds are three to one that it does harm there.
_DOUBT = log(3)
_HALVINGS = 6


@dataclass(frozen=True)
class Harm:
    """Share `at` rose (or fell, where `fell`) by `value` on the devices of a stratum, and by `lower` at the least.
    `target` is the only hardware target that it is proved of, or empty."""

    at: int
    fell: bool
    value: float
    lower: float
    target: str


@dataclass(frozen=True)
class _Stratum:
    weight: float
    treated: Cohort
    control: Cohort
    past: Past
    correlation: float
    target: str
    newcomers: bool = False


@dataclass(frozen=True)
class _Own:
    """What is held against the treated besides a control that says too little: nothing, where nothing is known."""

    question: Question
    treated: Cohort
    expected: Expected

    def log_evidence(self, at: int, fell: bool, tolerated: float) -> float:
        one = Counted(self.treated.hits[:, at], self.treated.records[:, at], self.expected.share[:, at])
        change = float(self.expected.pooled.change[at])
        if (-change if fell else change) <= tolerated:
            return -inf
        return log_evidence(one.misses if fell else one, None, tolerated, self.question.correlation)


@dataclass(frozen=True)
class _Suspect:
    """One share of one stratum, which seems to have moved too far."""

    stratum: _Stratum
    at: int
    fell: bool
    value: float
    weight: float
    treated: Counted
    control: Counted | None

    def log_evidence(self, tolerated: float) -> float:
        return log(self.weight) + log_evidence(self.treated, self.control, tolerated, self.stratum.correlation)

    def log_proof(self, tolerated: float, own: _Own | None) -> float:
        """The same, as far as the treated alone show it too."""
        found = self.log_evidence(tolerated)
        return found if own is None else min(found, log(self.weight) + own.log_evidence(self.at, self.fell, tolerated))


def harm(question: Question, past: Past, alpha: float) -> Harm | None:
    """The harm that is proved, if any is; a version without any is blamed with a probability of at most `alpha`,
    however often it is looked at."""
    enough = log(1 / alpha)
    tolerated = np.full(question.shares, question.tolerated) + question.uncertain
    weighed = [
        (suspect.log_proof(float(tolerated[suspect.at]), own), suspect, own)
        for stratum in _strata(question, past)
        for own in _besides(question, stratum)
        for suspect in _suspects(question, stratum, tolerated, enough)
    ]
    if not weighed:
        return None
    top, worst, own = max(weighed, key=lambda one: one[0])
    if top == -inf or top + log(sum(exp(evidence - top) for evidence, _, _ in weighed)) < enough:
        return None
    # By how much at the least: the largest tolerance that this share alone would still disprove.
    inside, outside = float(tolerated[worst.at]), worst.value
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        if worst.log_proof(middle, own) >= enough:
            inside = middle
        else:
            outside = middle
    spare = float(tolerated[worst.at]) - question.tolerated
    lower = max(inside - spare, float(np.nextafter(question.tolerated, inf)))
    return Harm(worst.at, worst.fell, max(worst.value, lower), lower, worst.stratum.target)


def doubt(question: Question, past: Past) -> str | None:
    """The hardware target that the version is most in doubt on, if it is on any. Nothing is shared out: a doubt holds
    for as long as it lasts, and condemns nobody."""
    tolerated = np.full(question.shares, question.tolerated) + question.uncertain
    found = [
        (evidence, suspect.stratum.target)
        for stratum in _strata(question, past)
        if stratum.target
        for suspect in _suspects(question, stratum, tolerated, log(_share_of(question, stratum)) + _DOUBT)
        if (evidence := suspect.log_evidence(float(tolerated[suspect.at])) - log(suspect.weight)) >= _DOUBT
    ]
    return max(found)[1] if found else None


def _strata(question: Question, past: Past) -> Iterator[_Stratum]:
    ours, theirs = question.treated, question.control
    if not question.by_past:
        yield from _by_target(1.0, question.correlation, ours, theirs, past)
        return
    known = ours.known
    yield from _by_target(_KNOWN, question.correlation, ours.of(known), theirs.of(theirs.known), past)
    if not known.all() and len(theirs.devices):
        # Nothing is known of these, nor therefore taken as known of those that they are compared with.
        guess = Past(past.pooled, np.full_like(past.worth, ALL))
        for stratum in _by_target(_NEWCOMERS, min(1.0, question.correlation * RAW), ours.of(~known), theirs, guess):
            yield replace(stratum, newcomers=True)


def _by_target(weight: float, correlation: float, treated: Cohort, control: Cohort, past: Past) -> Iterator[_Stratum]:
    targets = sorted({*treated.targets, *control.targets})
    if len(targets) < 2:
        yield _Stratum(weight, _witnesses(treated), _witnesses(control), past, correlation, "")
        return
    drawn, drawn_there = treated.of(treated.drawn), control.of(control.drawn)
    if len(drawn_there.devices) or not len(control.devices):
        yield _Stratum(weight / 2, _witnesses(drawn), _witnesses(drawn_there), past, correlation, "")
    for target in targets:
        here, there = treated.targets == target, control.targets == target
        if here.any() and (there.any() or not len(control.devices)):
            share = weight / 2 / len(targets)
            yield _Stratum(
                share, _witnesses(treated.of(here)), _witnesses(control.of(there)), past, correlation, target
            )


def _witnesses(cohort: Cohort) -> Cohort:
    """At most so many of its devices, always the same ones, and chosen by nothing that they did."""
    if len(cohort.devices) <= WITNESSES:
        return cohort
    chosen = np.zeros(len(cohort.devices), bool)
    chosen[np.argsort(cohort.rank, kind="stable")[:WITNESSES]] = True
    return cohort.of(chosen)


def _suspects(question: Question, stratum: _Stratum, tolerated: Array, enough: float) -> list[_Suspect]:
    """What may come out as proved. To leave one out only ever makes a false alarm rarer."""
    expected = stratum.past.expect(stratum.treated)
    ours = expected.pooled
    theirs, expected_there = None, None
    if not question.promised and len(stratum.control.devices):
        expected_there = stratum.past.expect(stratum.control)
        theirs = expected_there.pooled
    change = ours.change - (theirs.change if theirs else 0.0)
    weight = _share_of(question, stratum)
    found = []
    for fell in (False, True) if question.both_ways else (False,):
        moved = -change if fell else change
        if not (moved > tolerated).any():
            continue
        ceiling = _ceiling(ours, theirs, np.maximum(moved - tolerated, 0.0), fell) + log(weight)
        for at in np.flatnonzero(ceiling >= enough - 1.0):
            counted = Counted(stratum.treated.hits[:, at], stratum.treated.records[:, at], expected.share[:, at])
            control = None
            if expected_there is not None:
                control = Counted(
                    stratum.control.hits[:, at], stratum.control.records[:, at], expected_there.share[:, at]
                )
            if fell:
                counted, control = counted.misses, control.misses if control else None
            suspect = _Suspect(stratum, int(at), fell, float(moved[at]), weight, counted, control)
            found.append((float(ceiling[at]), suspect))
    found.sort(key=lambda pair: pair[0], reverse=True)
    return [suspect for _, suspect in found[:_WEIGHED]]


def _besides(question: Question, stratum: _Stratum) -> tuple[_Own | None, ...]:
    """What must prove the same as the stratum: nothing (None), where its control is enough by itself; none at all,
    where it is not and nothing else is known."""
    if not question.strange and not 0 < len(stratum.control.devices) < FEWEST:
        return (None,)
    own = question.own
    if own is None or (stratum.newcomers and own.by_past):
        return ()
    here = own.treated.targets == stratum.target if stratum.target else own.treated.drawn
    treated = _witnesses(own.treated.of(here))
    return (_Own(own, treated, past_of(own).expect(treated)),) if len(treated.devices) else ()


def _share_of(question: Question, stratum: _Stratum) -> float:
    """What one share of `stratum` that moves one way has of the allowance."""
    return stratum.weight / (question.shares * (2 if question.both_ways else 1))


def _ceiling(ours: Pooled, theirs: Pooled | None, excess: Array, fell: bool) -> Array:
    """About the most that ln E can be: that of records which are all independent, with one cohort's share known."""
    sign = 1.0 if fell else -1.0
    ceiling = ours.records * _divergence(ours.share, ours.share + sign * excess)
    if theirs is not None:
        ceiling = np.minimum(ceiling, theirs.records * _divergence(theirs.share, theirs.share - sign * excess))
    return np.where(excess > 0, ceiling, -inf)


def _divergence(share: Array, other: Array) -> Array:
    """Kullback and Leibler's, of two Bernoulli shares."""
    p, q = np.clip(share, 1e-12, 1 - 1e-12), np.clip(other, 1e-12, 1 - 1e-12)
    return np.asarray(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))
