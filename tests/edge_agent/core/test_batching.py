"""Calls go together as far as the bounds allow, in order, and none waits longer than it may."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.batching import ALONE, Bounds, Hold, Take, plan

bounds = st.builds(Bounds, st.integers(1, 16), st.floats(0, 1))
lines = st.lists(st.integers(1, 20), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("rows", "waited", "limits", "more", "step"),
    [
        ([1], 0.0, ALONE, False, Take(1)),
        ([1, 1], 0.0, ALONE, False, Take(1)),
        ([1], 0.0, Bounds(8), False, Take(1)),
        ([1, 1, 1], 0.0, Bounds(8), False, Take(3)),
        ([1], 0.001, Bounds(8, 0.005), False, Hold(pytest.approx(0.004))),
        ([1], 0.005, Bounds(8, 0.005), False, Take(1)),
        ([1], 0.0, Bounds(8, 0.005), True, Take(1)),
        ([4, 4, 1], 0.0, Bounds(8, 0.005), False, Take(2)),
        ([4, 5], 0.0, Bounds(8, 0.005), False, Take(1)),
        ([20], 0.0, Bounds(8, 0.005), False, Take(1)),
    ],
)
def test_a_plan(rows, waited, limits, more, step):
    assert plan(rows, waited, limits, more=more) == step


def test_there_is_no_plan_for_nothing():
    with pytest.raises(ValueError, match="nothing"):
        plan([], 0.0, ALONE)


@given(lines, st.floats(0, 2), bounds, st.booleans())
def test_the_bounds_hold(rows, waited, limits, more):
    step = plan(rows, waited, limits, more=more)
    if isinstance(step, Take):
        assert 1 <= step.calls <= len(rows)
        assert step.calls == 1 or sum(rows[: step.calls]) <= limits.max_rows
        # Nobody is left behind who would have had room.
        assert step.calls == len(rows) or sum(rows[: step.calls + 1]) > limits.max_rows
    else:
        assert 0 < step.seconds <= limits.max_delay_seconds
        assert waited + step.seconds == pytest.approx(limits.max_delay_seconds)
        assert sum(rows) < limits.max_rows
        assert not more


@given(lines, bounds)
def test_who_has_waited_for_its_time_goes(rows, limits):
    assert isinstance(plan(rows, limits.max_delay_seconds, limits), Take)


@given(lines, st.floats(0, 2), bounds)
def test_everyone_goes_in_the_end(rows, waited, limits):
    left = list(rows)
    for _ in range(2 * len(rows)):
        step = plan(left, waited, limits)
        if isinstance(step, Hold):
            waited += step.seconds + 1e-9
        else:
            left = left[step.calls :]
        if not left:
            return
    raise AssertionError(f"{left} never went")
