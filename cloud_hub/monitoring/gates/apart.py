"""Whether each hardware target has shown by itself that the version does no harm there. Pure.

All devices together can clear a version that is bad on one target of six, for what fails there is a sixth of what is
asked; and in a small fleet that target has a canary or two, which prove nothing against it either. So while more
devices are to be exposed, those of each target must speak for it: that they do as is expected of them must be twenty
times as likely as that they do twice as badly as is tolerated. It is a sequential probability ratio test (A. Wald,
"Sequential tests of statistical hypotheses", Ann. Math. Stat. 16, 1945), and may be looked at as often as one likes: a
target on which so much harm is done ever gets through with a probability of a twentieth at most (Ville's inequality).
What does less is for all devices together to rule out, which takes ten times the records: here it takes some eighty
inferences without an error. It only holds, condemns nobody, and lasts no longer than a device takes to show what it
does; so nothing is shared out over targets.
"""

from math import inf, log

import numpy as np

from cloud_hub.monitoring.gates.betabinomial import Array
from cloud_hub.monitoring.gates.cohort import Past, Question

_ENOUGH = log(20)
#: In parts of what is tolerated. What is harmless may fail now and then, or a single error would take long to undo.
_HARMLESS, _HARMFUL = 0.25, 2.0
_LEAST, _MOST = 1e-6, 1 - 1e-6


def unproved(question: Question, past: Past) -> list[str]:
    """The hardware targets that have not shown enough, of those that both cohorts have, or where nobody is a control,
    of all; the one with least first."""
    if question.apart is None:
        return []
    ours, theirs = {*question.treated.targets}, {*question.control.targets}
    asked = ours & theirs if theirs else ours
    shown = sorted((_shown(question.on(target), past), target) for target in asked if target)
    return [target for so_far, target in shown if so_far < _ENOUGH]


def _shown(question: Question, past: Past) -> float:
    """The logarithm of how much likelier it is to be harmless, of the share where that is least."""
    ours, theirs = past.expect(question.treated).pooled, past.expect(question.control).pooled
    expected = np.maximum(theirs.change, 0.0) + (0.0 if question.usual else ours.expected)
    room = question.guess if question.usual else question.tolerated
    good, bad = (np.clip(expected + part * room, _LEAST, _MOST) for part in (_HARMLESS, _HARMFUL))
    odds: Array = ours.hits * np.log(good / bad) + (ours.records - ours.hits) * np.log((1 - good) / (1 - bad))
    return float(odds[question.apart].min(initial=inf))
