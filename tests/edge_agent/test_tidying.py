"""What the agent does about its own memory between two looks at its parts, and what it counts as its clients'."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_agent import huge_pages, identity
from edge_agent.agent import Agent
from edge_agent.config import Config
from edge_agent.serving.engine import ServingEngine
from edge_agent.serving.front import Front
from edge_agent.state import StateFolder
from fleet_contract.join import Broker, Identity
from tests.fakes.device import ADDRESS, HUB_KEY, RELEASE_KEY


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    state = StateFolder(tmp_path / "state")
    state.create()
    keys = (HUB_KEY.public,), (RELEASE_KEY.public,)
    hub = "http://127.0.0.1:1"
    who = Identity(*ADDRESS, hub, Broker("127.0.0.1", 1), *keys, "", "", "cpu-vnni", datetime.now(UTC))
    identity.save(state, who)
    agent = Agent(Config(state_dir=state.path), state)
    yield agent
    agent.stop()


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


@pytest.mark.parametrize(("on_connections", "in_tensors"), [(5, 7), (7, 5)])
def test_what_requests_hold_is_told_to_who_judges_models_and_counted_once(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, on_connections: int, in_tensors: int
) -> None:
    monkeypatch.setattr(Front, "held_bytes", on_connections)
    monkeypatch.setattr(ServingEngine, "held_bytes", in_tensors)
    judged = agent._updater._overview
    told: list[int] = []
    monkeypatch.setattr(judged._footprint, "measure", lambda _loaded, _now, _most, held: told.append(held()))
    judged.shared()
    assert told == [7]
