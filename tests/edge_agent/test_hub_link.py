"""What the hub is told does not depend on when the link to it is made."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edge_agent.hub_link import MOST_CHANGES, HubLink, Settings
from edge_agent.reporting import Reporter
from edge_agent.telemetry.spool import Spool
from edge_agent.telemetry.tally import wall_ms
from edge_agent.telemetry.window import Recorder
from edge_agent.update.updater import UpdaterState
from edge_agent.uplink import Uplink
from fleet_contract.report import ModelReport, Phase
from fleet_contract.telemetry import Lane, Sample
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
            self._thread.join(60)
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


def test_a_spool_that_cannot_be_read_costs_no_link_and_the_hub_is_told(device: Device, tmp_path: Path) -> None:
    device.folder = tmp_path / "file"
    device.folder.write_text("")
    device.run()
    until(lambda: hasattr(device.transport, "listener"))
    assert {one.code for one in device.link.troubles()} == {"spool-unreadable"}
    device.transport.connect()
    until(lambda: device.transport.reports)
    device.folder.unlink()
    device.link.changed()
    until(lambda: device.link.troubles() == [])
    device.end()
    assert "stopping" in device.told()


def test_what_is_remembered_until_there_is_a_link_is_bounded_and_the_newest(device: Device) -> None:
    phases = [Phase.FETCHING, Phase.PREFLIGHT]
    for number in range(MOST_CHANGES + 500):
        device.phase = phases[number % 2]
        device.link.changed()
    device.phase = Phase.SETTLED
    device.link.changed()
    device.run()
    until(lambda: device.uplink is not None)
    device.end()
    told = device.told()
    assert (told[0], told[-2:]) == ("started", ["settled", "stopping"])
    assert len(told) == MOST_CHANGES + 2


def test_what_changes_nothing_of_models_does_not_push_out_what_does(device: Device) -> None:
    for phase in (Phase.PREFLIGHT, Phase.REJECTED, Phase.SETTLED):
        device.phase = phase
        for _ in range(MOST_CHANGES):
            device.link.changed()
    device.run()
    until(lambda: device.uplink is not None)
    device.end()
    assert device.told() == ["started", "preflight", "rejected", "settled", "stopping"]


def test_an_agent_that_is_stopped_before_there_is_a_link_stops(device: Device) -> None:
    device.link.changed()
    device.end()
    assert device.transport.farewell is None


def test_what_was_captured_before_the_link_and_after_it_is_told(device: Device) -> None:
    for number in range(3):
        device.link.tell(a_sample(number))
    device.run()
    until(lambda: device.uplink is not None and device.spool.waiting(Lane.SAMPLES) == 3)
    device.link.tell(a_sample(3))
    device.end()
    with_all = Spool(device.folder, "default.press-1", "b2", 1 << 24)
    samples = with_all.read(ORIGIN.boot, 0, 1 << 20, lane=Lane.SAMPLES)
    with_all.close()
    assert [(one.sequence, one.capture) for one in samples] == [(number + 1, f"{number:064}") for number in range(4)]


def test_that_the_hub_hears_no_samples_is_among_the_troubles(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    device.run()
    until(lambda: device.uplink is not None)
    assert device.link.troubles() == []
    monkeypatch.setattr(device.uplink, "trouble", why)
    assert device.link.troubles() == [why()]
    device.end()


def a_sample(number: int) -> Sample:
    return Sample(0, 1_000, "digits", 1, "sha256:" + "0" * 64, "random", f"{number:064}", 700)
