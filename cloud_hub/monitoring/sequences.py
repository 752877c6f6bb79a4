"""Confidence sequences: intervals that hold at all times at once, so that one may look as often as one likes. Pure.

For a share p, and s hits in n records, the mixture of likelihood ratios over a Beta(1/2, 1/2) prior,

    M_n(p) = B(1/2 + s, 1/2 + n - s) / (B(1/2, 1/2) p^s (1 - p)^(n - s)),

is a nonnegative martingale that starts at 1 when p is the true share. By Ville's inequality it ever reaches 1/alpha
with a probability of at most alpha, so {p : M_n(p) < 1/alpha} holds the true share for all n at once with a
probability of at least 1 - alpha (J. Ville 1939; H. Robbins, "Statistical methods related to the law of the iterated
logarithm", Ann. Math. Stat. 41, 1970; S. Howard, A. Ramdas, J. McAuliffe, J. Sekhon, "Time-uniform, nonparametric,
nonasymptotic confidence sequences", Ann. Stat. 49, 2021, section 3.2). It needs each record's chance of a hit, given
all before it, to be p; it needs neither a fixed n nor a plan of looks, and is exact at shares near 0 and 1.
"""

from math import inf, lgamma, log, log1p
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_PRIOR = 0.5
_HALVINGS = 40
_STEPS = 6
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680)
_HALF_LOG_TAU = 0.5 * np.log(2 * np.pi)


class Interval(NamedTuple):
    """Bounds of a share, 0 to 1."""

    lower: float
    upper: float


def share_interval(hits: int, records: int, alpha: float) -> Interval:
    """Where the true share lies, for all times at once, but for a probability of `alpha`.

    Nothing seen says nothing: (0, 1). Raises ValueError when hits are not within 0 and `records`.
    """
    if not 0 <= hits <= records:
        raise ValueError(f"{hits} hits in {records} records")
    if records == 0:
        return Interval(0.0, 1.0)
    misses = records - hits
    # The share is inside while hits log p + misses log(1 - p) > floor, which is concave with its top at hits/records.
    floor = _log_beta(_PRIOR + hits, _PRIOR + misses) - _log_beta(_PRIOR, _PRIOR) - log(1 / alpha)
    top = hits / records
    lower = 0.0 if hits == 0 else _boundary(hits, misses, floor, inside=top, outside=0.0)
    upper = 1.0 if misses == 0 else _boundary(hits, misses, floor, inside=top, outside=1.0)
    return Interval(lower, upper)


def log_gamma(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """ln Gamma(x) for x > 0, to some 1e-12: Stirling's series, from x + 6 on."""
    high = x + 6.0
    inverse = 1.0 / high
    square = inverse * inverse
    series = inverse * (_STIRLING[0] + square * (_STIRLING[1] + square * (_STIRLING[2] + square * _STIRLING[3])))
    shifted = x * (x + 1.0) * (x + 2.0) * (x + 3.0) * (x + 4.0) * (x + 5.0)
    return np.asarray((high - 0.5) * np.log(high) - high + _HALF_LOG_TAU + series - np.log(shifted))


def share_intervals(
    hits: NDArray[np.float64], records: NDArray[np.float64], alpha: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """As `share_interval`, for many shares at once: their lower and their upper bounds. To some 1e-7, and never too
    narrow."""
    # Below for the hits, and above for what did not hit.
    counted = np.stack([hits, records - hits])
    total = np.maximum(records, 1.0)
    share = counted / total
    parts = log_gamma(np.concatenate([counted + _PRIOR, (records + 2 * _PRIOR)[None]]))
    floor = parts[0] + parts[1] - parts[2] - (2 * lgamma(_PRIOR) - lgamma(2 * _PRIOR) + log(1 / alpha))
    top = counted * np.log(np.maximum(share, 1e-300))
    # Both are outside: where hits alone are too unlikely, and where Pinsker's inequality says so.
    far = np.exp(floor / np.maximum(counted, 1e-9))
    near = share - np.sqrt(np.maximum(top[0] + top[1] - floor, 0.0) / (2 * total))
    start = np.minimum(np.maximum(np.maximum(far, near), 1e-300), 1 - 1e-15)
    at = np.log(start) - np.log1p(-start)
    odds = np.exp(at)
    for _ in range(_STEPS):
        # In logits it is concave, so that Newton's steps from outside come ever closer and never get inside.
        short = floor - counted * at + records * np.log1p(odds)
        at += np.maximum(short, 0.0) / np.maximum(counted - records * (odds / (1.0 + odds)), 1e-300)
        odds = np.exp(at)
    found = np.where(counted == 0, 0.0, odds / (1.0 + odds))
    return found[0], 1.0 - found[1]


def _boundary(hits: int, misses: int, floor: float, inside: float, outside: float) -> float:
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        if _log_likelihood(hits, misses, middle) > floor:
            inside = middle
        else:
            outside = middle
    # The one outside: rounding then only ever widens the interval.
    return outside


def _log_likelihood(hits: int, misses: int, share: float) -> float:
    if share <= 0.0:
        return -inf if hits else 0.0
    if share >= 1.0:
        return -inf if misses else 0.0
    return hits * log(share) + misses * log1p(-share)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
