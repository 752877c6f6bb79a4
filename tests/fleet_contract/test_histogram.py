"""Histograms add up exactly, in any order and any grouping, and quantiles stay within their promised error."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_contract.histogram import (
    LATENCY_RELATIVE_ERROR,
    MAX_LATENCY_BUCKET,
    add_dense,
    add_latency,
    add_sparse,
    bin_of,
    latency_bucket,
    latency_of,
    latency_quantile,
)

COUNTS = st.integers(0, 2**31 - 1)
SPARSE = st.dictionaries(st.text(max_size=3), COUNTS, max_size=5)
LATENCY = st.dictionaries(st.integers(0, MAX_LATENCY_BUCKET), COUNTS, max_size=5)
DENSE = st.lists(COUNTS, min_size=4, max_size=4)
KINDS: dict[str, tuple[Callable[[Any], Any], st.SearchStrategy[Any]]] = {
    "sparse": (add_sparse, SPARSE),
    "latency": (add_latency, LATENCY),
    "dense": (add_dense, DENSE),
}
MICROSECONDS = st.floats(1.0, 1e15)
EDGES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8, unique=True).map(sorted)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_merging_knows_no_order_and_no_grouping(kind: str, data: st.DataObject) -> None:
    add, histograms = KINDS[kind]
    many = data.draw(st.lists(histograms, min_size=1, max_size=6))
    cut = data.draw(st.integers(0, len(many)))
    whole = add(many)
    assert add(data.draw(st.permutations(many))) == whole
    assert add([add(many[:cut]), add(many[cut:])] if 0 < cut < len(many) else [add(many)]) == whole


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_nothing_is_lost_or_made_up_and_nothing_is_changed_in_place(kind: str, data: st.DataObject) -> None:
    add, histograms = KINDS[kind]
    many = data.draw(st.lists(histograms, max_size=6))
    before = [one.copy() for one in many]
    whole = add(many)
    total = sum(sum(one) if kind == "dense" else sum(one.values()) for one in many)
    assert (sum(whole) if kind == "dense" else sum(whole.values())) == total
    assert many == before
    if len(many) == 1:
        assert whole == many[0]
        assert whole is not many[0]


def test_dense_histograms_over_other_edges_are_not_added() -> None:
    with pytest.raises(ValueError, match="shorter"):
        add_dense([[1, 2, 3], [1, 2]])


@given(MICROSECONDS)
def test_a_buckets_latency_is_within_two_percent_of_all_that_it_holds(microseconds: float) -> None:
    stands_for = latency_of(latency_bucket(microseconds))
    assert abs(stands_for - microseconds) <= microseconds * LATENCY_RELATIVE_ERROR * (1 + 1e-9)


@given(st.floats(0, allow_nan=False), st.floats(0, allow_nan=False))
def test_a_longer_latency_never_falls_into_a_lower_bucket(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert 0 <= latency_bucket(low) <= latency_bucket(high) <= MAX_LATENCY_BUCKET


@given(st.integers(0, MAX_LATENCY_BUCKET))
def test_every_bucket_has_a_latency_that_falls_back_into_it(bucket: int) -> None:
    assert math.isfinite(latency_of(bucket))
    assert latency_bucket(latency_of(bucket)) == bucket


@given(st.lists(MICROSECONDS, min_size=1, max_size=50), st.integers(1, 8), st.floats(0, 1))
def test_a_quantile_of_merged_windows_is_that_of_all_records(values: list[float], windows: int, q: float) -> None:
    merged = add_latency(_counted(values[part::windows]) for part in range(windows))
    assert merged == _counted(values)
    found = latency_quantile(merged, q)
    assert found is not None
    # Between the two order statistics around the rank, each within the bucket's error.
    rank = q * (len(values) - 1)
    low, high = sorted(values)[math.floor(rank)], sorted(values)[math.ceil(rank)]
    assert low * (1 - 0.0201) <= found <= high * (1 + 0.0201)


def _counted(values: Sequence[float]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for value in values:
        counts[latency_bucket(value)] = counts.get(latency_bucket(value), 0) + 1
    return counts


def test_there_is_no_quantile_of_nothing() -> None:
    assert latency_quantile({}, 0.5) is None
    assert latency_quantile({5: 0}, 0.5) is None


@given(EDGES, st.floats(allow_infinity=True, allow_nan=False))
def test_a_value_lies_between_the_edges_of_its_bin(edges: list[float], value: float) -> None:
    found = bin_of(edges, value)
    assert 0 <= found <= len(edges)
    assert found == 0 or edges[found - 1] <= value
    assert found == len(edges) or value < edges[found]


@given(EDGES)
def test_what_is_no_number_is_counted_in_the_last_bin(edges: list[float]) -> None:
    assert bin_of(edges, math.nan) == len(edges)
