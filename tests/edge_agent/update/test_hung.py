"""What hangs for good ends the agent, which says whose fault it is; the service manager starts it again."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_agent import identity
from edge_agent.agent import Agent, PartStuck
from edge_agent.config import Config
from edge_agent.state import StateFolder
from edge_agent.vitals import Vitals
from fleet_contract.because import Because
from fleet_contract.join import Broker, Identity
from tests.fakes.device import ADDRESS, HUB_KEY, RELEASE_KEY


@pytest.fixture
def agent(tmp_path: Path):
    state = StateFolder(tmp_path / "state")
    state.create()
    keys = (HUB_KEY.public,), (RELEASE_KEY.public,)
    hub = "http://127.0.0.1:1"
    who = Identity(*ADDRESS, hub, Broker("127.0.0.1", 1), *keys, "", "", "cpu-vnni", datetime.now(UTC))
    identity.save(state, who)
    agent = Agent(Config(state_dir=state.path), state)
    yield agent
    agent.stop()


def test_a_model_that_hangs_or_leaks_ends_the_agent(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    agent.check()
    monkeypatch.setattr(agent._updater, "unwell", lambda: Because("load-hangs", "Loading version 2 hangs."))
    with pytest.raises(PartStuck, match="Loading version 2 hangs") as caught:
        agent.check()
    assert caught.value.code == "load-hangs"


def test_an_updater_that_hangs_elsewhere_ends_the_agent_too(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    agent.check()
    # It has been awake, and looked at, for long.
    vitals = Vitals(time.monotonic() - 1000)
    vitals._looked_at = time.monotonic()
    monkeypatch.setattr(agent, "_vitals", vitals)
    agent._updater.turned_at -= 361
    with pytest.raises(PartStuck, match="a model hangs"):
        agent.check()
