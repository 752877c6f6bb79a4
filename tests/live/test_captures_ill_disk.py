"""Captures on a real file system that is full, is mounted read-only, and is neither any more."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.capture.files import is_unfinished
from edge_agent.capture.listing import look
from edge_agent.capture.store import REST_SECONDS, Captures
from edge_agent.store.disk import Disk
from tests.edge_agent.capture.records import an_about, noise
from tests.fakes.faults.mounts import mounted

pytestmark = pytest.mark.live
DISK_BYTES = 1024 * 1024
PLENTY = 1 << 30


class Promising(Disk):
    """Says that there is room, as a disk does that another program fills meanwhile."""

    def free_bytes(self, folder: Path) -> int:
        return PLENTY


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    with mounted("vedette-captures", folder, "tmpfs", f"size={DISK_BYTES}"):
        yield folder


class Captured:
    """Captures on `disk`, and the time as they see it."""

    def __init__(self, disk: Path) -> None:
        self.now = 0.0
        self.folder = disk / "captures"
        self.captures = Captures(self.folder, PLENTY, Promising(), leave_bytes=0, clock=lambda: self.now)

    def keep(self, at_ms: int = 0) -> bool:
        self.now += REST_SECONDS
        return self.captures.keep(an_about(at_ms), noise(30_000, seed=at_ms)) is not None

    @property
    def trouble(self) -> str:
        trouble = self.captures.trouble
        return trouble.code if trouble else ""


def mounted_as(disk: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(disk)], check=True)


def test_a_full_disk_stops_captures_until_there_is_room(disk: Path) -> None:
    one = Captured(disk)
    count = 0
    while one.keep(count):
        count += 1
    assert one.trouble == "capture-disk-full"
    assert one.captures.report().files == count > 20
    assert not [path for path in one.folder.iterdir() if is_unfinished(path.name)]
    assert all(capture.about is not None for capture in look(one.folder))
    look(one.folder)[0].path.unlink()
    assert one.keep(count)
    assert one.trouble == ""


def test_a_read_only_disk_stops_captures_until_it_can_be_written(disk: Path) -> None:
    one = Captured(disk)
    assert one.keep(1)
    mounted_as(disk, "ro")
    assert not one.keep(2)
    assert one.trouble == "capture-unwritable"
    # An agent that starts on it finds what is there.
    assert Captured(disk).captures.report().files == 1
    mounted_as(disk, "rw")
    assert one.keep(3)
    assert one.trouble == ""
    assert [capture.about.at_ms for capture in look(one.folder) if capture.about] == [1, 3]
