"""Tries come further and further apart, never at the same time for two devices, and soon again after a good one."""

import random

from edge_agent.transport.backoff import FIRST_SECONDS, GOOD_SECONDS, LONGEST_SECONDS, Backoff


def test_waits_grow_up_to_a_bound():
    backoff = Backoff(random.Random(1))
    waits = [backoff.after(0.0) for _ in range(1_000)]
    assert FIRST_SECONDS / 2 <= waits[0] <= FIRST_SECONDS
    assert waits[3] > waits[0]
    assert all(LONGEST_SECONDS / 2 <= wait <= LONGEST_SECONDS for wait in waits[10:])


def test_two_devices_that_lose_their_broker_together_come_back_apart():
    assert Backoff().after(0.0) != Backoff().after(0.0)


def test_a_good_connection_starts_the_count_again():
    backoff = Backoff(random.Random(1))
    for _ in range(10):
        backoff.after(0.0)
    assert backoff.after(GOOD_SECONDS) <= FIRST_SECONDS


def test_a_connection_that_breaks_at_once_is_no_good_one():
    """Two devices with one name throw each other out for ever: they must slow down."""
    backoff = Backoff(random.Random(1))
    assert min(backoff.after(1.0) for _ in range(20)) < max(backoff.after(1.0) for _ in range(20))
    assert backoff.after(1.0) >= LONGEST_SECONDS / 2
