"""How likely a cohort's counts are, when its devices differ. Pure.

The records of one device resemble each other. A device's own share is Beta distributed around the cohort's, and its
records are independent once that is given: hits are beta-binomial (J. G. Skellam, "A probability distribution derived
from the binomial distribution by regarding the probability of success as variable between the sets of trials", J. R.
Stat. Soc. B 10, 1948). `correlation` is that of two records of one device: 0 makes records witnesses, 1 devices.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Below it counts are binomial for all that can be told, and above it rounding would eat the difference.
LEAST_CORRELATION = 1e-7
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680)
_HALF_LOG_TAU = 0.5 * np.log(2 * np.pi)


def log_gamma(x: Array) -> Array:
    """ln Gamma(x) for x > 0, to some 1e-12: Stirling's series, from x + 6 on."""
    high = x + 6.0
    inverse = 1.0 / high
    square = inverse * inverse
    series = inverse * (_STIRLING[0] + square * (_STIRLING[1] + square * (_STIRLING[2] + square * _STIRLING[3])))
    shifted = x * (x + 1.0) * (x + 2.0) * (x + 3.0) * (x + 4.0) * (x + 5.0)
    return np.asarray((high - 0.5) * np.log(high) - high + _HALF_LOG_TAU + series - np.log(shifted))


def log_likelihood(hits: Array, records: Array, share: Array, correlation: Array) -> Array:
    """The sum over devices (the last axis) of ln P(hits | records), but for the number of orders, which cancels.

    `share` is each device's expectation, (..., devices); `correlation` has all axes but the last.
    """
    share = np.clip(share, 1e-9, 1 - 1e-9)
    weight = (1.0 / np.maximum(correlation, LEAST_CORRELATION) - 1.0)[..., None]
    ours, others = weight * share, weight * (1.0 - share)
    one = log_gamma(ours + hits) - log_gamma(ours) + log_gamma(others + (records - hits)) - log_gamma(others)
    return np.asarray((one - log_gamma(weight + records) + log_gamma(weight)).sum(axis=-1))


def logit(share: Array) -> Array:
    """Of shares strictly between 0 and 1."""
    return np.asarray(np.log(share) - np.log1p(-share))


def expit(value: Array) -> Array:
    """The inverse of `logit`."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(value, -40.0, 40.0))))
