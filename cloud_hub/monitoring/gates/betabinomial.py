"""How likely a cohort's counts are, when its devices differ. Pure.

The records of one device resemble each other. A device's own share is Beta distributed around the cohort's, and its
records are independent once that is given: hits are beta-binomial (J. G. Skellam, "A probability distribution derived
from the binomial distribution by regarding the probability of success as variable between the sets of trials", J. R.
Stat. Soc. B 10, 1948). `correlation` is that of two records of one device: 0 makes records witnesses, 1 devices.
"""

import numpy as np
from numpy.typing import NDArray

from cloud_hub.monitoring.sequences import log_gamma

Array = NDArray[np.float64]

#: Below it counts are binomial for all that can be told, and above it rounding would eat the difference.
LEAST_CORRELATION = 1e-7


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
