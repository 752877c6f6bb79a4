"""Shapes lie where the figures say, inside the picture."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.console.drawing import BASE, TOP, WIDTH, bins, histogram, interval, stack

counts = st.lists(st.integers(0, 10**9), min_size=1, max_size=40)


def test_cohorts_of_any_size_are_compared_by_their_shares() -> None:
    drawn = histogram(["a", "b"], {"treated": [1, 3], "control": [1000, 3000]}, {"treated": "v2", "control": "others"})
    assert drawn is not None
    heights = {(bar.series, bar.title.split(":")[0]): bar.height for bar in drawn.bars}
    assert heights["treated", "a"] == heights["control", "a"] == pytest.approx(heights["treated", "b"] / 3, abs=0.01)
    assert "a: 25.0 % of v2 (1 records)" in {bar.title for bar in drawn.bars}


def test_the_summary_says_what_a_reader_of_the_screen_would_see() -> None:
    drawn = histogram(["a", "b"], {"treated": [1, 3]}, {"treated": "v2"})
    assert drawn is not None
    assert drawn.summary == "v2: most often b (75.0 %)"


def test_a_cohort_without_records_is_left_out_and_none_at_all_draws_nothing() -> None:
    drawn = histogram(["a"], {"treated": [0], "control": [5]}, {"treated": "v2", "control": "others"})
    assert drawn is not None
    assert {bar.series for bar in drawn.bars} == {"control"}
    assert histogram(["a"], {"treated": [0]}, {"treated": "v2"}) is None
    assert histogram([], {"treated": []}, {"treated": "v2"}) is None


@given(counts)
def test_every_bar_lies_inside_the_picture(numbers: list[int]) -> None:
    drawn = histogram([str(i) for i in range(len(numbers))], {"t": numbers}, {"t": "all"})
    if drawn is None:
        assert sum(numbers) == 0
        return
    for bar in drawn.bars:
        assert 0 <= bar.x <= bar.x + bar.width <= WIDTH + 0.02
        assert TOP - 0.02 <= bar.y <= BASE
        assert bar.y + bar.height == pytest.approx(BASE, abs=0.02)


@given(st.lists(st.integers(0, 10**6), max_size=12))
def test_parts_of_a_whole_fill_the_line_without_gaps(numbers: list[int]) -> None:
    segments = stack([(str(number), number, "v1") for number in numbers])
    assert len(segments) == sum(number > 0 for number in numbers)
    end = 0.0
    for segment in segments:
        assert segment.x == pytest.approx(end, abs=0.01)
        end = segment.x + segment.width
    assert not segments or end == pytest.approx(100, abs=0.02)


@given(*[st.floats(-1, 1, allow_nan=False)] * 4)
def test_a_measurement_and_its_threshold_keep_their_order_on_the_line(
    a: float, b: float, c: float, limit: float
) -> None:
    low, value, high = sorted((a, b, c))
    drawn = interval(low, value, high, abs(limit), "x")
    assert 0 <= drawn.low <= drawn.value <= drawn.high <= 100
    assert 0 <= drawn.threshold <= 100
    if high < abs(limit):
        assert drawn.high <= drawn.threshold


def test_bins_are_named_by_their_edges() -> None:
    assert bins([0.5, 0.9]) == ["<0.5", "0.5–0.9", "≥0.9"]
    assert bins([]) == ["all"]
