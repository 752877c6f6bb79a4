"""A model that neither loads nor fails: the agent ends itself, and its load counts as one that ended the process."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_agent import identity
from edge_agent.agent import Agent, PartDied
from edge_agent.config import Config
from edge_agent.state import StateFolder
from fleet_contract.join import Broker, Identity
from tests.fakes.device import ADDRESS, HUB_KEY, RELEASE_KEY


def test_an_updater_that_hangs_ends_the_agent(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    state.create()
    keys = (HUB_KEY.public,), (RELEASE_KEY.public,)
    hub = "http://127.0.0.1:1"
    who = Identity(*ADDRESS, hub, Broker("127.0.0.1", 1), *keys, "", "", "cpu-vnni", datetime.now(UTC))
    identity.save(state, who)
    agent = Agent(Config(state_dir=state.path), state)
    agent.check()
    agent._updater.turned_at -= 301
    with pytest.raises(PartDied, match="a model hangs"):
        agent.check()
    agent.stop()
