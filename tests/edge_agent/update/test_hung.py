"""What hangs for good ends the agent, which says whose fault it is; the service manager starts it again."""

import time
from pathlib import Path

import pytest

from edge_agent.agent import Agent, PartStuck
from edge_agent.vitals import Vitals
from fleet_contract.because import Because
from tests.fakes.lonely_agent import lonely_agent


@pytest.fixture
def agent(tmp_path: Path):
    with lonely_agent(tmp_path) as agent:
        yield agent


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
