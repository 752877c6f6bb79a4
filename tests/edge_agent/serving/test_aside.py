"""What is done aside is done in order, whatever fails, on a thread that is there only meanwhile."""

import threading

import pytest

from edge_agent.serving.aside import Aside
from tests.fakes.waiting import until


def asides() -> int:
    return sum(one.name == "aside" for one in threading.enumerate())


def test_one_thing_comes_after_the_other_and_what_goes_first_before_all_that_has_not_begun() -> None:
    aside, begun, go, done = Aside(), threading.Event(), threading.Event(), []

    def first() -> None:
        begun.set()
        assert go.wait(60)
        done.append("first")

    aside.do(first)
    assert begun.wait(60)
    aside.do(lambda: done.append("later"))
    aside.do_first(lambda: done.append("given back"))
    assert asides() == 1
    go.set()
    until(lambda: len(done) == 3)
    assert done == ["first", "given back", "later"]
    until(lambda: not asides())


def test_what_fails_keeps_nothing_from_being_done(caplog: pytest.LogCaptureFixture) -> None:
    aside, done = Aside(), threading.Event()
    aside.do(lambda: 1 // 0)
    aside.do(done.set)
    assert done.wait(60)
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
def test_a_device_that_has_no_thread_to_spare_does_it_at_once(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside, done = Aside(), []

    def none(_: threading.Thread) -> None:
        raise error

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", none)
        aside.do(lambda: done.append(threading.current_thread()))
    assert done == [threading.current_thread()]
    aside.do(lambda: done.append(threading.current_thread()))
    until(lambda: len(done) == 2)
    assert done[1] is not done[0]
