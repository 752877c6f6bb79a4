"""A device that hears the hub's time: says when its own is wrong, and stops saying so when it was set."""

from datetime import UTC, datetime, timedelta

from edge_agent.core.clock import Told
from edge_agent.hub_clock import HubClock
from tests.fakes.clock import StoppedClock

TODAY = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


def test_it_is_said_with_the_first_answer_and_no_more_once_the_clock_was_set() -> None:
    now, told = StoppedClock(datetime(1970, 1, 1, tzinfo=UTC)), []
    clock = HubClock(lambda: None, now, lambda: 7.0)
    clock.on_change = lambda: told.append(clock.trouble())
    assert clock.trouble() is None
    clock.heard(TODAY)
    assert [one.code for one in told if one is not None] == ["clock-wrong"]
    clock.heard(TODAY + timedelta(seconds=1))
    assert len(told) == 1
    now.now = TODAY
    assert clock.trouble() is None
    clock.heard(TODAY)
    assert len(told) == 1, "nothing has changed by this answer"


def test_the_hubs_word_is_the_time_where_the_devices_own_is_wrong_and_else_its_own_is() -> None:
    now, steady = StoppedClock(datetime(1970, 1, 1, tzinfo=UTC)), [7.0]
    clock = HubClock(lambda: TODAY, now, lambda: steady[0])
    assert clock.told() is None
    clock.heard(TODAY)
    steady[0] += 60.0
    assert clock.told() == Told(TODAY + timedelta(minutes=1), by_hub=True)
    now.now = TODAY + timedelta(minutes=2)
    assert clock.told() == Told(now.now)


def test_an_order_tells_a_device_that_its_clock_is_behind() -> None:
    assert HubClock(lambda: TODAY, StoppedClock(TODAY - timedelta(days=9)), lambda: 0.0).trouble() is not None
    assert HubClock(lambda: TODAY, StoppedClock(TODAY), lambda: 0.0).trouble() is None
