"""A gateway whose disk somebody fills keeps no more inputs and goes on inferring; with room again, it keeps them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_client.demo.programs import free_port
from fleet_client.views import Device
from tests.built import Digits, digits  # noqa: F401
from tests.fakes.faults.mounts import mounted
from tests.fleet.test_story_captures import CAPTURE, ask, assert_whole, captures, in_lake, names
from tests.fleet.world import Agent, Hub, eventually, make_agent, rolled_out
from tests.live.test_full_state_folder import fill, hub  # noqa: F401
from tests.live.test_mosquitto import windows

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]
#: Captures leave 64 MiB to others.
DISK_BYTES = 96 * 1024 * 1024


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def device(hub: Hub, tmp_path: Path, digits: Digits, port: int) -> Iterator[Agent]:  # noqa: F811
    state = tmp_path / "devices" / "gate-1" / "state"
    state.parent.mkdir(parents=True)
    with mounted("vedette-state", state, "tmpfs", f"size={DISK_BYTES}"):
        one = make_agent(
            hub,
            tmp_path / "devices",
            digits.replay,
            "gate-1",
            more=CAPTURE.format(max_bytes=1 << 30, random_share=1.0) + f"[serving]\ntcp_port = {port}\n",
        )
        yield one
        one.stop()


def test_inputs_are_kept_while_there_is_room_and_again_once_there_is(
    hub: Hub,  # noqa: F811
    device: Agent,
    digits: Digits,  # noqa: F811
    port: int,
) -> None:
    hub.client.models.register(digits.good)
    rolled_out(hub, 1, device)
    eventually(lambda: len(captures(device)) > 10, "inputs are kept")
    filler = fill(device.state)

    def troubled() -> Device | None:
        seen = device.seen()
        return seen if "capture-disk-full" in {one.code for one in seen.troubles} else None

    eventually(troubled, "the device says why it keeps no more")
    kept = captures(device)
    counted = windows(hub)[0]
    for _ in range(20):
        ask(port, 7.0)
    assert captures(device) == kept
    filler.unlink()
    eventually(lambda: len(captures(device)) > len(kept) + 10, "inputs are kept again")
    eventually(lambda: windows(hub)[0] > counted + 2, "windows come in again")
    eventually(lambda: not device.seen().troubles, "nothing is wrong any more")
    for path in captures(device):
        assert_whole(path)
    eventually(lambda: len(in_lake(hub)) > len(kept), "and the hub hears of them")
    assert set(in_lake(hub)) <= names(device)
