"""Several models share a memory budget: who was not asked for longest is parked, and comes back when asked."""

import threading
import time

import pytest

from edge_agent.failures import ArtifactRejected
from edge_agent.serving import shadow as shadow_module
from edge_agent.serving.port import Answered, ModelUnready
from tests.fakes.releases import a_manifest
from tests.fakes.sessions import FakeSession, Served, serving
from tests.fakes.waiting import until


class Opened:
    """Opens sessions that answer `label`, and remembers them."""

    def __init__(self, label: int) -> None:
        self.label = label
        self.sessions = [FakeSession(label)]
        self.error: Exception | None = None

    def __call__(self) -> FakeSession:
        if self.error is not None:
            raise self.error
        self.sessions.append(FakeSession(self.label))
        return self.sessions[-1]

    @property
    def open(self) -> int:
        return sum(not session.closed for session in self.sessions)


def a_model(world: Served, name: str, label: int, memory_bytes: int = 40) -> Opened:
    opened = Opened(label)
    world.runs(opened.sessions[0], a_manifest(model=name), key=name, reopen=opened, memory_bytes=memory_bytes)
    return opened


def test_models_above_the_budget_are_parked_and_come_back_on_demand():
    with serving("a", "b", "c", memory_max_bytes=100) as world:
        models = {name: a_model(world, name, label) for label, name in enumerate("abc")}
        world.engine.settle()
        assert [models[name].open for name in "abc"] == [0, 1, 1], "the one that was switched to first"
        for name in "abcabcba":
            assert world.engine.ready(name)
            answers = world.ask(model=name)
            assert isinstance(answers.wait()[0], Answered)
            assert answers.labels == ["abc".index(name)]
            assert sum(one.open for one in models.values()) <= 2
        assert world.engine.models() == ("a", "b", "c")
        assert [one.parked for one in map(world.slot, "abc")] == [False, False, True]


def test_without_a_budget_nothing_is_parked():
    with serving("a", "b") as world:
        models = [a_model(world, name, 1, 10**12) for name in "ab"]
        world.engine.settle()
        assert [one.open for one in models] == [1, 1]


def test_a_shadow_is_parked_before_its_live_model():
    with serving("a", memory_max_bytes=60) as world:
        shadow = a_model(world, "a@shadow", 1)
        live = a_model(world, "a", 1)
        world.ask(model="a").wait()
        until(lambda: world.slot("a@shadow").health().count == 1)
        world.engine.settle()
        assert (live.open, shadow.open) == (1, 0)


def test_a_parked_shadow_comes_back_when_there_is_room_and_parks_nobody(monkeypatch):
    monkeypatch.setattr(shadow_module, "ROOM_SECONDS", 0.1)
    with serving("a", "b", memory_max_bytes=100) as world:
        shadow = a_model(world, "a@shadow", 1)
        live, other = a_model(world, "a", 1), a_model(world, "b", 1)
        world.engine.settle()
        assert (live.open, other.open, shadow.open) == (1, 1, 0)

        def asked() -> int:
            world.ask(model="a").wait()
            assert live.open + other.open + shadow.open <= 2
            return world.slot("a@shadow").health().count

        until_no_room = time.monotonic() + 0.3
        while time.monotonic() < until_no_room:
            assert asked() == 0
        assert len(shadow.sessions) == 1, "it was not opened for nothing either"
        world.slot("b").switch(None)
        until(asked)
        assert shadow.open == 1


def test_a_parked_model_is_not_opened_by_the_thread_that_asks():
    opener: list[str] = []
    with serving("a", memory_max_bytes=1) as world:

        def reopen() -> FakeSession:
            opener.append(threading.current_thread().name)
            return FakeSession(1)

        world.runs(FakeSession(1), a_manifest(model="a"), key="a", reopen=reopen, memory_bytes=40)
        until(lambda: world.ask(model="a").threads == [threading.current_thread().name])
        world.engine.settle()
        world.ask(model="a").wait()
    assert opener and opener[0].startswith("worker")


def test_a_model_that_cannot_be_opened_again_says_so_and_is_counted():
    with serving("a", memory_max_bytes=1) as world:
        model = a_model(world, "a", 1)
        world.engine.settle()
        model.error = ArtifactRejected("The disk has changed it.", code="digest-wrong")
        (refused,) = world.ask(model="a").wait()
        assert isinstance(refused, ModelUnready)
        assert "changed" in refused.what
        assert world.slot("a").health().errors == 1
        model.error = None
        assert isinstance(world.ask(model="a").wait()[0], Answered)
    (window,) = world.windows()
    assert window.error_codes == {"digest-wrong": 1}


@pytest.mark.parametrize("names", ["ab", "abcd"])
def test_many_who_ask_for_many_models_are_all_answered_within_the_budget(names):
    with serving(*names, memory_max_bytes=80, workers=2) as world:
        models = {name: a_model(world, name, label % 3) for label, name in enumerate(names)}
        asked = [(name, world.ask(model=name)) for name in names * 8]
        for name, answers in asked:
            assert isinstance(answers.wait()[0], Answered)
            assert answers.labels == [names.index(name) % 3]
        world.engine.settle()
        assert sum(one.open for one in models.values()) <= 2
