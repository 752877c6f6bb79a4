"""Who waits for an order, each for a reason of its own, is told apart without a look at the fleet."""

from datetime import UTC, datetime, timedelta

from cloud_hub.rollouts.queues import Queue

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
LATER = NOW + timedelta(seconds=10)


def with_moments() -> Queue:
    moments = {"early": NOW, "late": LATER}
    return Queue(1, moments, {}, moments.__getitem__)


def test_each_device_is_asked_about_from_its_moment_on_and_waits_for_it_no_more() -> None:
    queue = with_moments()
    assert queue.waiting(NOW - timedelta(seconds=1)) == []
    assert (queue.waiting(NOW), queue.held()) == (["early"], {"": 1, "jitter": 1})
    assert (queue.waiting(LATER), queue.held()) == (["early", "late"], {"": 2})


def test_who_had_nothing_to_wait_for_when_its_moment_came_keeps_no_rollout_waiting() -> None:
    queue = with_moments()
    queue.settle(queue.waiting(NOW))
    assert (queue.idle, queue.held()) == (False, {"jitter": 1})
    queue.settle(queue.waiting(LATER))
    assert (queue.idle, queue.held()) == (True, {})


def test_who_goes_away_and_comes_back_before_its_moment_waits_for_it_once() -> None:
    queue = with_moments()
    queue.note({"late": "away"})
    assert queue.held() == {"jitter": 1, "away": 1}
    queue.note({"late": "jitter"})
    assert queue.held() == {"jitter": 2}
    assert queue.waiting(LATER) == ["early", "late"]
    assert queue.held() == {"": 2}
