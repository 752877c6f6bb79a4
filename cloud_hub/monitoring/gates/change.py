"""Whether a share rose in the treated cohort by more than is tolerated: evidence to be looked at at any time. Pure.

Each device's share is expected to be what its own past says (`expected`), moved on the logit scale by a change that
its cohort has in common: `d_t` for the treated, `d_c` for the control, which is the world's own. Around that, devices
differ by the correlation r of their records (`betabinomial.py`), a nuisance between 0 and `most`. Those of the control
may differ more than the treated do, and not less: where they agree with each other, few treated devices can prove a
change; but treated devices that agree do not make a control of one device any better known.

The null hypothesis is that the treated, on average over their devices, rose by at most `tolerated` more than they would
have by the world's change. Against it stands the e-process

    E = integral of L(d_t, d_c, r_t, r_c) over a prior  /  the largest L(d_t, d_c, r_t, r_c) that the null allows,

with L the likelihood of all counts so far. The prior is fixed beforehand, so the numerator is, under any d and r, a
nonnegative martingale when divided by L(d, r), and the denominator is at least L of the truth. Hence E is at most a
test martingale under the null, and by Ville's inequality ever reaches 1/alpha with a probability of at most alpha,
however often and whenever it is looked at (J. Ville, "Etude critique de la notion de collectif", 1939; H. Robbins, Ann.
Math. Stat. 41, 1970; L. Wasserman, A. Ramdas, S. Balakrishnan, "Universal inference", PNAS 117, 2020, section 7). It is
exact for rare errors and few devices, as far as the model of devices holds; `benchmarks/gates.py` tries others.
"""

from dataclasses import dataclass

import numpy as np

from cloud_hub.monitoring.gates.betabinomial import LEAST_CORRELATION, Array, expit, log_likelihood, logit

#: Scales of the prior of a cohort's change, in logits: hardly any, and any at all. Each has half of the weight.
_SCALES = (0.25, 2.5)
#: Shares of the largest correlation that are weighed, each alike.
_CORRELATIONS = np.array([0.0, 0.003, 0.015, 0.06, 0.25, 1.0])
#: Which of them the treated have, and which the control; half of the weight is on those that are the same.
_OURS, _THEIRS = np.triu_indices(len(_CORRELATIONS))
_WEIGHTS = np.where(_OURS == _THEIRS, 0.5 / len(_CORRELATIONS), 0.5 / (len(_OURS) - len(_CORRELATIONS)))
_SHIFTS = np.linspace(-16.0, 16.0, 129)
_NODES = np.linspace(-5.0, 5.0, 15)
_SEARCH, _ZOOM = 11, 5
_BARELY = 1e-6


@dataclass(frozen=True)
class Counted:
    """One share in one cohort: an entry a device. `expected` is the share that its past leads to expect, or a guess."""

    hits: Array
    records: Array
    expected: Array

    @property
    def misses(self) -> "Counted":
        """The same, told by what did not hit."""
        return Counted(self.records - self.hits, self.records, 1.0 - self.expected)


class _Cohort:
    """The likelihood of one cohort over changes of its shares."""

    def __init__(self, counted: Counted) -> None:
        seen = counted.records > 0
        self._hits, self._records = counted.hits[seen], counted.records[seen]
        self._expected = logit(np.clip(counted.expected[seen], _BARELY, 1 - _BARELY))
        shares = expit(self._expected + _SHIFTS[:, None])
        self._mean = shares.mean(axis=1)
        pooled = shares @ (self._records / self._records.sum())
        # As if half a hit more had been seen, so that there is a best shift for no hits and for nothing else.
        self.shift = float(np.interp((self._hits.sum() + 0.5) / (self._records.sum() + 1.0), pooled, _SHIFTS))

    def mean(self, shift: Array) -> Array:
        """The share, averaged over devices, after `shift`."""
        return np.asarray(np.interp(shift, _SHIFTS, self._mean))

    def shift_to(self, mean: Array) -> Array:
        """The shift that brings the average to `mean`."""
        return np.asarray(np.interp(mean, self._mean, _SHIFTS))

    def log_likelihood(self, shift: Array, correlation: Array) -> Array:
        return log_likelihood(self._hits, self._records, expit(self._expected + shift[..., None]), correlation)

    def width(self, correlation: Array) -> Array:
        """About how well the shift is known at each correlation, as a standard deviation."""
        share = expit(self._expected + self.shift)
        # The records that a device's are worth.
        worth = self._records / (1.0 + (self._records - 1.0) * correlation[:, None])
        return np.asarray(1.0 / np.sqrt((worth * share * (1.0 - share)).sum(axis=1) + 0.25))

    def log_average(self, correlation: Array) -> Array:
        """ln of the likelihood averaged over the prior of the shift, at each correlation."""
        width = self.width(correlation)
        shifts = self.shift + width[:, None] * _NODES
        logs = self.log_likelihood(shifts, np.broadcast_to(correlation[:, None], shifts.shape)) + _log_prior(shifts)
        step = width * (_NODES[1] - _NODES[0])
        return np.asarray(log_sum(logs, axis=1) + np.log(step))


def log_evidence(treated: Counted, control: Counted | None, tolerated: float, most: float) -> float:
    """ln E against "the share rose by at most `tolerated`" (in shares of 1; 0 is no rise). Without a control, devices
    would have stayed as expected. `most` is the largest correlation. 0 when there is nothing to weigh."""
    if not treated.records.any() or (control is not None and not control.records.any()):
        return 0.0
    correlation = np.maximum(_CORRELATIONS * most, LEAST_CORRELATION)
    ours = _Cohort(treated)
    if control is None:
        shift = np.full((len(correlation), 1), float(ours.shift_to(ours.mean(np.zeros(1)) + tolerated)[0]))
        allowed = ours.log_likelihood(shift, correlation[:, None])
        numerator = ours.log_average(correlation) - np.log(len(correlation))
    else:
        theirs = _Cohort(control)
        averages = ours.log_average(correlation)[_OURS], theirs.log_average(correlation)[_THEIRS]
        numerator = averages[0] + averages[1] + np.log(_WEIGHTS)
        allowed = _allowed(ours, theirs, tolerated, correlation)
    return float(log_sum(numerator, axis=0) - allowed.max())


def _allowed(ours: _Cohort, theirs: _Cohort, tolerated: float, correlation: Array) -> Array:
    """ln of the likelihood on the null's edge, averaged over the prior of the world's change (Laplace's method)."""
    ours_alone = float(ours.shift_to(ours.mean(np.array([ours.shift])) - tolerated)[0])
    ends = sorted((theirs.shift, ours_alone))
    spare = float(theirs.width(correlation[-1:])[0])
    of_ours, of_theirs = correlation[_OURS], correlation[_THEIRS]

    def at(shifts: Array, mine: Array, other: Array) -> tuple[Array, Array]:
        moved = ours.shift_to(ours.mean(shifts) + tolerated)
        return (
            ours.log_likelihood(moved, np.broadcast_to(mine[:, None], shifts.shape)),
            theirs.log_likelihood(shifts, np.broadcast_to(other[:, None], shifts.shape)) + _log_prior(shifts),
        )

    near = np.broadcast_to(np.linspace(ends[0] - spare, ends[1] + spare, _SEARCH), (len(correlation), _SEARCH))
    mine, other = at(near, correlation, correlation)
    near, found, rows = near[_OURS], mine[_OURS] + other[_THEIRS], np.arange(len(_OURS))
    for _ in range(2):
        step = (near[:, 1] - near[:, 0])[:, None]
        near = near[rows, found.argmax(axis=1)][:, None] + step * np.linspace(-1.0, 1.0, _ZOOM)
        mine, other = at(near, of_ours, of_theirs)
        found = mine + other
    width = 1.0 / np.sqrt(ours.width(of_ours) ** -2 + theirs.width(of_theirs) ** -2 + _SCALES[-1] ** -2)
    return np.asarray(found.max(axis=1) + np.log(width * np.sqrt(2 * np.pi)))


def _log_prior(shift: Array) -> Array:
    densities = sum(np.exp(-0.5 * (shift / scale) ** 2) / scale for scale in _SCALES)
    return np.asarray(np.log(np.maximum(densities, 1e-300)) - np.log(len(_SCALES) * np.sqrt(2 * np.pi)))


def log_sum(logs: Array, axis: int) -> Array:
    """ln of the sum of exponentials."""
    top = logs.max(axis=axis, keepdims=True)
    return np.asarray(np.squeeze(top, axis) + np.log(np.exp(logs - top).sum(axis=axis)))
