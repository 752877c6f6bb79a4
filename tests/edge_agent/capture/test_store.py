"""The captures on a disk: under their quota, whole after any crash, and no harm to others where the disk fails."""

import errno
import hashlib
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.capture import store
from edge_agent.capture.contents import arrays
from edge_agent.capture.files import BLOCK_BYTES, FileName, estimate_bytes, listed, on_disk_bytes
from edge_agent.capture.store import REST_SECONDS, Captures
from edge_agent.store.disk import Disk
from fleet_contract.report import CaptureReport
from tests.edge_agent.capture.records import an_about, noise
from tests.fakes.full_disk import FullDisk

PLENTY = 1 << 30


class IllDisk(Disk):
    """Fails as it is told, before it writes or after."""

    def __init__(self) -> None:
        self.fails: int | None = None
        self.fails_late = False
        self.tries = 0

    def replace(self, path: Path, data: bytes) -> None:
        self.tries += 1
        if self.fails_late:
            super().replace(path, data)
        if self.fails is not None:
            raise OSError(self.fails, os.strerror(self.fails))
        super().replace(path, data)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "captures"


@pytest.fixture
def clock() -> Clock:
    return Clock()


def captures(folder: Path, max_bytes: int = PLENTY, disk: Disk | None = None, clock: Clock | None = None) -> Captures:
    return Captures(folder, max_bytes, disk, leave_bytes=0, clock=clock or Clock())


def kept(folder: Path) -> list[int]:
    return [name.number for name, _ in listed(folder)]


def taken_bytes(folder: Path) -> int:
    return sum(on_disk_bytes(path.stat().st_size) for path in folder.iterdir()) if folder.exists() else 0


def test_what_is_kept_is_a_file_of_its_own_that_is_named_by_what_is_in_it(folder: Path) -> None:
    made = captures(folder).keep(an_about(), noise())
    assert made is not None
    ((name, path),) = listed(folder)
    data = path.read_bytes()
    assert made == (hashlib.sha256(data).hexdigest(), len(data))
    assert name == (1, made.capture)
    assert np.array_equal(arrays(data)["pixels"], noise()["pixels"])
    assert path.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_nothing_is_touched_before_there_is_something_to_keep(folder: Path) -> None:
    one = captures(folder)
    one.max_bytes = 1000
    assert one.report().files == 0
    assert one.trouble is None
    assert not folder.exists()


def test_a_capture_is_synced_before_anybody_hears_of_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    made = captures(folder).keep(an_about(), noise())
    assert made is not None
    assert synced == [f"{FileName(1, made.capture)}.new", folder.name]


def test_the_oldest_go_first_and_are_counted(folder: Path) -> None:
    one = captures(folder, 3 * BLOCK_BYTES)
    for number in range(5):
        assert one.keep(an_about(number), noise())
    assert kept(folder) == [3, 4, 5]
    report = one.report()
    assert (report.files, report.size_bytes, report.dropped) == (3, 3 * BLOCK_BYTES, {"quota": 2})


def test_a_clock_that_is_wrong_makes_no_new_capture_the_oldest(folder: Path) -> None:
    one = captures(folder, 2 * BLOCK_BYTES)
    for at_ms in (3_000_000_000_000, 2_000_000_000_000, 0):
        one.keep(an_about(at_ms), noise())
    assert kept(folder) == [2, 3]


def test_small_files_count_as_what_they_take_of_the_disk(folder: Path) -> None:
    one = captures(folder, 10 * BLOCK_BYTES)
    for number in range(50):
        one.keep(an_about(number), noise(10))
    assert len(kept(folder)) == 10


def test_there_are_never_more_files_than_a_folder_bears(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_FILES", 3)
    one = captures(folder)
    for number in range(5):
        one.keep(an_about(number), noise())
        assert len(kept(folder)) <= 3
    assert kept(folder) == [3, 4, 5]


def test_a_record_that_never_fits_costs_no_other(folder: Path) -> None:
    one = captures(folder, 2 * BLOCK_BYTES)
    assert one.keep(an_about(), noise())
    assert one.keep(an_about(), noise(3 * BLOCK_BYTES)) is None
    assert one.report().dropped == {"too-large": 1}
    assert one.trouble is None
    assert kept(folder) == [1]


def test_a_lower_quota_holds_at_once(folder: Path) -> None:
    one = captures(folder)
    for number in range(5):
        one.keep(an_about(number), noise())
    one.max_bytes = 2 * BLOCK_BYTES
    assert kept(folder) == [4, 5]
    one.max_bytes = PLENTY
    assert one.keep(an_about(), noise())
    assert kept(folder) == [4, 5, 6]
    one.max_bytes = 0
    assert kept(folder) == []
    assert one.keep(an_about(), noise()) is None


def test_a_start_goes_on_where_the_last_one_ended(folder: Path) -> None:
    first = captures(folder)
    for number in range(3):
        first.keep(an_about(number), noise())
    second = captures(folder, 3 * BLOCK_BYTES)
    assert second.report().files == 3
    second.keep(an_about(), noise())
    assert kept(folder) == [2, 3, 4]
    assert second.report().dropped == {"quota": 1}


def test_what_a_power_cut_has_left_is_swept_and_nothing_else_is(folder: Path) -> None:
    captures(folder).keep(an_about(), noise())
    cut = folder / f"{FileName(2, 'a' * 64)}.new"
    cut.write_bytes(b"half of")
    strangers = [folder / "notes.txt", folder / "notes.txt.new", folder / "1-abc.npz"]
    for stranger in strangers:
        stranger.write_text("of the owner")
    one = captures(folder)
    assert one.report().files == 1
    assert not cut.exists()
    assert all(stranger.exists() for stranger in strangers)


def test_a_start_after_the_quota_was_lowered_keeps_it(folder: Path) -> None:
    first = captures(folder)
    for number in range(4):
        first.keep(an_about(number), noise())
    assert captures(folder, BLOCK_BYTES).report().files == 1
    assert kept(folder) == [4]


def test_whoever_removes_captures_meanwhile_does_no_harm(folder: Path) -> None:
    one = captures(folder, 2 * BLOCK_BYTES)
    one.keep(an_about(), noise())
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    for number in range(3):
        assert one.keep(an_about(number), noise())
    assert len(kept(folder)) == 2
    assert one.trouble is None


def test_what_others_removed_is_not_reported_as_kept_nor_counted_as_dropped(folder: Path) -> None:
    one = captures(folder, 4 * BLOCK_BYTES)
    for number in range(4):
        one.keep(an_about(number), noise())
    # A folder's time is no finer than the kernel's tick.
    time.sleep(0.02)
    for _, path in listed(folder)[:3]:
        path.unlink()
    assert one.report() == CaptureReport(1, BLOCK_BYTES)
    for number in range(3):
        one.keep(an_about(number), noise())
    assert one.report() == CaptureReport(4, 4 * BLOCK_BYTES)


def test_what_is_called_like_a_capture_and_is_no_file_ends_no_capturing(folder: Path) -> None:
    (folder / str(FileName(1, "a" * 64))).mkdir(parents=True)
    one = captures(folder, 2 * BLOCK_BYTES)
    for number in range(3):
        assert one.keep(an_about(number), noise())
    assert one.report().files == 2
    assert one.trouble is None


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fails_stops_captures_until_it_works_again(folder: Path, clock: Clock, number: int) -> None:
    disk = IllDisk()
    one = captures(folder, disk=disk, clock=clock)
    assert one.keep(an_about(), noise())
    disk.fails = number
    assert one.keep(an_about(), noise()) is None
    trouble = one.trouble
    assert trouble is not None
    assert trouble.code == ("capture-disk-full" if number in (errno.ENOSPC, errno.EDQUOT) else "capture-unwritable")
    assert os.strerror(number) in trouble.sentence
    # It is left alone for a while.
    assert one.keep(an_about(), noise()) is None
    assert disk.tries == 2
    disk.fails = None
    assert one.trouble == trouble
    clock.now += REST_SECONDS
    assert one.keep(an_about(), noise())
    assert one.trouble is None
    assert one.report().dropped == {"disk": 2}
    assert one.report().files == len(kept(folder)) == 2


def test_a_file_that_came_though_the_disk_said_no_is_counted(folder: Path, clock: Clock) -> None:
    disk = IllDisk()
    one = captures(folder, 2 * BLOCK_BYTES, disk, clock)
    disk.fails, disk.fails_late = errno.EIO, True
    assert one.keep(an_about(1), noise()) is None
    disk.fails, disk.fails_late = None, False
    clock.now += REST_SECONDS
    for number in range(3):
        one.keep(an_about(number), noise())
    assert taken_bytes(folder) <= 2 * BLOCK_BYTES


def test_a_folder_that_cannot_be_made_is_a_trouble_and_no_error(folder: Path, clock: Clock) -> None:
    folder.write_text("in its place")
    one = captures(folder, clock=clock)
    assert one.report().files == 0
    assert one.keep(an_about(), noise()) is None
    assert one.trouble is not None
    assert one.trouble.code == "capture-unwritable"
    folder.unlink()
    clock.now += REST_SECONDS
    assert one.keep(an_about(), noise())
    assert one.trouble is None


def test_room_is_left_to_others_and_the_trouble_ends_when_there_is_some(folder: Path) -> None:
    disk = FullDisk()
    one = Captures(folder, PLENTY, disk, leave_bytes=100_000, clock=Clock())
    assert one.keep(an_about(), noise())
    disk.room_bytes = 100_000 + BLOCK_BYTES - 1
    assert one.keep(an_about(), noise()) is None
    trouble = one.trouble
    assert trouble is not None
    assert trouble.code == "capture-disk-full"
    assert str(disk.room_bytes) in trouble.sentence
    assert "100000" in trouble.sentence
    disk.room_bytes += 1
    # Nothing need be captured for it to end.
    assert one.trouble is None
    assert one.keep(an_about(), noise())
    assert one.report().dropped == {"disk": 1}


def test_a_full_disk_leaves_nothing_half_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(before: Path, after: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    one = captures(folder)
    monkeypatch.setattr(Path, "replace", fails)
    assert one.keep(an_about(), noise()) is None
    assert list(folder.iterdir()) == []


def test_a_full_disk_costs_no_capture_that_is_there(folder: Path, clock: Clock) -> None:
    disk = FullDisk()
    one = captures(folder, 2 * BLOCK_BYTES, disk, clock)
    for number in range(2):
        one.keep(an_about(number), noise())
    disk.room_bytes = 0
    for _ in range(3):
        assert one.keep(an_about(), noise()) is None
        clock.now += REST_SECONDS
    assert kept(folder) == [1, 2]


def test_a_trouble_is_none_where_nothing_is_to_be_captured(folder: Path) -> None:
    disk = IllDisk()
    disk.fails = errno.EIO
    one = captures(folder, disk=disk)
    one.keep(an_about(), noise())
    one.max_bytes = 0
    assert one.trouble is None


def test_a_report_waits_for_no_write(folder: Path) -> None:
    entered, go_on = threading.Event(), threading.Event()

    class Slow(Disk):
        def replace(self, path: Path, data: bytes) -> None:
            entered.set()
            assert go_on.wait(10)
            super().replace(path, data)

    one = captures(folder, disk=Slow())
    one.report()
    writer = threading.Thread(target=one.keep, args=(an_about(), noise()))
    writer.start()
    try:
        assert entered.wait(10)
        assert one.report().files == 0
        assert one.trouble is None
        one.drop("behind", 3)
    finally:
        go_on.set()
        writer.join()
    assert one.report().files == 1
    assert one.report().dropped == {"behind": 3}


def test_threads_may_keep_at_once(folder: Path) -> None:
    one = captures(folder, 8 * BLOCK_BYTES)

    def write(start: int) -> None:
        for number in range(start, start + 10):
            assert one.keep(an_about(number), noise(seed=number))

    threads = [threading.Thread(target=write, args=(100 * place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept(folder) == list(range(33, 41))
    assert one.report().dropped == {"quota": 32}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 6 * BLOCK_BYTES), min_size=1, max_size=12),
    st.integers(0, 12 * BLOCK_BYTES),
    st.integers(0, 12),
    st.booleans(),
)
def test_never_above_the_quota_and_nothing_damaged_wherever_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], max_bytes: int, cut_at: int, is_renamed: bool
) -> None:
    folder = tmp_path_factory.mktemp("gateway") / "captures"

    class Cut(Disk):
        """The power goes in the middle of a write, or between it and who hears of it."""

        left = cut_at

        def replace(self, path: Path, data: bytes) -> None:
            assert taken_bytes(folder) + on_disk_bytes(len(data)) <= max_bytes
            if not self.left:
                if is_renamed:
                    super().replace(path, data)
                else:
                    path.with_name(path.name + ".new").write_bytes(data[: len(data) // 2])
                raise KeyboardInterrupt
            self.left -= 1
            super().replace(path, data)

    one = captures(folder, max_bytes, Cut())
    try:
        for number, size in enumerate(sizes):
            one.keep(an_about(number), noise(size, seed=number))
    except KeyboardInterrupt:
        pass
    assert taken_bytes(folder) <= max_bytes
    after = captures(folder, max_bytes)
    for number, size in enumerate(sizes):
        after.keep(an_about(number), noise(size, seed=number))
        assert taken_bytes(folder) <= max_bytes
    assert after.report().size_bytes == taken_bytes(folder)
    for name, path in listed(folder):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == name.capture


def test_an_estimate_is_in_blocks() -> None:
    assert estimate_bytes(noise(10)) == BLOCK_BYTES
    assert estimate_bytes(noise(BLOCK_BYTES)) == 2 * BLOCK_BYTES
