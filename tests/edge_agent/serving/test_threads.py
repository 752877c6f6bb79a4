"""Which thread runs a model: that of who asks, while this holds nobody up, or one of a few workers."""

import threading
import time

import pytest

from tests.fakes.releases import a_manifest
from tests.fakes.sessions import FakeSession, serving
from tests.fakes.waiting import until


def test_a_quick_model_is_run_by_who_asks_and_a_slow_one_by_workers():
    with serving() as world:
        quick, slow = FakeSession(1), FakeSession(2, lambda: time.sleep(0.003))
        world.runs(quick)
        until(lambda: world.ask().threads == [threading.current_thread().name])
        world.runs(slow, a_manifest(2))
        for _ in range(30):
            world.ask().wait()
    assert set(slow.threads[1:]) <= {"worker-0", "worker-1"}


def test_a_thread_that_has_nothing_else_to_do_runs_slower_models_too():
    with serving() as world:
        slow = FakeSession(1, lambda: time.sleep(0.012))
        world.runs(slow)
        until(lambda: world.ask(patient=True).wait() and slow.threads[-1] == threading.current_thread().name)
        world.ask().wait()
        assert slow.threads[-1].startswith("worker-")
        world.ask(rows=2, patient=True).wait()
        assert slow.threads[-1].startswith("worker-"), "twice as many rows may take twice as long"
        slower = FakeSession(2, lambda: time.sleep(0.03))
        world.runs(slower, a_manifest(2))
        for _ in range(4):
            world.ask(patient=True).wait()
    assert set(slower.threads[1:]) <= {"worker-0", "worker-1"}, "others may come meanwhile"


@pytest.mark.parametrize("fails", [False, True])
def test_one_slow_run_is_enough_to_keep_a_model_from_the_thread_that_hears_all(fails):
    seconds = [0.0005]

    def work() -> None:
        time.sleep(seconds[0])
        if fails and seconds[0] > 0.03:
            raise RuntimeError("the device has timed out")

    with serving() as world:
        session = FakeSession(1, work)
        world.runs(session)
        until(lambda: world.ask(patient=True).wait() and session.threads[-1] == threading.current_thread().name)
        seconds[0] = 0.05
        for _ in range(5):
            world.ask(patient=True).wait()
        assert session.threads[-5:].count(threading.current_thread().name) <= 1


def test_where_no_worker_can_be_started_a_call_waits_and_the_next_one_tries_again(monkeypatch):
    def none(thread):
        raise RuntimeError("can't start new thread")

    with serving() as world:
        world.runs(FakeSession())
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", none)
            first = world.ask(1)
        assert first.given == []
        second = world.ask(2)
        first.wait()
        second.wait()
        assert (first.labels, second.labels) == ([1], [2])
