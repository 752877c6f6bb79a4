"""What one gate's shares come to: is harm proved, is it ruled out, or can nobody tell yet? Pure."""

from dataclasses import dataclass

import numpy as np

from cloud_hub.monitoring.gates.cohort import Question, past_of
from cloud_hub.monitoring.gates.failing import harm
from cloud_hub.monitoring.gates.passing import Pooled, bounds, pool
from cloud_hub.monitoring.gates.verdict import Verdict, verdict_of


@dataclass(frozen=True)
class Weighed:
    """`at` is the share that says most: the one that failed, or the one that there is to wait for. `ours` and `theirs`
    are its cohorts, added up; `target` is the only hardware target that a failure is proved of, or empty."""

    verdict: Verdict
    at: int
    value: float
    lower: float
    upper: float
    ours: Pooled
    theirs: Pooled | None
    by_past: bool
    target: str = ""


def weigh(question: Question, alpha: float) -> Weighed:
    """What `question` is answered with. `alpha` is what it may spend on false alarms, and as much on false passes."""
    past = past_of(question)
    ours = pool(question.treated, past.expect(question.treated))
    theirs = pool(question.control, past.expect(question.control)) if len(question.control.devices) else None
    if not question.weighable:
        undecided = Verdict.NOT_ENOUGH_EVIDENCE
        return Weighed(undecided, 0, 0.0, min(0.0, question.tolerated), 1.0, ours, theirs, False)
    found = bounds(question, past, alpha)
    if proved := harm(question, past, alpha):
        upper = max(-found.lower[proved.at] if proved.fell else found.upper[proved.at], proved.value)
        return Weighed(
            Verdict.FAIL,
            proved.at,
            proved.value,
            proved.lower,
            float(upper),
            ours,
            theirs,
            question.by_past,
            proved.target,
        )
    reach = np.maximum(found.upper, -found.lower) if question.both_ways else found.upper
    at = int(reach.argmax())
    value = float(abs(found.change[at]) if question.both_ways else found.change[at])
    lower, upper = float(found.lower[at]), float(reach[at])
    if question.both_ways:
        lower = max(lower, -float(found.upper[at]), 0.0)
    # However far it seems, it is not proved of other devices than these.
    lower = min(lower, value, question.tolerated)
    verdict = verdict_of(lower, upper, question.tolerated)
    return Weighed(verdict, at, value, lower, upper, ours, theirs, question.by_past)
