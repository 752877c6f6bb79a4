"""A real agent that has joined, in this process: its hub and its broker are nowhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from edge_agent import identity
from edge_agent.agent import Agent
from edge_agent.config import Config
from edge_agent.state import StateFolder
from fleet_contract.join import Broker, Identity
from tests.fakes.device import ADDRESS, HUB_KEY, RELEASE_KEY


@contextmanager
def lonely_agent(folder: Path) -> Iterator[Agent]:
    """With its state in `folder`; not started, and stopped at the end."""
    state = StateFolder(folder / "state")
    state.create()
    keys = (HUB_KEY.public,), (RELEASE_KEY.public,)
    hub = "http://127.0.0.1:1"
    who = Identity(*ADDRESS, hub, Broker("127.0.0.1", 1), *keys, "", "", "cpu-vnni", datetime.now(UTC))
    identity.save(state, who)
    agent = Agent(Config(state_dir=state.path), state)
    try:
        yield agent
    finally:
        agent.stop()
