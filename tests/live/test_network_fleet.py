"""A gateway and its hub with a real wire between them: whatever the wire does, each window arrives exactly once."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.built import Digits, digits  # noqa: F401
from tests.fleet.world import PATIENCE_SECONDS, Agent, Hub, eventually, make_agent, patient_client, rolled_out
from tests.live.network import Network, network
from tests.live.relay import relay
from tests.live.test_mosquitto import Mosquitto, windows

pytestmark = [pytest.mark.live, pytest.mark.timeout(2400)]


@pytest.fixture
def wire() -> Iterator[Network]:
    with network() as made, made.within(made.hub):
        yield made


@pytest.fixture
def hub(wire: Network, tmp_path: Path) -> Iterator[Hub]:
    broker = Mosquitto(tmp_path, wire.hub_ip)
    (tmp_path / "hub").mkdir()
    made: list[Hub] = []
    with relay(wire.hub_ip, lambda: made[0].port) as port:
        public = f"http://{wire.hub_ip}:{port}"
        broker_url = f"mqtt://{wire.hub_ip}:{broker.port}"
        made.append(Hub(tmp_path / "hub", "--broker-url", broker_url, "--public-url", public))
        # Reached in the same way from both ends of the wire.
        made[0].client = patient_client(public)
        yield made[0]
        made[0].client.close()
        made[0].stop()
    broker.kill()


@pytest.fixture
def device(wire: Network, hub: Hub, tmp_path: Path, digits: Digits) -> Iterator[Agent]:  # noqa: F811
    with wire.within(wire.gateway):
        one = make_agent(hub, tmp_path / "devices", digits.replay, "gate-1")
    yield one
    one.stop()


def come_in(hub: Hub, more: int = 3, seconds: float = PATIENCE_SECONDS) -> None:
    """Waits until more windows have come in than had before."""
    before = windows(hub)[0]
    eventually(lambda: windows(hub)[0] >= before + more, "windows come in again", seconds)


def test_each_window_arrives_once_whatever_happens_on_the_way(
    wire: Network,
    hub: Hub,
    device: Agent,
    digits: Digits,  # noqa: F811
) -> None:
    hub.client.models.register(digits.good)
    rolled_out(hub, 1, device)
    come_in(hub)

    wire.cut()
    time.sleep(3)
    wire.mend()
    come_in(hub)

    wire.reset()
    time.sleep(3)
    wire.mend()
    come_in(hub)

    wire.unplug()
    time.sleep(3)
    wire.plug()
    come_in(hub)

    # Longer than the hub and the broker wait: to them the device is gone.
    wire.cut()
    time.sleep(50)
    eventually(lambda: device.seen().presence != "online", "to the hub the device is gone")
    wire.mend()
    come_in(hub)
    assert device.online().presence == "online"

    # A connection that has lost the same packet some times in a row stands still until somebody gives it up, which
    # takes the agent 45 s; and that may come again.
    wire.lossy(0.3)
    come_in(hub, 5, 600)
    hub.client.models.register(digits.worse)
    rolled_out(hub, 2)
    device.runs("digits", 2, 600)
    wire.mend()
    come_in(hub)

    # What was acked and what waits add up: nothing was dropped, nothing came twice.
    count, distinct, missing, _ = windows(hub)
    assert count == distinct
    assert missing == 0
    spool = device.seen().spool
    assert spool is None or spool.dropped == 0
