"""Real parts for the tests of this folder: `hub`, `agent`, and `digits` as built once a machine."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.built import Digits, digits  # noqa: F401
from tests.fleet.world import Agent, AgentFactory, Hub, make_agent


@pytest.fixture
def hubs(tmp_path: Path) -> Iterator[Callable[..., Hub]]:
    """Starts hubs, on a data folder of its own or on `data`; `options` go on the command line. All are stopped."""
    started: list[Hub] = []

    def start(*options: str, data: Path | None = None) -> Hub:
        folder = tmp_path / f"hub-{len(started)}"
        folder.mkdir()
        hub = Hub(folder, *options, data=data)
        started.append(hub)
        return hub

    yield start
    for hub in started:
        hub.client.close()
        hub.stop()


@pytest.fixture
def hub(hubs: Callable[..., Hub]) -> Hub:
    """A hub on free ports, with its broker, stopped in the end."""
    return hubs()


@pytest.fixture
def agent(hub: Hub, tmp_path: Path, digits: Digits) -> Iterator[AgentFactory]:  # noqa: F811
    """Starts agents of `hub`: agent(name, labels={}, target="cpu-vnni", rate_per_second=40). All are stopped."""
    started: list[Agent] = []

    def start(name: str, **options: object) -> Agent:
        one = make_agent(hub, tmp_path / "devices", digits.replay, name, **options)  # type: ignore[arg-type]
        started.append(one)
        return one

    yield start
    for one in started:
        one.stop()
