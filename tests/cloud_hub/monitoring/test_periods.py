"""What cohorts showed is kept by when they did, in a few periods, exactly, and in any order of arrival."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.monitoring.evidence import Counted, Evidence, merge
from cloud_hub.monitoring.periods import MOST, SHORTEST_SECONDS, Periods, abreast, width_of


def window(device: str = "gateway-1", records: int = 1) -> Counted:
    return Counted(device, "sha256:a", records, 0, {}, {}, (), {})


WINDOWS = st.lists(
    st.tuples(st.floats(-10, 40_000), st.builds(window, st.sampled_from(["gateway-1", "gateway-2"]), st.integers(1, 9)))
)


def test_a_young_rollout_has_short_periods_and_an_old_one_as_few() -> None:
    assert width_of(0) == width_of(MOST * SHORTEST_SECONDS - 1) == SHORTEST_SECONDS
    assert width_of(MOST * SHORTEST_SECONDS) == 2 * SHORTEST_SECONDS
    assert 7 * 86_400 / width_of(7 * 86_400) <= MOST


def test_a_window_is_of_the_period_in_which_it_started() -> None:
    periods = Periods().plus([(0.0, window()), (9.9, window()), (10.0, window("gateway-2"))])
    assert {start: one.records for start, one in periods.shown.items()} == {0: 2, 10: 1}


@given(WINDOWS)
def test_how_windows_arrive_changes_nothing(windows: Sequence[tuple[float, Counted]]) -> None:
    at_once = Periods().plus(windows)
    shuffled = sorted(windows, key=lambda one: (one[1].records, one[0]))
    one_by_one = Periods()
    for one in shuffled:
        one_by_one = one_by_one.plus([one])
    assert one_by_one == at_once
    assert len(at_once.shown) <= MOST + 1
    total = merge(one.total for one in at_once.shown.values())
    assert total.records == sum(one.records for _, one in windows)


def test_both_cohorts_are_put_side_by_side_in_the_wider_ones_periods() -> None:
    young = Periods().plus([(30.0, window()), (90.0, window())])
    old = Periods().plus([(10.0, window("gateway-2")), (800.0, window("gateway-2"))])
    first, second, last = abreast(young, old)
    assert (first.since_seconds, first.treated.records, first.control.records) == (0, 1, 1)
    assert (second.since_seconds, second.treated.records, second.control) == (80, 1, Evidence())
    assert (last.since_seconds, last.treated, last.control.records) == (800, Evidence(), 1)
    (nothing,) = abreast(Periods(), Periods())
    assert nothing.treated == nothing.control == Evidence()
