"""A fleet on Debian's Mosquitto: the hub uses a broker that is not its own, and survives its death."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fleet_client.demo.programs import free_port
from tests.built import Digits, digits  # noqa: F401
from tests.fleet.world import Agent, Hub, eventually, make_agent

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]


def connects(port: int, host: str = "127.0.0.1") -> bool:
    with suppress(OSError), socket.create_connection((host, port), timeout=10):
        return True
    return False


class Mosquitto:
    """Debian's broker on a port of its own, with what its package has as defaults: nothing survives a SIGKILL."""

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        # Debian keeps servers in sbin, which is on nobody's path but root's.
        self._program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        assert self._program, "mosquitto is not installed: run `make test-live` as root, or `apt-get install mosquitto`"
        self.host, self.port = host, free_port()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"listener {self.port} {host}\nallow_anonymous true\nset_tcp_nodelay true\n")
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen([str(self._program), "-c", str(self._config)], stderr=subprocess.DEVNULL)
        eventually(lambda: connects(self.port, self.host), "mosquitto listens")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path)
    yield broker
    broker.kill()


@pytest.fixture
def hub(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[Hub]:
    (tmp_path / "hub").mkdir()
    hub = Hub(tmp_path / "hub", "--broker-url", f"mqtt://127.0.0.1:{mosquitto.port}")
    yield hub
    hub.client.close()
    hub.stop()


@pytest.fixture
def device(hub: Hub, tmp_path: Path, digits: Digits) -> Iterator[Agent]:  # noqa: F811
    one = make_agent(hub, tmp_path / "devices", digits.replay, "gate-1")
    yield one
    one.stop()


def windows(hub: Hub) -> tuple[int, int, int, int]:
    """Rows, distinct rows, what is missing between each boot's 1 and its highest sequence, and the highest of all."""
    rows = hub.client.lake.query(
        "SELECT count(*), count(DISTINCT (device, boot, sequence)), "
        "(SELECT coalesce(sum(highest - seen), 0) FROM (SELECT max(sequence) AS highest, count(*) AS seen "
        "FROM windows GROUP BY device, boot)), coalesce(max(sequence), 0) FROM windows"
    ).rows
    count, distinct, missing, highest = rows[0]
    return int(count), int(distinct), int(missing), int(highest)


def test_a_fleet_on_mosquitto_outlives_the_brokers_sigkill(
    mosquitto: Mosquitto,
    hub: Hub,
    device: Agent,
    digits: Digits,  # noqa: F811
) -> None:
    version = hub.client.models.register(digits.good)
    hub.client.rollouts.create("digits", version.version, {"waves": [{"percent": 100}]})
    device.runs("digits", version.version)
    eventually(lambda: windows(hub)[0] > 3, "windows come in over mosquitto")

    for _ in range(3):
        mosquitto.kill()
        time.sleep(2.5)
        before = windows(hub)[0]
        mosquitto.start()
        eventually(lambda before=before: windows(hub)[0] > before + 2, "windows come in again")

    count, distinct, missing, highest = windows(hub)
    assert count == distinct
    assert missing == 0
    assert highest > 8


def test_an_order_given_while_the_broker_was_dead_arrives(
    mosquitto: Mosquitto,
    hub: Hub,
    device: Agent,
    digits: Digits,  # noqa: F811
) -> None:
    device.online()
    version = hub.client.models.register(digits.good)
    mosquitto.kill()
    hub.client.rollouts.create("digits", version.version, {"waves": [{"percent": 100}]})
    time.sleep(1)
    mosquitto.start()
    device.runs("digits", version.version)
