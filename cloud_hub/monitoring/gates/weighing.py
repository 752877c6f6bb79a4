"""What one gate's shares come to: is harm proved, is it ruled out, or can nobody tell yet? Pure.

Where nobody is left to be a control, a change of the world cannot be told from the version's. So what a version was
cleared of beside a control it is not condemned for without one, but for what inputs alone do not do (`_UNMISTAKABLE`
more failures than are tolerated and than the world ever showed). What it was never cleared of is held to the devices'
own past, give or take what the world was seen to do, for then nothing speaks for the version; and where there is no
past either, to what was seen beside the control, for no more will be.
"""

from dataclasses import dataclass, replace

import numpy as np

from cloud_hub.monitoring.gates.betabinomial import Array
from cloud_hub.monitoring.gates.cohort import Past, Pooled, Question, past_of
from cloud_hub.monitoring.gates.failing import Harm, doubt, harm
from cloud_hub.monitoring.gates.passing import bounds
from cloud_hub.monitoring.gates.verdict import Verdict, verdict_of

#: Of what a gate may spend on false alarms, what is spent on devices beside a control, and without one.
_BESIDE, _ALONE = 0.9, 0.1
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


def weigh(question: Question, alpha: float) -> Weighed:
    """What `question` is answered with. `alpha` is what it may spend on false alarms, and as much on false passes."""
    found = _answered(question, _BESIDE * alpha)
    if found.verdict is Verdict.FAIL or question.promised or not len(question.control.devices):
        return found
    since = question.alone_since_seconds
    alone = question.alone
    if alone is not None and not alone.by_itself:
        alone = replace(alone, uncertain=_world(found, alone))
    if found.verdict is Verdict.NOT_ENOUGH_EVIDENCE and not question.concurrent:
        return replace(_answered(alone, _ALONE * alpha) if alone else _as_seen(found), alone_since_seconds=since)
    if alone is not None and question.unmistakable:
        far = replace(alone, uncertain=_UNMISTAKABLE + alone.uncertain)
        if proved := harm(far, past_of(alone), _ALONE * alpha):
            return replace(_failed(alone, past_of(alone), proved, _ALONE * alpha), alone_since_seconds=since)
    return found if question.concurrent else replace(found, alone_since_seconds=since)


def _answered(question: Question, alpha: float) -> Weighed:
    past = past_of(question)
    if not question.weighable:
        ours, theirs = _pools(question, past)
        undecided = Verdict.NOT_ENOUGH_EVIDENCE
        return Weighed(question, undecided, 0, 0.0, min(0.0, question.tolerated), 1.0, ours, theirs, False)
    if proved := harm(question, past, alpha):
        return _failed(question, past, proved, alpha)
    found = _cleared(question, past, alpha)
    if found.verdict is Verdict.PASS and (target := doubt(question, past)) is not None:
        there = _cleared(question.on(target), past, alpha)
        return replace(there, verdict=Verdict.NOT_ENOUGH_EVIDENCE, target=target)
    return found


def _cleared(question: Question, past: Past, alpha: float) -> Weighed:
    """Whether it does no harm on the devices that run it; whether it does on others is not asked."""
    ours, theirs = _pools(question, past)
    found = bounds(question, past, alpha)
    reach = np.maximum(found.upper, -found.lower) if question.both_ways else found.upper
    at = int(reach.argmax())
    value = float(abs(found.change[at]) if question.both_ways else found.change[at])
    lower, upper = float(found.lower[at]), float(reach[at])
    if question.both_ways:
        lower = max(lower, -float(found.upper[at]), 0.0)
    # However far it seems, it is not proved of other devices than these.
    lower = min(lower, value, question.tolerated)
    verdict = verdict_of(lower, upper, question.tolerated)
    return Weighed(question, verdict, at, value, lower, upper, ours, theirs, question.by_past)


def _failed(question: Question, past: Past, proved: Harm, alpha: float) -> Weighed:
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
        return found
    return replace(found, verdict=Verdict.PASS, upper=max(found.value, found.lower))


def _pools(question: Question, past: Past) -> tuple[Pooled, Pooled | None]:
    ours = past.expect(question.treated).pooled
    return ours, past.expect(question.control).pooled if len(question.control.devices) else None


def _world(found: Weighed, alone: Question) -> Array:
    """How far the control moved from its own past: as much at the least the world can do."""
    assert found.theirs is not None
    if not found.by_past and not alone.promised:
        return np.zeros(alone.shares)
    moved = found.theirs.change
    return np.asarray(np.abs(moved) if alone.both_ways else np.maximum(moved, 0.0))
