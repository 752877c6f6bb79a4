"""What is said of a device's clock, and what is not."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.clock import TOLERANCE, Sighting, Told, judged, told

HUB = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def years(count: float) -> timedelta:
    return timedelta(days=365.25 * count)


def test_with_no_word_of_the_hub_nothing_is_said() -> None:
    assert judged(HUB, 0.0, None, None) is None


@pytest.mark.parametrize("off", [timedelta(), MINUTE, -MINUTE, TOLERANCE, -TOLERANCE])
def test_a_clock_that_is_as_right_as_can_be_told_is_not_mentioned(off: timedelta) -> None:
    assert judged(HUB + off, 5.0, Sighting(HUB, 5.0), None) is None


@pytest.mark.parametrize(
    ("off", "says"),
    [
        (-years(56), "20454 days behind the hub's"),
        (years(40), "14610 days ahead of the hub's"),
        (timedelta(hours=-3), "3 hours behind the hub's"),
        (timedelta(minutes=5), "5 minutes ahead of the hub's"),
        (timedelta(seconds=-121), "2 minutes behind the hub's"),
    ],
)
def test_a_clock_that_is_wrong_is_named_with_how_far_and_which_way(off: timedelta, says: str) -> None:
    because = judged(HUB + off, 100.0, Sighting(HUB, 100.0), None)
    assert because is not None
    assert because.code == "clock-wrong"
    assert says in because.sentence
    assert "2026-11-22 12:00:00" in because.sentence


def test_the_hubs_word_ages_with_a_clock_that_nobody_sets() -> None:
    assert judged(HUB + timedelta(hours=1), 3600.0, Sighting(HUB, 0.0), None) is None
    assert judged(HUB, 3600.0, Sighting(HUB, 0.0), None) is not None


def test_an_order_proves_that_a_clock_is_behind_and_never_that_it_is_ahead() -> None:
    because = judged(datetime(1970, 1, 1, tzinfo=UTC), 0.0, None, HUB)
    assert because is not None
    assert "at least 20779 days behind" in because.sentence
    assert judged(HUB + years(40), 0.0, None, HUB) is None


def test_a_newer_word_of_the_hub_stands_above_an_order() -> None:
    assert judged(HUB, 0.0, Sighting(HUB, 0.0), HUB + timedelta(days=1)) is None


def test_where_the_calendar_ends_nothing_is_said() -> None:
    assert judged(HUB, 1e9, Sighting(datetime(9999, 12, 31, tzinfo=UTC), 0.0), None) is None


times = st.datetimes(timezones=st.just(UTC))


@given(now=times, steady=st.floats(0, 1e12), hub=times, at=st.floats(0, 1e12), issued_at=times)
def test_no_time_on_any_calendar_is_too_much_for_it(
    now: datetime, steady: float, hub: datetime, at: float, issued_at: datetime
) -> None:
    because = judged(now, steady, Sighting(hub, at), issued_at)
    assert because is None or because.code == "clock-wrong"


def test_a_clock_that_is_right_is_gone_by() -> None:
    assert told(HUB + MINUTE, 5.0, Sighting(HUB, 5.0), None) == Told(HUB + MINUTE)
    assert told(HUB, 5.0, None, None) == Told(HUB)


def test_where_it_is_wrong_the_hubs_time_is_gone_by_however_long_ago_it_was_said() -> None:
    assert told(HUB - years(56), 3605.0, Sighting(HUB, 5.0), None) == Told(HUB + timedelta(hours=1), by_hub=True)


def test_where_it_is_wrong_and_no_hub_has_spoken_nobody_knows_the_time() -> None:
    assert told(HUB - years(56), 5.0, None, HUB) is None


@pytest.mark.parametrize("hub", [datetime(9998, 12, 31, tzinfo=UTC), datetime(1, 1, 2, tzinfo=UTC)])
def test_a_hub_of_no_age_of_ours_is_not_gone_by(hub: datetime) -> None:
    assert told(HUB, 5.0, Sighting(hub, 5.0), None) is None
