"""Capturing goes on and off as its owner says, while the agent runs, and takes nothing away by itself."""

from pathlib import Path

import pytest

from edge_agent.capture.capturing import Capturing, bytes_per_hour
from edge_agent.capture.files import listed
from edge_agent.capture.tap import Tap
from edge_agent.config import Capture
from edge_agent.store.disk import Disk
from fleet_contract.telemetry import Sample
from tests.fakes.sessions import FakeSession, Gate, Served, serving
from tests.fakes.waiting import until

#: All of what is answered, as fast as a disk writes.
ALL = Capture(max_bytes=1 << 30, bytes_per_hour=1 << 50, random_share=1.0)


class Device:
    """An engine that answers, and what is captured of it."""

    def __init__(self, folder: Path, world: Served) -> None:
        self.folder, self.world = folder / "captures", world
        self.told: list[Sample] = []
        self.capturing = Capturing(self.folder, world.tally, self.told.append)
        world.runs(FakeSession(1))

    def ask(self, count: int) -> None:
        for _ in range(count):
            self.world.ask().wait()
        self.world.tally.flush()

    @property
    def files(self) -> int:
        return len(listed(self.folder))


@pytest.fixture
def device(tmp_path):
    with serving() as world:
        made = Device(tmp_path, world)
        yield made
        made.capturing.close(60)


def test_by_default_nothing_is_captured(device: Device) -> None:
    device.capturing.follow(Capture())
    device.ask(3)
    assert device.world.tally.tap is None
    assert not device.folder.exists()
    assert device.capturing.report() is None
    assert device.capturing.troubles() == []


def test_what_is_set_is_captured_and_told(device: Device) -> None:
    device.capturing.follow(ALL)
    device.ask(3)
    until(lambda: len(device.told) == 3)
    report = device.capturing.report()
    assert report is not None
    assert (report.files, report.dropped) == (3, {})
    assert {one.capture for one in device.told} == {name.capture for name, _ in listed(device.folder)}


def test_off_again_nothing_more_is_captured_and_nothing_is_removed(device: Device) -> None:
    device.capturing.follow(ALL)
    device.ask(2)
    until(lambda: device.files == 2)
    device.capturing.follow(Capture())
    device.ask(2)
    assert device.capturing.report() is None
    device.capturing.follow(ALL)
    device.ask(1)
    until(lambda: device.files == 3)


def test_off_what_still_waits_for_the_disk_is_not_written_any_more(device: Device) -> None:
    device.capturing.follow(ALL)
    device.ask(40)
    device.capturing.follow(Capture())
    until(lambda: device.capturing.held_bytes == 0)
    assert device.files < 40


def test_the_last_report_of_an_agent_that_stops_says_what_is_kept(device: Device) -> None:
    device.capturing.follow(ALL)
    device.ask(2)
    device.capturing.close(60)
    report = device.capturing.report()
    assert report is not None
    assert report.files == 2


def test_a_smaller_quota_holds_soon(device: Device) -> None:
    device.capturing.follow(ALL)
    device.ask(20)
    until(lambda: device.files == 20)
    device.capturing.follow(Capture(max_bytes=8 * 4096, bytes_per_hour=1 << 50, random_share=1.0))
    until(lambda: device.files == 8)
    report = device.capturing.report()
    assert report is not None
    assert report.dropped == {"quota": 12}


def test_who_reads_the_config_waits_for_no_disk(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    monkeypatch.setattr(Disk, "replace", lambda *_: gate())
    device.capturing.follow(ALL)
    device.ask(1)
    until(lambda: gate.inside)
    device.capturing.follow(Capture(max_bytes=1 << 20, random_share=1.0))
    device.capturing.follow(Capture())
    device.capturing.close(0.0)
    gate.open()


def test_where_nothing_is_asked_for_nobody_who_answers_is_asked(device: Device) -> None:
    device.capturing.follow(Capture(max_bytes=1 << 20, random_share=0.0, low_margin=0.0, disagreement=False))
    assert device.world.tally.tap is None
    assert device.capturing.report() is not None


def test_a_config_that_is_read_again_does_not_empty_what_was_saved_up(device: Device) -> None:
    device.capturing.follow(ALL)
    tap = device.world.tally.tap
    assert isinstance(tap, Tap)
    device.capturing.follow(Capture(max_bytes=1 << 30, bytes_per_hour=1 << 50, random_share=0.5))
    assert device.world.tally.tap is tap
    assert tap.rules.random_share == 0.5


def test_a_folder_that_cannot_be_written_is_a_trouble_and_harms_nothing(device: Device) -> None:
    device.folder.write_text("in the way")
    device.capturing.follow(ALL)
    device.ask(3)
    until(device.capturing.troubles)
    assert device.capturing.troubles()[0].code.startswith("capture-")
    (window,) = device.world.windows()
    assert window.count == 3


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Capture(max_bytes=24 << 20), 1 << 20),
        (Capture(max_bytes=1 << 40), 4 << 20),
        (Capture(max_bytes=1 << 40, bytes_per_hour=5000), 5000),
    ],
)
def test_what_an_hour_may_write_fits_the_quota_and_a_flash(wanted: Capture, expected: int) -> None:
    assert bytes_per_hour(wanted) == expected
