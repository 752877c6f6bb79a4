"""How far shares may have moved on the devices that run a version now. Pure.

To pass says that the version does no harm on these devices; that others do as well is for the next wave to show, and a
policy asks for more of them with `minimum_devices`. So they are taken as they are: the change is their share, less what
their own past and the control's change lead to expect. Its bounds join a confidence sequence of each cohort's share
(`sequences.py`) with the uncertainty of the past, in quadrature (R. G. Newcombe, "Interval estimation for the
difference between independent proportions", Stat. Med. 17, 1998, method 10; G. Y. Zou, A. Donner, Stat. Med. 27,
2008). All shares must pass, so none has to be corrected for (R. L. Berger, "Multiparameter hypothesis testing and
acceptance sampling", Technometrics 24, 1982).
"""

from dataclasses import dataclass
from math import log, sqrt

import numpy as np

from cloud_hub.monitoring.gates.betabinomial import Array
from cloud_hub.monitoring.gates.cohort import Past, Question
from cloud_hub.monitoring.sequences import share_intervals


@dataclass(frozen=True)
class Bounds:
    """How much each share rose (fell, below 0), and what it may truly be. `seen_lower` and `seen_upper` are the same if
    what was to be expected were known exactly: no more records bring the others closer together than these."""

    change: Array
    lower: Array
    upper: Array
    seen_lower: Array
    seen_upper: Array


def bounds(question: Question, past: Past, alpha: float) -> Bounds:
    """Of each share's change; wrong at any time with a probability of about `alpha` at most."""
    ours = past.expect(question.treated).pooled
    if question.promised or not len(question.control.devices):
        lower, upper = share_intervals(ours.hits, ours.records, alpha)
        change = ours.share - (question.guess if question.promised else ours.expected)
        known = np.sqrt(ours.variance) * _deviates(alpha)
        return _bounds(change, ours.share - lower, upper - ours.share, known)
    theirs = past.expect(question.control).pooled
    hits, records = np.stack([ours.hits, theirs.hits]), np.stack([ours.records, theirs.records])
    lower, upper = share_intervals(hits, records, alpha / 2)
    share = np.stack([ours.share, theirs.share])
    down, up = share - lower, upper - share
    change, known = ours.change - theirs.change, np.sqrt(ours.variance + theirs.variance) * _deviates(alpha)
    return _bounds(change, np.hypot(down[0], up[1]), np.hypot(up[0], down[1]), known)


def _bounds(change: Array, down: Array, up: Array, known: Array) -> Bounds:
    return Bounds(change, change - np.hypot(down, known), change + np.hypot(up, known), change - down, change + up)


def _deviates(alpha: float) -> float:
    """A past does not grow while it is looked at: a fixed bound will do (Hoeffding's for a normal tail)."""
    return sqrt(2 * log(1 / alpha))
