"""Confidence sequences hold however often one looks, and are narrow enough to be of use."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.monitoring.sequences import share_interval, share_intervals


@given(st.integers(0, 5_000), st.integers(0, 5_000), st.sampled_from([0.05, 0.001, 1e-6]))
def test_an_interval_holds_what_was_observed(hits: int, misses: int, alpha: float) -> None:
    lower, upper = share_interval(hits, hits + misses, alpha)
    assert 0.0 <= lower <= upper <= 1.0
    if hits + misses:
        assert lower <= hits / (hits + misses) <= upper


@given(st.integers(0, 500), st.integers(0, 500))
def test_hits_and_misses_mirror_each_other(hits: int, misses: int) -> None:
    lower, upper = share_interval(hits, hits + misses, 0.01)
    mirrored = share_interval(misses, hits + misses, 0.01)
    assert mirrored == pytest.approx((1 - upper, 1 - lower), abs=1e-9)


def test_more_records_narrow_it_and_more_certainty_widens_it() -> None:
    widths = [upper - lower for lower, upper in (share_interval(n // 10, n, 0.01) for n in (10, 100, 1_000, 10_000))]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.03
    surer = share_interval(100, 1_000, 0.0001)
    assert surer.lower < share_interval(100, 1_000, 0.01).lower


def test_nothing_seen_says_nothing() -> None:
    assert share_interval(0, 0, 0.01) == (0.0, 1.0)


def test_no_hit_at_all_still_bounds_the_share() -> None:
    lower, upper = share_interval(0, 1_000, 0.01)
    assert lower == 0.0
    assert 0.005 < upper < 0.01


@pytest.mark.parametrize(("hits", "records"), [(-1, 5), (6, 5)])
def test_counts_that_cannot_be_are_refused(hits: int, records: int) -> None:
    with pytest.raises(ValueError, match="hits"):
        share_interval(hits, records, 0.01)


@pytest.mark.parametrize("share", [0.003, 0.1, 0.5])
def test_looking_all_the_time_misses_no_more_often_than_promised(share: float) -> None:
    alpha, runs = 0.1, 100
    assert ever_missed(share, alpha, runs, looks=range(1, 401)) <= alpha * runs + 3 * (runs * alpha * 0.9) ** 0.5


def ever_missed(share: float, alpha: float, runs: int, looks: range) -> int:
    """In how many runs the interval failed, at any look, to hold the true share."""
    source, missed = random.Random(7), 0
    for _ in range(runs):
        hits = 0
        for records in looks:
            hits += source.random() < share
            lower, upper = share_interval(hits, records, alpha)
            if not lower <= share <= upper:
                missed += 1
                break
    return missed


@given(st.integers(0, 100_000), st.integers(0, 100_000), st.sampled_from((0.5, 0.01, 1e-4)))
def test_many_shares_at_once_have_the_bounds_of_each(hits: int, misses: int, alpha: float) -> None:
    lower, upper = share_intervals(np.array([float(hits)]), np.array([float(hits + misses)]), alpha)
    one = share_interval(hits, hits + misses, alpha)
    assert lower[0] == pytest.approx(one.lower, abs=1e-6)
    assert upper[0] == pytest.approx(one.upper, abs=1e-6)
