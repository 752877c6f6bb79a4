"""Real parts for the tests of this folder: `hub`, `agent`, and digits as built for the whole run."""

import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleet_client.demo.child import Child
from fleet_client.demo.programs import start_build, start_replay
from tests.fleet.world import Agent, AgentFactory, Hub, make_agent


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this run share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if base.name.startswith("popen-") else base) / "shared-builds"
    folder.mkdir(exist_ok=True)
    return folder


def _once(shared: Path, name: str, start: Callable[[Path, Path], Child]) -> Path:
    """`name` in `shared`, made by the first worker that asks; the others wait for it."""
    made = shared / name
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            start(made, shared / f"{name}.log").finish(110)
    return made


@pytest.fixture(scope="session")
def digits(shared: Path) -> Path:
    """The folder of a good build of digits."""
    return _once(shared, "digits", start_build)


@pytest.fixture(scope="session")
def worse_digits(shared: Path) -> Path:
    """The folder of a build that has only ever seen 0, 1, 2 and 3."""
    return _once(shared, "worse", lambda out, log: start_build(out, log, "--train-images", "40"))


@pytest.fixture(scope="session")
def images(shared: Path) -> Path:
    """Held-out scans to replay (.npz)."""
    return _once(shared, "images.npz", start_replay)


@pytest.fixture
def hubs(tmp_path: Path) -> Iterator[Callable[..., Hub]]:
    """Starts hubs, each in a folder of its own; `options` go on its command line. All are stopped."""
    started: list[Hub] = []

    def start(*options: str) -> Hub:
        folder = tmp_path / f"hub-{len(started)}"
        folder.mkdir()
        hub = Hub(folder, *options)
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
def agent(hub: Hub, tmp_path: Path, images: Path) -> Iterator[AgentFactory]:
    """Starts agents of `hub`: agent(name, labels={}, target="cpu-vnni", rate_per_second=40). All are stopped."""
    started: list[Agent] = []

    def start(name: str, **options: object) -> Agent:
        one = make_agent(hub, tmp_path / "devices", images, name, **options)  # type: ignore[arg-type]
        started.append(one)
        return one

    yield start
    for one in started:
        one.stop()
