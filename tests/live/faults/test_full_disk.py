"""A real disk that is really full, at any moment of an update: what runs runs on, and the update goes on by itself."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_agent.store.disk import Disk
from tests.fakes.blob_server import BlobServer, serving
from tests.fakes.faults.mounts import mounted
from tests.fakes.faults.watched import Claims, Watched, release
from tests.fakes.waiting import until

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

DISK_BYTES = 8 * 1024 * 1024
PAGE_BYTES = 4096


class Boastful(Disk):
    """Says that there is room, so that it is a write that fails, and not a question."""

    def free_bytes(self, folder: Path) -> int:
        return 1 << 40


@pytest.fixture(scope="module")
def server() -> Iterator[BlobServer]:
    with serving({**release(1).blobs, **release(2).blobs}) as server:
        yield server


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    with mounted("vedette-full", tmp_path / "small", "tmpfs", f"size={DISK_BYTES}") as root:
        yield root


def fill(root: Path, but: int) -> Path:
    """A file that takes all of the disk but so many bytes."""
    filler = root / "filler"
    free = Disk().free_bytes(root)
    with filler.open("wb") as file:
        file.write(bytes(max(0, free - but)))
    return filler


@contextmanager
def inferring(device: Watched) -> Iterator[list[int]]:
    """The versions that have answered, one after the other, while the block lasts."""
    answered: list[int] = []
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(0.005):
            answered.append(device.running())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield answered
    finally:
        stop.set()
        thread.join()


def in_trouble(device: Watched) -> bool:
    return any(one.code == "disk-full" for one in device.updater.state().troubles)


@pytest.mark.parametrize("pages", [0, 1, 2, 3, 5, 8, 13, 21, 34, 38, 40, 42, 44, 46])
def test_inference_goes_on_and_the_update_when_there_is_room_again(root: Path, server: BlobServer, pages: int) -> None:
    folder = root / "models"
    with Watched(folder, server, Boastful()) as device:
        device.order(1, 1)
        device.wait_until_settled(1)
        filler = fill(root, but=pages * PAGE_BYTES)
        with inferring(device) as answered:
            device.order(2, 2)
            until(lambda: in_trouble(device) or 2 in answered)
            count = len(answered)
            until(lambda: len(answered) > count + 20)
        assert set(answered) <= {1, 2}, "somebody answered all the time"
        assert sorted(answered) == answered
        claims = Claims(2).and_said(device.updater)
    with Watched(folder, server, Boastful()) as again:
        assert again.wait_until_running() >= claims.running, "it comes up on a full disk"
        # A hub sees in the report which order a device follows, and sends again what was lost on a full disk.
        again.order(2, 2)
        filler.unlink()
        again.wait_until_settled(2)
    assert {path.name for path in (folder / "artifacts").iterdir()} == {
        digest.removeprefix("sha256:") for version in (1, 2) for digest in release(version).blobs
    }
