"""Evidence adds up exactly, in any order and in any parts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.monitoring.evidence import Counted, Evidence, Tally, merge, tally

counts = st.integers(0, 50)
counted = st.builds(
    Counted,
    device=st.sampled_from(["gateway-1", "gateway-2", "gateway-3"]),
    digest=st.sampled_from(["sha256:a", "sha256:b"]),
    records=counts,
    errors=counts,
    latency=st.dictionaries(st.integers(0, 9), counts, max_size=4),
    predictions=st.dictionaries(st.sampled_from("0123"), counts, max_size=4),
    confidence=st.lists(counts, max_size=4).map(tuple),
    error_codes=st.dictionaries(st.sampled_from(["timeout", "shape"]), counts, max_size=2),
    compared=counts,
    agreed=counts,
    features=st.dictionaries(
        st.sampled_from(["image.mean", "image.std"]), st.lists(counts, max_size=4).map(tuple), max_size=2
    ),
    labelled=counts,
    correct=counts,
    memory_bytes=st.integers(0, 2**40),
    temperature=st.none() | st.floats(-273, 2000),
)


def one(device: str = "gateway-1", **changes: object) -> Counted:
    fields: dict[str, object] = {
        "device": device,
        "digest": "sha256:a",
        "records": 10,
        "errors": 2,
        "latency": {100: 10},
        "predictions": {"3": 10},
        "confidence": (0, 10),
        "error_codes": {"shape": 2},
    }
    return Counted(**{**fields, **changes})  # type: ignore[arg-type]  # a test names the fields that it cares for


def test_nothing_shown_is_nothing_known() -> None:
    empty = Evidence()
    assert (empty.devices, empty.records, empty.errors) == (0, 0, 0)
    assert empty.error_share is None
    assert empty.total.latency_quantile(0.95) is None


def test_windows_add_up_by_device_and_in_total() -> None:
    evidence = Evidence().plus([one(), one(), one("gateway-2", errors=0, predictions={"7": 10})])
    assert evidence.devices == 2
    assert evidence.by_device["gateway-1"].records == 20
    assert evidence.total.windows == 3
    assert (evidence.records, evidence.errors) == (30, 4)
    assert evidence.error_share == 4 / 34
    assert evidence.predictions == {"3": 20, "7": 10}


def test_a_device_that_only_failed_has_shown_something() -> None:
    evidence = Evidence().plus([one(records=0, errors=3, latency={}, predictions={}, confidence=())])
    assert (evidence.devices, evidence.error_share) == (1, 1.0)


def test_histograms_of_artifacts_with_other_edges_stay_apart() -> None:
    evidence = Evidence().plus([one(), one(digest="sha256:b", confidence=(1, 2, 3)), one()])
    assert evidence.confidence == {"sha256:a": (0, 20), "sha256:b": (1, 2, 3)}


def test_a_device_that_sends_a_histogram_of_another_length_stops_nobody() -> None:
    assert Evidence().plus([one(), one(confidence=(1, 1, 1))]).confidence == {"sha256:a": (1, 11, 1)}


@pytest.mark.parametrize("nonsense", [float("nan"), float("inf"), -float("inf")])
def test_a_temperature_that_is_no_number_stops_nobody(nonsense: float) -> None:
    evidence = Evidence().plus([one(temperature=nonsense), one(temperature=41.4)])
    assert evidence.by_device["gateway-1"].temperature == {41: 1}


@given(st.lists(counted), st.lists(counted))
def test_parts_add_up_to_the_whole(first: list[Counted], second: list[Counted]) -> None:
    whole = Evidence().plus([*first, *second])
    assert Evidence().plus(first).plus(second) == whole
    assert Evidence().plus(first) + Evidence().plus(second) == whole
    assert (Evidence().plus(second) + Evidence().plus(first)).total == whole.total


@given(st.lists(counted))
def test_the_total_is_the_tally_of_everything(all_of: list[Counted]) -> None:
    total = Evidence().plus(all_of).total
    assert total == tally(all_of)
    assert merge([tally([each]) for each in all_of]) == total


def test_adding_to_evidence_leaves_it_as_it_was() -> None:
    before = Evidence().plus([one()])
    before.plus([one(), one("gateway-2")])
    assert before == Evidence().plus([one()])


def test_a_tally_starts_empty() -> None:
    assert tally([]) == Tally()
