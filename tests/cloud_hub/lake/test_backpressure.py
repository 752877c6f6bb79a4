"""Devices that find no room are spread over as long as it takes, and over no longer."""

from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.lake.backpressure import LONGEST_SECONDS, SHORTEST_SECONDS, Backpressure, offered


def after(seconds: int, room: float, start: Backpressure, batches: int = 20) -> Backpressure:
    """`seconds` of `batches` a second, of which the share `room` finds room."""
    steering = start
    for second in range(seconds):
        for number in range(batches):
            now = start.since + second + number / batches
            steering = offered(steering, found_room=number < room * batches, now=now)
    return steering


def test_while_more_are_turned_away_than_find_room_they_stay_away_longer_and_longer() -> None:
    waits = [after(seconds, 0.1, Backpressure(0.0)).wait_seconds for seconds in (1, 10, 60, 3600)]
    assert waits == sorted(waits)
    assert waits[1] > 4 * SHORTEST_SECONDS
    assert waits[-1] == LONGEST_SECONDS


def test_once_nearly_all_find_room_they_come_back_sooner() -> None:
    assert after(3600, 1.0, Backpressure(0.0, 300.0)).wait_seconds == SHORTEST_SECONDS


def test_a_balance_is_left_alone() -> None:
    assert after(600, 0.6, Backpressure(0.0, 64.0)).wait_seconds == 64.0


def test_a_longer_wait_is_given_longer_to_show_what_it_does() -> None:
    assert after(49, 0.0, Backpressure(0.0, 100.0)).wait_seconds == 100.0
    assert after(52, 0.0, Backpressure(0.0, 100.0)).wait_seconds == 200.0


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 100)), max_size=200))
def test_no_wait_is_too_short_or_too_long(batches: list[tuple[bool, float]]) -> None:
    steering, now = Backpressure(0.0), 0.0
    for found_room, pause in batches:
        now += pause
        steering = offered(steering, found_room=found_room, now=now)
        assert SHORTEST_SECONDS <= steering.wait_seconds <= LONGEST_SECONDS
