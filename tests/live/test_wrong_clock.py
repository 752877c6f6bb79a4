"""A gateway whose clock is wrong by decades, and jumps while it runs: it infers, says so, and loses no window."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fleet_client.views import Device
from tests.built import Digits, digits  # noqa: F401
from tests.fleet.world import Agent, Hub, eventually, make_agent, rolled_out
from tests.live.test_mosquitto import windows

pytestmark = [pytest.mark.live, pytest.mark.timeout(2400)]
DECADES_AHEAD, DECADES_BEHIND = "+40y", "-56y"


class Clock:
    """The clock of the processes that are started `within` it: faked by libfaketime, and set at any time."""

    def __init__(self, folder: Path) -> None:
        found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
        assert found, "libfaketime is not installed: run `make test-live` as root"
        self._library, self._file = found[0], folder / "clock"
        self.set("+0")

    def set(self, offset: str) -> None:
        """How far it is off, such as "+40y"."""
        written = self._file.with_suffix(".new")
        written.write_text(f"{offset}\n")
        written.replace(self._file)

    @contextmanager
    def within(self) -> Iterator[None]:
        faked = {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            # As in the kernel: what is set is the calendar, and never the clocks that count on.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        before = {name: os.environ.get(name) for name in faked}
        os.environ.update(faked)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    (tmp_path / "hub").mkdir()
    hub = Hub(tmp_path / "hub")
    yield hub
    hub.client.close()
    hub.stop()


def said(agent: Agent) -> set[str]:
    """What the device says is wrong."""
    device = agent.seen()
    return {one.code for one in device.troubles} | ({device.refused.code} if device.refused else set())


def come_in(hub: Hub, more: int = 3) -> None:
    before = windows(hub)[0]
    eventually(lambda: windows(hub)[0] >= before + more, "windows come in")


@pytest.fixture
def device(hub: Hub, clock: Clock, tmp_path: Path, digits: Digits) -> Iterator[Agent]:  # noqa: F811
    hub.client.models.register(digits.good)
    with clock.within():
        one = make_agent(hub, tmp_path / "devices", digits.replay, "gate-1")
    yield one
    one.stop()


def assert_each_window_once(hub: Hub) -> None:
    count, distinct, missing, _ = windows(hub)
    assert count == distinct
    assert missing == 0


def test_a_clock_that_jumps_by_decades_while_it_runs_costs_nothing(hub: Hub, clock: Clock, device: Agent) -> None:
    rolled_out(hub, 1, device)
    come_in(hub)
    for offset in (DECADES_AHEAD, DECADES_BEHIND, "+3h", "-10m"):
        clock.set(offset)
        come_in(hub)
        eventually(lambda: "clock-wrong" in said(device), f"the device says that its clock is {offset} off")
        clock.set("+0")
        come_in(hub)
        eventually(lambda: "clock-wrong" not in said(device), "the device is content with its clock")
    assert device.child.returncode is None
    assert device.seen().model("digits").phase == "settled"
    assert_each_window_once(hub)


def test_a_device_that_wakes_up_in_1970_updates_and_says_that_its_clock_is_behind(
    hub: Hub, clock: Clock, device: Agent
) -> None:
    device.stop()
    clock.set(DECADES_BEHIND)
    with clock.within():
        device.start()
    rolled_out(hub, 1, device)
    eventually(lambda: "clock-wrong" in said(device), "the device says that its clock is behind")
    come_in(hub)
    # Killed, it has no answer of the hub to go by: the order on its disk proves it.
    device.kill()
    with clock.within():
        device.start()
    eventually(lambda: "clock-wrong" in said(device), "the device says so again")
    come_in(hub)
    assert_each_window_once(hub)


def test_a_device_far_in_the_future_runs_what_it_ran_and_follows_once_its_clock_is_set(
    hub: Hub,
    clock: Clock,
    device: Agent,
    digits: Digits,  # noqa: F811
) -> None:
    rolled_out(hub, 1, device)
    come_in(hub)
    device.stop()
    clock.set(DECADES_AHEAD)
    with clock.within():
        device.start()
    come_in(hub)
    hub.client.models.register(digits.worse)
    policy = {"waves": [{"percent": 100}], "soak_seconds": 0, "minimum_records": 0}
    hub.client.rollouts.create("digits", 2, {**policy, "gates": {"errors": None, "predictions": None}})

    def refused() -> Device | None:
        return device.seen() if {"expired", "clock-wrong"} <= said(device) else None

    seen = eventually(refused, "the device says why it does not follow")
    running = seen.model("digits").running
    assert running is not None
    assert running.version == 1
    time.sleep(2)
    clock.set("+0")
    device.runs("digits", 2)
    eventually(lambda: not said(device), "nothing is wrong any more")
    assert_each_window_once(hub)
