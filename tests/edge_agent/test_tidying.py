"""What the agent does about its own memory between two looks at its parts, and what it counts as its clients'."""

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent import huge_pages
from edge_agent.agent import Agent
from edge_agent.capture.capturing import Capturing
from edge_agent.serving.engine import ServingEngine
from edge_agent.serving.front import Front
from tests.fakes.lonely_agent import lonely_agent


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    with lonely_agent(tmp_path) as agent:
        yield agent


def test_pages_are_put_together_a_little_each_turn_and_anew_when_something_has_changed(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []

    def gather() -> Iterator[int]:
        for step in range(3):
            begun.append(step)
            yield 1

    monkeypatch.setattr(huge_pages, "gather", gather)
    monkeypatch.setattr("edge_agent.agent._GATHER_SECONDS", 0.0)
    agent._untidy.clear()
    agent.tidy()
    assert begun == []
    agent._changed()
    for _ in range(5):
        agent.tidy()
    assert begun == [0, 1, 2]
    agent._changed()
    agent.tidy()
    agent._changed()
    agent.tidy()
    assert begun[3:] == [0, 0]


class Knot:
    """Only a collection unties it."""

    def __init__(self) -> None:
        self.itself = self


def test_garbage_is_collected_when_something_has_changed(agent: Agent) -> None:
    assert gc.isenabled()
    agent._changed()
    agent.tidy()
    # Old enough that Python has no reason to look at it soon.
    kept = Knot()
    knot = weakref.ref(kept)
    gc.collect()
    del kept
    agent.tidy()
    assert knot() is not None
    agent._changed()
    agent.tidy()
    assert knot() is None


@pytest.mark.parametrize(("on_connections", "in_tensors"), [(5, 7), (7, 5)])
def test_what_requests_hold_is_told_to_who_judges_models_and_counted_once(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, on_connections: int, in_tensors: int
) -> None:
    monkeypatch.setattr(Front, "held_bytes", on_connections)
    monkeypatch.setattr(ServingEngine, "held_bytes", in_tensors)
    monkeypatch.setattr(Capturing, "held_bytes", 3)
    judged = agent._updater._overview
    told: list[int] = []
    monkeypatch.setattr(judged._footprint, "measure", lambda _loaded, _now, _most, held: told.append(held()))
    judged.shared()
    assert told == [7 + 3], "and with it what is to be captured"
