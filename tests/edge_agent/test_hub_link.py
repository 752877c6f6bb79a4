"""What the hub is told does not depend on when the link to it is made."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edge_agent import hub_link
from edge_agent.hub_link import HubLink, Settings
from edge_agent.reporting import Reporter
from edge_agent.telemetry.spool import Spool
from edge_agent.telemetry.tally import wall_ms
from edge_agent.telemetry.window import Recorder
from edge_agent.update.updater import UpdaterState
from edge_agent.uplink import Uplink
from fleet_contract.report import ModelReport, Phase
from fleet_contract.telemetry import Lane
from tests.edge_agent.test_uplink import ORIGIN
from tests.fakes.releases import why
from tests.fakes.transport import FakeTransport
from tests.fakes.waiting import until

SETTINGS = Settings(heartbeat_seconds=60.0, spool_max_bytes=1 << 24)


class Device:
    """One start of an agent as far as its link goes, which is made when `run` is called."""

    def __init__(self, folder: Path) -> None:
        self.phase = Phase.PREFLIGHT
        self.transport = FakeTransport()
        self.link = HubLink(self.updates, self.make, SETTINGS)
        self.folder = folder
        self.spool: Spool | None = None
        self.uplink: Uplink | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.link.run, args=(self._stop,))

    def updates(self) -> UpdaterState:
        return UpdaterState(models=(ModelReport("digits", self.phase, why(), ORIGIN.started_at),))

    def make(self, settings: Settings) -> tuple[Spool, Uplink]:
        spool = Spool(self.folder, "default.press-1", ORIGIN.boot, settings.spool_max_bytes)
        reporter = Reporter(ORIGIN, self.updates, spool, list)
        recorder, heartbeat = Recorder(60_000), settings.heartbeat_seconds
        uplink = Uplink("press-1", self.transport, reporter, recorder, spool, lambda _: None, heartbeat)
        self.spool, self.uplink = spool, uplink
        return spool, uplink

    def run(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        self.link.wake()
        if self._thread.is_alive():
            self._thread.join(10)
        self.link.close(1.0)

    def told(self) -> list[str]:
        """What the spool holds for the hub."""
        with_all = Spool(self.folder, "default.press-1", "b2", 1 << 24)
        events = with_all.read(ORIGIN.boot, 0, 1 << 20, lane=Lane.EVENTS)
        with_all.close()
        return [one.phase or one.kind for one in events]


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    made = Device(tmp_path)
    yield made
    made.end()


def test_every_phase_that_came_before_the_link_is_told_in_its_order(device: Device) -> None:
    for phase in (Phase.PREFLIGHT, Phase.REJECTED, Phase.SETTLED):
        device.phase = phase
        device.link.changed()
    device.run()
    until(lambda: device.uplink is not None)
    device.phase = Phase.FETCHING
    device.link.changed()
    device.end()
    assert device.told() == ["started", "preflight", "rejected", "settled", "fetching", "stopping"]


def test_the_events_of_a_start_have_the_times_at_which_they_happened(device: Device) -> None:
    device.link.changed()
    changed_at = wall_ms()
    time.sleep(0.01)
    device.run()
    until(lambda: device.uplink is not None)
    device.end()
    with_all = Spool(device.folder, "default.press-1", "b2", 1 << 24)
    started, phase, stopping = with_all.read(ORIGIN.boot, 0, 1 << 20, lane=Lane.EVENTS)
    with_all.close()
    assert started.at_ms == ORIGIN.started_at.timestamp() * 1000
    assert started.at_ms < phase.at_ms <= changed_at < stopping.at_ms


def test_settings_hold_whether_they_come_before_the_link_or_after(device: Device) -> None:
    device.link.set(Settings(10.0, 1 << 22))
    device.run()
    until(lambda: device.uplink is not None)
    assert device.uplink is not None
    assert device.spool is not None
    assert (device.uplink.heartbeat_seconds, device.spool.max_bytes) == (10.0, 1 << 22)
    device.link.set(msgspec.structs.replace(SETTINGS, heartbeat_seconds=20.0))
    assert (device.uplink.heartbeat_seconds, device.spool.max_bytes) == (20.0, 1 << 24)


def test_settings_that_change_while_the_link_is_made_hold(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    make = device.make

    def making(settings: Settings) -> tuple[Spool, Uplink]:
        made = make(settings)
        device.link.set(Settings(10.0, 1 << 22))
        return made

    monkeypatch.setattr(device.link, "_make", making)
    device.run()
    until(lambda: device.uplink is not None and device.uplink.heartbeat_seconds == 10.0)
    assert device.spool is not None
    assert device.spool.max_bytes == 1 << 22


def test_a_spool_that_cannot_be_read_costs_the_link_until_it_can_and_nothing_else(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hub_link, "RETRY_SECONDS", 0.01)
    device.folder = tmp_path / "file"
    device.folder.write_text("")
    before = device.link.turned_at()
    device.run()
    until(lambda: device.link.turned_at() > before)
    assert device.uplink is None
    device.link.changed()
    until(lambda: "move it away" in caplog.text)
    device.folder.unlink()
    until(lambda: device.uplink is not None)
    device.end()
    assert "started" in device.told()


def test_an_agent_without_a_link_stops_at_once(device: Device, tmp_path: Path) -> None:
    device.folder = tmp_path / "file"
    device.folder.write_text("")
    device.run()
    began = time.monotonic()
    device.end()
    assert time.monotonic() - began < 2


def test_an_agent_that_is_stopped_before_there_is_a_link_stops(device: Device) -> None:
    device.link.changed()
    device.end()
    assert device.transport.farewell is None
