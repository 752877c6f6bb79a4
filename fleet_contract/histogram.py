"""Mergeable histograms: what windows are made of, and how cohorts are added up exactly.

Latency uses log-spaced buckets (as in DDSketch, Masson et al. 2019), so that a quantile read from any merge of
windows is within `LATENCY_RELATIVE_ERROR` of the true one.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import msgspec

LATENCY_RELATIVE_ERROR = 0.02
_GAMMA = (1 + LATENCY_RELATIVE_ERROR) / (1 - LATENCY_RELATIVE_ERROR)
#: How wide a bucket of latency is, in logarithms.
LOG_GAMMA = math.log(_GAMMA)
#: Some 7,000 years: no honest latency is longer, and larger buckets would overflow a float.
MAX_LATENCY_BUCKET = 1000
Bucket = Annotated[int, msgspec.Meta(ge=0, le=MAX_LATENCY_BUCKET)]


def latency_bucket(microseconds: float) -> int:
    """The bucket of one latency; bucket b covers (gamma^(b-1), gamma^b] microseconds, and 0 all up to 1."""
    if microseconds <= 1.0:
        return 0
    return math.ceil(min(math.log(microseconds) / LOG_GAMMA, MAX_LATENCY_BUCKET))


def latency_of(bucket: int) -> float:
    """The latency, in microseconds, that stands for a bucket: its centre in relative error."""
    return 1.0 if bucket <= 0 else 2.0 * _GAMMA**bucket / (_GAMMA + 1.0)


def latency_quantile(buckets: Mapping[int, int], q: float) -> float | None:
    """The `q` quantile, 0 to 1, in microseconds, or None when nothing was counted."""
    total = sum(buckets.values())
    if total == 0:
        return None
    rank, seen = q * (total - 1), 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen > rank:
            return latency_of(bucket)
    return latency_of(max(buckets))


def bin_of(edges: Sequence[float], value: float) -> int:
    """The bin, 0 to len(edges), of `value`: bin i holds edges[i-1] <= value < edges[i], and the outer two the rest.

    NaN belongs to the last bin, so that it is seen and not lost.
    """
    return len(edges) if math.isnan(value) else bisect_right(edges, value)


def add_sparse(many: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum of histograms that are held as label to count."""
    total: dict[str, int] = {}
    for one in many:
        for label, count in one.items():
            total[label] = total.get(label, 0) + count
    return total


def add_latency(many: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """The sum of latency histograms."""
    total: dict[int, int] = {}
    for one in many:
        for bucket, count in one.items():
            total[bucket] = total.get(bucket, 0) + count
    return total


def add_dense(many: Iterable[Sequence[int]]) -> list[int]:
    """The sum of histograms over the same edges. Raises ValueError when their lengths differ."""
    total: list[int] = []
    for one in many:
        if not total:
            total = list(one)
            continue
        total = [a + b for a, b in zip(total, one, strict=True)]
    return total
