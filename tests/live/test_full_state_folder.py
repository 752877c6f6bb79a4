"""A gateway whose state folder is a disk that somebody has filled to the last byte: it infers, says so, comes back."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_client.views import Device
from tests.built import Digits, digits  # noqa: F401
from tests.fakes.faults.mounts import mounted
from tests.fleet.world import Agent, Hub, eventually, make_agent, rolled_out
from tests.live.test_mosquitto import windows

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]
DISK_BYTES = 48 * 1024 * 1024


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    (tmp_path / "hub").mkdir()
    hub = Hub(tmp_path / "hub")
    yield hub
    hub.client.close()
    hub.stop()


@pytest.fixture
def device(hub: Hub, tmp_path: Path, digits: Digits) -> Iterator[Agent]:  # noqa: F811
    state = tmp_path / "devices" / "gate-1" / "state"
    state.parent.mkdir(parents=True)
    with mounted("vedette-state", state, "tmpfs", f"size={DISK_BYTES}"):
        one = make_agent(hub, tmp_path / "devices", digits.replay, "gate-1")
        yield one
        one.stop()


def fill(folder: Path) -> Path:
    """Takes all that is left."""
    filler = folder / "somebody-elses"
    with filler.open("ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            while True:
                try:
                    if file.write(bytes(size)) < size:
                        break
                except OSError:
                    break
    assert os.statvfs(folder).f_bavail == 0
    return filler


def test_it_goes_on_inferring_and_updates_and_reports_all_once_there_is_room(
    hub: Hub,
    device: Agent,
    digits: Digits,  # noqa: F811
) -> None:
    hub.client.models.register(digits.good)
    rolled_out(hub, 1, device)
    eventually(lambda: windows(hub)[0] > 2, "windows come in")
    filler = fill(device.state)
    hub.client.models.register(digits.worse)
    policy = {"waves": [{"percent": 100}], "soak_seconds": 0, "minimum_records": 0}
    hub.client.rollouts.create("digits", 2, {**policy, "gates": {"errors": None, "predictions": None}})

    def troubled() -> Device | None:
        seen = device.seen()
        return seen if "disk-full" in {one.code for one in seen.troubles} else None

    seen = eventually(troubled, "the device says that its disk is full")
    running = seen.model("digits").running
    assert running is not None
    assert running.version == 1

    # Killed, it starts from a disk on which nothing can be written.
    device.kill()
    device.start()
    back = eventually(lambda: one if (one := device.online()).model("digits").running else None, "it runs again")
    assert back.model("digits").running.version == 1

    filler.unlink()
    device.runs("digits", 2)
    before = windows(hub)[0]
    eventually(lambda: windows(hub)[0] > before + 2, "windows come in again")
    eventually(lambda: not device.seen().troubles, "nothing is wrong any more")
    count, distinct, missing, _ = windows(hub)
    assert count == distinct
    dropped = device.seen().spool
    assert missing == 0 or (dropped is not None and dropped.dropped >= missing)
