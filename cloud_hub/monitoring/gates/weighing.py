"""What one gate's shares come to: is harm proved, is it ruled out, or can nobody tell yet? Pure.

Where nobody is left to be a control, a change of the world cannot be told from the version's. So what a version was
cleared of beside a control it is not condemned for without one, but for what inputs alone do not do (`_UNMISTAKABLE`
more failures than are tolerated and than the world ever showed). What it was never cleared of passes if its devices do
as they did before, and fails if they did otherwise as soon as they had the version: in the two minutes after the
control fell silent, by more than is tolerated beside what that showed in the two before, a world stands still. What is
between, the world or the version may have done, and no more records tell which: where no more devices are to be exposed
either, somebody must look.
"""

from dataclasses import dataclass, replace
from math import inf

import numpy as np

from cloud_hub.monitoring.gates.apart import unproved
from cloud_hub.monitoring.gates.cohort import Past, Pooled, Question, past_of, world
from cloud_hub.monitoring.gates.failing import Harm, doubt, harm
from cloud_hub.monitoring.gates.passing import bounds
from cloud_hub.monitoring.gates.verdict import Verdict, verdict_of

#: Of what a gate may spend on false alarms, what is spent on devices beside a control, on what they showed right after
#: it fell silent, and on what is too much for any world.
_BESIDE, _JUST_AFTER, _FAR = 0.9, 0.05, 0.05
#: By how much more than is tolerated a share must have risen without a control, in shares of 1.
_UNMISTAKABLE = 0.25


@dataclass(frozen=True)
class Weighed:
    """`question` is the one that was answered: beside a control, or of devices alone. `at` is the share that says most:
    the one that failed, or the one that there is to wait for. `ours` and `theirs` are its cohorts, added up; `target`
    is the only hardware target that a failure is proved of, or that is in doubt and weighed alone; or empty."""

    question: Question
    verdict: Verdict
    at: int
    value: float
    lower: float
    upper: float
    ours: Pooled
    theirs: Pooled | None
    by_past: bool
    target: str = ""
    alone_since_seconds: int | None = None
    """Since when nobody is left to be a control, where somebody was."""
    as_seen: bool = False
    """Whether it passed for being tolerated as far as can be seen, since no more will be."""
    exhausted: bool = False
    """Whether nothing that is still to come could tell."""
    seen: float = inf
    """What `upper` is at the least, however many more records come."""
    clear: bool = False
    """Whether it surely is beyond what is tolerated on these very devices: more records of them add little."""


def weigh(question: Question, alpha: float) -> Weighed:
    """What `question` is answered with. `alpha` is what it may spend on false alarms, and as much on false passes."""
    alone, beside = question.alone, len(question.control.devices) > 0
    if alone is None and not beside:
        return _last(_answered(question, _BESIDE * alpha), question)
    found = _answered(question, _BESIDE * alpha) if beside else None
    if found is not None and found.verdict is Verdict.FAIL:
        return found
    since = question.alone_since_seconds if found else None
    if alone is not None and question.unmistakable:
        moved = world(question) if found and not alone.by_itself else 0.0
        if proved := harm(replace(alone, uncertain=_UNMISTAKABLE + moved), past_of(alone), _FAR * alpha):
            return replace(_failed(alone, past_of(alone), proved, _FAR * alpha), alone_since_seconds=since)
    if found is not None and question.concurrent:
        return _beside_few(found, question, _FAR * alpha) if question.final else found
    if found is not None and found.verdict is Verdict.PASS:
        return replace(found, alone_since_seconds=since)
    if (after := question.just_after) and (proved := harm(after, past_of(after), _JUST_AFTER * alpha)):
        return replace(_failed(after, past_of(after), proved, _JUST_AFTER * alpha), alone_since_seconds=since)
    if alone is None:
        assert found is not None
        left = _as_seen(found) if question.final else found
    elif alone.by_itself:
        left = _last(_answered(alone, _FAR * alpha), question)
    else:
        left = _last(_unproved(alone, past_of(alone), _FAR * alpha), question)
    return replace(left, alone_since_seconds=since)


def _beside_few(found: Weighed, question: Question, alpha: float) -> Weighed:
    """Where a few are left that may be odd, and nobody to be exposed: what differs from them need not have changed."""
    if found.verdict is not Verdict.NOT_ENOUGH_EVIDENCE or not found.clear:
        return found
    alone = question.alone
    if alone is not None and not alone.by_itself:
        by_past = _unproved(alone, past_of(alone), alpha)
        if by_past.verdict is Verdict.PASS:
            return by_past
    return replace(found, exhausted=True)


def _answered(question: Question, alpha: float) -> Weighed:
    past = past_of(question)
    if not question.weighable:
        ours, theirs = _pools(question, past)
        undecided = Verdict.NOT_ENOUGH_EVIDENCE
        return Weighed(question, undecided, 0, 0.0, min(0.0, question.tolerated), 1.0, ours, theirs, False)
    if proved := harm(question, past, alpha):
        return _failed(question, past, proved, alpha)
    return _unproved(question, past, alpha)


def _unproved(question: Question, past: Past, alpha: float) -> Weighed:
    """No harm is proved of other devices: is it ruled out on these, is none of their targets in doubt, and has each
    shown enough by itself?"""
    found = _cleared(question.of_all, past, alpha)
    if found.verdict is not Verdict.PASS:
        return found
    if (target := doubt(question, past)) is not None:
        return _held(_cleared(question.on(target), past, alpha), target)
    for target in unproved(question, past):
        there = _cleared(question.on(target), past, alpha)
        if there.verdict is not Verdict.PASS:
            return _held(there, target)
    return found


def _held(there: Weighed, target: str) -> Weighed:
    return replace(there, verdict=Verdict.NOT_ENOUGH_EVIDENCE, target=target)


def _cleared(question: Question, past: Past, alpha: float) -> Weighed:
    """Whether it does no harm on the devices that run it; whether it does on others is not asked."""
    ours, theirs = _pools(question, past)
    found = bounds(question, past, alpha)
    reach = np.maximum(found.upper, -found.lower) if question.both_ways else found.upper
    at = int(reach.argmax())
    value = float(abs(found.change[at]) if question.both_ways else found.change[at])
    lower, upper = float(found.lower[at]), float(reach[at])
    least, most = found.seen_lower, found.seen_upper
    if question.both_ways:
        lower = max(lower, -float(found.upper[at]), 0.0)
        least, most = np.maximum(least, -most), np.maximum(most, -least)
    # However far it seems, it is not proved of other devices than these.
    lower = min(lower, value, question.tolerated)
    verdict = verdict_of(lower, upper, question.tolerated)
    clear = bool((least > question.tolerated).any())
    return Weighed(
        question, verdict, at, value, lower, upper, ours, theirs, question.by_past, seen=float(most.max()), clear=clear
    )


def _last(found: Weighed, question: Question) -> Weighed:
    """Where nobody is left to be exposed or to be compared with, what these devices show is all there will be: what
    they did before may be known too badly for any number of their records."""
    if not question.final or found.verdict is not Verdict.NOT_ENOUGH_EVIDENCE or not found.ours.records.any():
        return found
    if found.seen <= found.question.tolerated:
        return replace(found, verdict=Verdict.PASS, upper=max(found.seen, found.value, found.lower), as_seen=True)
    return replace(found, exhausted=found.clear or not found.question.weighable)


def _failed(question: Question, past: Past, proved: Harm, alpha: float) -> Weighed:
    question = question.on(proved.target) if proved.target else question.of_all
    ours, theirs = _pools(question, past)
    found = bounds(question, past, alpha)
    upper = max(float(-found.lower[proved.at] if proved.fell else found.upper[proved.at]), proved.value)
    return Weighed(
        question,
        Verdict.FAIL,
        proved.at,
        proved.value,
        proved.lower,
        upper,
        ours,
        theirs,
        question.by_past,
        proved.target,
    )


def _as_seen(found: Weighed) -> Weighed:
    """As for outcomes: nobody is left to be exposed or to compare with, so what was seen is all there will be."""
    if found.value > found.question.tolerated:
        return replace(found, exhausted=True)
    return replace(found, verdict=Verdict.PASS, upper=max(found.value, found.lower), as_seen=True)


def _pools(question: Question, past: Past) -> tuple[Pooled, Pooled | None]:
    ours = past.expect(question.treated).pooled
    return ours, past.expect(question.control).pooled if len(question.control.devices) else None
