"""Sources come and go as the config says; those that stay do not notice."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from edge_agent import feeds as feeds_module
from edge_agent.feeds import Feeds
from edge_agent.live import LiveModel, Loaded
from edge_agent.serving.engine import ServingEngine
from edge_agent.sources import opening
from edge_agent.sources.source import Record, Records
from edge_agent.telemetry.tally import Tally
from edge_agent.telemetry.window import Recorder
from edge_agent.vitals import Vitals
from tests.edge_agent.test_inference import FakeSession
from tests.fakes.releases import a_manifest
from tests.fakes.waiting import until


@dataclass(frozen=True)
class Settings:
    """A source's settings, which are all that `Feeds` compares."""

    name: str
    model: str = "digits"
    hangs: bool = False


@dataclass
class FakeSource:
    settings: Settings
    let_go: threading.Event
    model: str = "digits"
    rate_per_second: float = 200.0
    trouble: None = None
    given: int = 0
    closed: bool = False

    def records(self, manifest) -> Records:
        while True:
            if self.settings.hangs:
                self.let_go.wait(30)
            self.given += 1
            yield Record({"image": np.zeros((1, 4), np.float32)})

    def close(self) -> None:
        self.closed = True


@dataclass
class World:
    feeds: Feeds
    let_go: threading.Event = field(default_factory=threading.Event)
    sources: list[FakeSource] = field(default_factory=list)

    def make(self, settings: Settings) -> FakeSource:
        self.sources.append(FakeSource(settings, self.let_go))
        return self.sources[-1]

    def running(self) -> list[str]:
        return sorted(one.settings.name for one in self.sources if not one.closed)


@pytest.fixture
def world(monkeypatch) -> Iterator[World]:
    monkeypatch.setattr(feeds_module, "_LEAVE_SECONDS", 0.3)
    slot = LiveModel()
    slot.switch(Loaded(a_manifest(), FakeSession()))
    tally = Tally(Recorder(60_000))
    engine = ServingEngine(lambda key: slot if key == "digits" else LiveModel(), lambda: ["digits"], tally)
    world = World(Feeds(lambda _: slot, engine))
    monkeypatch.setattr(opening, "source_of", world.make)
    yield world
    world.let_go.set()
    world.feeds.stop(5.0)
    engine.close()
    tally.close()


def test_a_source_that_stays_goes_on_while_others_come_and_go(world):
    stays, goes, comes = Settings("stays"), Settings("goes"), Settings("comes")
    world.feeds.follow([stays, goes])
    until(lambda: all(one.given > 3 for one in world.sources))
    world.feeds.follow([comes, stays])
    assert world.running() == ["comes", "stays"]
    assert [one.settings.name for one in world.sources] == ["stays", "goes", "comes"]
    before = world.sources[0].given
    until(lambda: world.sources[0].given > before)


def test_two_sources_that_are_alike_are_two(world):
    twin = Settings("twin")
    world.feeds.follow([twin, twin])
    assert world.running() == ["twin", "twin"]
    world.feeds.follow([twin])
    assert world.running() == ["twin"]


def test_a_source_that_hangs_is_stuck_also_after_it_was_taken_out(world):
    world.feeds.follow([Settings("bad", hangs=True)])
    until(lambda: world.sources)
    time.sleep(0.1)
    world.feeds.follow([])
    assert world.feeds.threads() == []
    vitals, begin = Vitals(time.monotonic()), time.monotonic()
    looks = (begin + 10 * number for number in range(1, 8))
    said = [vitals.stuck(world.feeds.vitals(), now) for now in looks]
    assert said[0] is None
    assert "source-0" in said[-1].sentence
    assert "digits" in said[-1].sentence
    world.let_go.set()
    until(lambda: not list(world.feeds.vitals()))


def test_stopping_waits_for_nobody_longer_than_told(world):
    world.feeds.follow([Settings("bad", hangs=True), Settings("good")])
    until(lambda: len(world.sources) == 2)
    began = time.monotonic()
    world.feeds.stop(0.5)
    # The source lets go after 30 s.
    assert time.monotonic() - began < 15
    assert world.running() == ["bad"]
