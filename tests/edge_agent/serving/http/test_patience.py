"""Looking for the next request before sleeping is done where it pays, and costs nothing where it does not."""

import socket
import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.serving.http import crowd as crowds
from edge_agent.serving.http import loop as loops
from edge_agent.serving.http.crowd import ALONE_SECONDS, Crowd
from edge_agent.serving.http.loop import Loop
from edge_agent.serving.http.patience import LINGER_SECONDS, Patience, linger_seconds
from tests.edge_agent.serving.http.test_connections import INFER, LIVE
from tests.fakes.engine import image_model
from tests.fakes.waiting import until
from tests.fakes.wire import served


def tries(patience: Patience, waits: int, *, found: bool) -> int:
    """How often it looked in so many waits."""
    looked = 0
    for _ in range(waits):
        if patience.worth():
            looked += 1
            patience.told(found)
    return looked


def test_who_asks_again_at_once_is_looked_for_each_time():
    assert tries(Patience(2), 1000, found=True) == 1000


def test_what_never_pays_is_tried_ever_more_rarely():
    patience = Patience(2)
    assert tries(patience, 600, found=False) <= 10
    assert 1 <= tries(patience, 2560, found=False) <= 10, "and not given up for ever"


@given(st.floats(0, 0.05) | st.floats(0, 100))
def test_it_is_looked_for_longer_where_that_is_little_of_what_the_answer_took(took):
    assert LINGER_SECONDS <= linger_seconds(took) <= 500e-6
    assert linger_seconds(took) in (LINGER_SECONDS, took * 0.025) or took > 0.02
    assert linger_seconds(0.015) > 300e-6


def test_a_single_core_is_left_to_the_client():
    assert not tries(Patience(1), 1000, found=True)


@given(st.lists(st.booleans(), max_size=300))
def test_one_hit_is_enough_to_trust_again(history):
    patience = Patience(4)
    for found in history:
        while not patience.worth():
            pass
        patience.told(found)
    while not patience.worth():
        pass
    patience.told(True)
    assert patience.worth()


def test_a_loop_that_expects_nothing_sleeps_and_one_in_vain_sleeps_soon(monkeypatch):
    monkeypatch.setattr(loops, "linger_seconds", lambda _: 0.05)
    monkeypatch.setattr(loops, "Patience", lambda _: Patience(2))
    loop, turns = Loop(), iter(range(40))

    def turn() -> None:
        if next(turns, None) is not None:
            loop.expect()
            # Its next turn has nothing to do until then.
            loop.at(time.monotonic() + 0.001, turn)

    loop.soon(turn)
    began, cpu = time.monotonic(), time.thread_time()
    loop.run(lambda: time.monotonic() < began + 1.5)
    loop.close()
    assert time.thread_time() - cpu < 0.5, "of 1.5 s of waiting"


def test_what_is_expected_is_found_without_sleep(monkeypatch):
    monkeypatch.setattr(loops, "linger_seconds", lambda _: 5.0)
    monkeypatch.setattr(loops, "Patience", lambda _: Patience(2))
    loop, done = Loop(), threading.Event()
    slept: list[float] = []
    monkeypatch.setattr(loop, "_epoll", Watched(loop._epoll, slept))
    loop.soon(loop.expect)
    threading.Timer(0.2, lambda: loop.soon(done.set)).start()
    loop.run(lambda: not done.is_set())
    loop.close()
    assert not any(slept), "it looked, and did not wait to be woken"


def test_nobody_is_looked_for_after_a_turn_that_several_had(monkeypatch):
    monkeypatch.setattr(loops, "linger_seconds", lambda _: 5.0)
    monkeypatch.setattr(loops, "Patience", lambda _: Patience(2))
    loop, done = Loop(), threading.Event()
    slept: list[float] = []
    pairs = [socket.socketpair() for _ in range(2)]
    for ours, theirs in pairs:

        def ready(_, ours=ours):
            ours.recv(1)
            loop.expect()

        loop.watch(ours.fileno(), loops.READ, ready)
        theirs.send(b"x")
    monkeypatch.setattr(loop, "_epoll", Watched(loop._epoll, slept))
    threading.Timer(0.1, lambda: loop.soon(done.set)).start()
    loop.run(lambda: not done.is_set())
    loop.close()
    assert slept
    assert all(slept), "it waited to be woken each time"
    for pair in pairs:
        for one in pair:
            one.close()


class Watched:
    """An epoll that notes how long it may sleep."""

    def __init__(self, real, slept: list[float]) -> None:
        self._real = real
        self._slept = slept

    def poll(self, timeout: float):
        self._slept.append(timeout)
        return self._real.poll(timeout)

    def close(self) -> None:
        self._real.close()


def test_who_has_heard_of_no_other_for_a_second_is_alone():
    crowd = Crowd()
    assert crowd.alone("a", 0.0)
    assert not crowd.alone("b", 0.1)
    assert not crowd.alone("a", 0.2)
    assert not crowd.alone("a", ALONE_SECONDS)
    assert crowd.alone("a", 0.11 + ALONE_SECONDS), "the other was heard of at 0.1"
    assert crowd.alone("c", 5.0 + ALONE_SECONDS), "it comes when nobody else does anything any more"
    crowd.left("c")
    assert not crowd.alone("c", 5.1 + ALONE_SECONDS), "another may have its number"


def test_the_rest_of_a_body_is_looked_for_only_where_its_client_is_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(crowds, "ALONE_SECONDS", 0.3)
    looked: list[float] = []
    monkeypatch.setattr(Loop, "expect", lambda _, took_seconds=0.0: looked.append(took_seconds))
    with served(image_model(), tmp_path) as server:
        one, other = server.wire(), server.wire()

        def looks() -> bool:
            # Not for what comes after the answer before.
            time.sleep(0.05)
            looked.clear()
            one.send(INFER[:-10])
            time.sleep(0.05)
            found = bool(looked)
            one.send(INFER[-10:])
            assert one.reply().status == 200
            return found

        def looks_beside_another() -> bool:
            other.send(LIVE)
            assert other.reply().status == 200
            return looks()

        until(looks)
        until(lambda: not looks_beside_another())
        until(looks)
