"""The artifact store: nothing is under its final name that was not read back."""

import errno
import os
from pathlib import Path
from typing import BinaryIO

import pytest

from edge_agent.failures import ArtifactRejected, TryLater
from edge_agent.store import artifacts
from edge_agent.store.artifacts import RESERVE_BYTES, ArtifactStore
from edge_agent.store.disk import Disk
from edge_agent.store.quota import Quota
from fleet_contract.manifest import Blob
from tests.fakes.full_disk import FullDisk
from tests.fakes.releases import blob_of

DATA = b"an artifact"
BLOB = blob_of(DATA)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path, Disk())


def put(store: ArtifactStore, blob: Blob, data: bytes) -> None:
    with store.part(blob) as part:
        part.restart("")
        part.write(data)


def test_a_blob_has_its_final_name_only_once_it_was_verified(store: ArtifactStore) -> None:
    put(store, BLOB, DATA)
    assert not store.path(BLOB.digest).exists()
    store.verify(BLOB)
    assert store.path(BLOB.digest).read_bytes() == DATA


def test_wrong_bytes_are_named_and_not_kept(store: ArtifactStore, tmp_path: Path) -> None:
    put(store, BLOB, DATA[::-1])
    with pytest.raises(ArtifactRejected) as caught:
        store.verify(BLOB)
    assert caught.value.code == "digest-wrong"
    assert BLOB.digest[:19] in str(caught.value)
    assert not list(tmp_path.glob("*.part"))
    assert not store.is_whole(BLOB)


def test_bytes_that_rotted_after_they_were_verified_are_found_when_they_are_read_back(store: ArtifactStore) -> None:
    put(store, BLOB, DATA)
    store.verify(BLOB)
    store.path(BLOB.digest).write_bytes(DATA[::-1])
    with pytest.raises(TryLater) as caught:
        store.verify(BLOB)
    assert caught.value.code == "artifact-damaged", "they came right, and so are no reason to reject a release"
    assert not store.is_verified(BLOB)
    assert not store.path(BLOB.digest).exists()
    put(store, BLOB, DATA[::-1])
    with pytest.raises(ArtifactRejected):
        store.verify(BLOB)


def test_a_disk_that_damages_what_was_safe_is_told_of_with_how_often_it_did(store: ArtifactStore) -> None:
    for times in (1, 2):
        put(store, BLOB, DATA)
        store.verify(BLOB)
        store.path(BLOB.digest).write_bytes(DATA[::-1])
        with pytest.raises(TryLater):
            store.verify(BLOB)
        assert store.damage is not None
        assert store.damage.code == "artifact-damaged"
        assert store.damage.sentence.startswith(f"{times} of the files")


def test_what_is_doubted_is_read_back_before_it_counts_again(store: ArtifactStore) -> None:
    put(store, BLOB, DATA)
    store.verify(BLOB)
    store.doubt(BLOB)
    assert not store.is_verified(BLOB)
    store.verify(BLOB)
    assert store.is_verified(BLOB)


@pytest.mark.parametrize("left", [DATA[::-1], DATA[:3][::-1]], ids=["all of it", "some of it"])
def test_what_a_power_cut_has_left_wrong_is_no_fault_of_the_bytes_that_came(tmp_path: Path, left: bytes) -> None:
    with ArtifactStore(tmp_path, Disk()).part(BLOB) as part:
        part.write(left)
    store = ArtifactStore(tmp_path, Disk())
    with store.part(BLOB) as part:
        part.write(DATA[len(left) :])
    with pytest.raises(TryLater) as caught:
        store.verify(BLOB)
    assert caught.value.code == "artifact-damaged"
    assert not store.is_whole(BLOB), "so it is fetched again"
    assert store.damage is None, "a power cut in the middle of a download says nothing of the disk"
    put(store, BLOB, DATA[::-1])
    with pytest.raises(ArtifactRejected):
        store.verify(BLOB)


def test_a_download_that_began_anew_has_nothing_left_that_a_power_cut_could_have_taken(tmp_path: Path) -> None:
    with ArtifactStore(tmp_path, Disk()).part(BLOB) as part:
        part.write(DATA[:3])
    store = ArtifactStore(tmp_path, Disk())
    # As when a server does not know the one that was begun any more.
    put(store, BLOB, DATA[::-1])
    with pytest.raises(ArtifactRejected):
        store.verify(BLOB)


def test_another_process_verifies_for_itself(store: ArtifactStore, tmp_path: Path) -> None:
    put(store, BLOB, DATA)
    store.verify(BLOB)
    again = ArtifactStore(tmp_path, Disk())
    assert (again.is_whole(BLOB), again.is_verified(BLOB)) == (True, False)
    again.verify(BLOB)
    assert again.is_verified(BLOB)


def test_a_blob_that_is_not_there_cannot_be_verified(store: ArtifactStore) -> None:
    with pytest.raises(TryLater) as caught:
        store.verify(BLOB)
    assert caught.value.code == "disk-failed"


def test_only_what_is_kept_stays(store: ArtifactStore, tmp_path: Path) -> None:
    other, half = blob_of(b"other"), blob_of(b"half of it")
    for blob, data in ((BLOB, DATA), (other, b"other")):
        put(store, blob, data)
        store.verify(blob)
    with store.part(half) as part:
        part.restart('"etag"')
        part.write(b"half")
    store.keep({BLOB.digest, half.digest})
    assert store.is_verified(BLOB)
    assert not store.is_verified(other)
    name = half.digest.removeprefix("sha256:")
    assert {path.name for path in tmp_path.iterdir()} == {store.path(BLOB.digest).name, f"{name}.part", f"{name}.etag"}


def test_a_part_remembers_what_it_is_a_part_of(store: ArtifactStore) -> None:
    with store.part(BLOB) as part:
        part.restart('"etag"')
        part.write(DATA[:5])
    with store.part(BLOB) as part:
        assert (part.size_bytes, part.etag) == (5, '"etag"')
        part.restart("")
    with store.part(BLOB) as part:
        assert (part.size_bytes, part.etag) == (0, "")


def test_what_runs_is_never_given_up_for_a_new_order(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path, Disk(), Quota(len(DATA) + 5))
    put(store, BLOB, DATA)
    store.verify(BLOB)
    store.keep({BLOB.digest}, {BLOB.digest})
    with pytest.raises(ArtifactRejected) as caught:
        store.admit(blob_of(b"123456"))
    assert caught.value.code == "quota-exceeded"
    store.admit(blob_of(b"12345"))
    assert store.path(BLOB.digest).exists()
    assert store.trouble is None
    store.quota = Quota(len(DATA) - 1)
    store.keep({BLOB.digest}, {BLOB.digest})
    assert store.trouble is not None
    assert store.path(BLOB.digest).exists()


def test_what_was_made_of_an_artifact_counts_and_goes_with_it(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path, Disk(), Quota(len(DATA) + 100))
    put(store, BLOB, DATA)
    store.verify(BLOB)
    store.path(BLOB.digest).with_suffix(".optimised.ort").write_bytes(bytes(100))
    store.keep({BLOB.digest}, {BLOB.digest})
    with pytest.raises(ArtifactRejected):
        store.admit(blob_of(b"1"))
    store.keep(set())
    assert not list(tmp_path.iterdir())


def test_the_disk_must_have_room_for_all_that_is_on_its_way(tmp_path: Path) -> None:
    first, second = blob_of(b"a" * 600), blob_of(b"b" * 600)
    store = ArtifactStore(tmp_path, FullDisk(RESERVE_BYTES + 1000))
    store.admit(first)
    with store.part(first):
        pass
    store.admit(second)
    with pytest.raises(TryLater, match="1200 bytes are to come") as caught:
        store.part(second)
    assert caught.value.code == "disk-full"


class BrokenDisk(Disk):
    """A disk that fails at one thing."""

    def __init__(self, what: str) -> None:
        self.what = what

    def _fail(self, what: str) -> None:
        if what == self.what:
            raise OSError(errno.EIO, "Input/output error")

    def free_bytes(self, folder: Path) -> int:
        self._fail("free_bytes")
        return super().free_bytes(folder)

    def append(self, file: BinaryIO, data: bytes) -> None:
        self._fail("append")
        super().append(file, data)

    def sync(self, file: BinaryIO) -> None:
        self._fail("sync")
        super().sync(file)

    def rename(self, before: Path, after: Path) -> None:
        self._fail("rename")
        super().rename(before, after)


@pytest.mark.parametrize("what", ["free_bytes", "append", "sync", "rename"])
def test_a_disk_that_fails_is_named_wherever_it_does(tmp_path: Path, what: str) -> None:
    store = ArtifactStore(tmp_path, BrokenDisk(what))
    with pytest.raises(TryLater) as caught:
        put(store, BLOB, DATA)
        store.verify(BLOB)
    assert caught.value.code == "disk-failed"
    assert not store.is_verified(BLOB)
    ArtifactStore(tmp_path, Disk()).keep(set())
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_gone_is_named(store: ArtifactStore, tmp_path: Path) -> None:
    tmp_path.rmdir()
    for act in (lambda: store.part(BLOB), lambda: store.keep(set())):
        with pytest.raises(TryLater) as caught:
            act()
        assert caught.value.code == "disk-failed"


def test_what_a_failed_sync_left_in_the_page_cache_is_no_proof(tmp_path: Path) -> None:
    class BadOnce(Disk):
        syncs = 0

        def sync(self, file: BinaryIO) -> None:
            self.syncs += 1
            if self.syncs == 1:
                raise OSError(errno.EIO, "a bad block")
            super().sync(file)

    disk = BadOnce()
    store = ArtifactStore(tmp_path, disk)
    with pytest.raises(TryLater) as caught:
        put(store, BLOB, DATA)
    assert caught.value.code == "disk-failed"
    store.verify(BLOB)
    assert disk.syncs == 2, "the bytes were made safe before they were read back"


def test_wrong_bytes_are_gone_for_good(tmp_path: Path) -> None:
    class Told(Disk):
        removed: tuple[Path, ...] = ()

        def remove(self, path: Path) -> None:
            self.removed = (*self.removed, path)
            super().remove(path)

    disk = Told()
    store = ArtifactStore(tmp_path, disk)
    put(store, BLOB, DATA[::-1])
    with pytest.raises(ArtifactRejected):
        store.verify(BLOB)
    assert len(disk.removed) == 1, "a power cut does not bring back what was counted against the release"


def test_a_disk_that_does_not_answer_once_costs_nothing_that_is_proven(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, BLOB, DATA)
    store.verify(BLOB)
    real, left = Path.stat, [1]

    def bad_once(path: Path, **more: bool) -> object:
        if left[0]:
            left[0] -= 1
            raise OSError(errno.EIO, "a bad block")
        return real(path, **more)

    monkeypatch.setattr(Path, "stat", bad_once)
    assert store.is_whole(BLOB)
    assert left == [0]


def unreadable(monkeypatch: pytest.MonkeyPatch, number: int = errno.EIO) -> None:
    def broken(file: BinaryIO) -> str:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(artifacts, "_digest", broken)


def test_what_the_disk_cannot_read_however_often_it_is_asked_is_fetched_again(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, BLOB, DATA)
    store.verify(BLOB)
    codes = []
    with monkeypatch.context() as patched:
        unreadable(patched)
        for _ in range(artifacts.READ_TRIES):
            assert store.is_whole(BLOB), "it may be read the next time"
            with pytest.raises(TryLater) as caught:
                store.verify(BLOB)
            codes.append(caught.value.code)
    assert codes == ["disk-failed"] * (artifacts.READ_TRIES - 1) + ["artifact-damaged"]
    assert "could not be read" in caught.value.what
    assert not store.is_whole(BLOB)
    assert store.damage is not None
    put(store, BLOB, DATA)
    store.verify(BLOB)
    with monkeypatch.context() as patched, pytest.raises(TryLater, match="disk failed"):
        unreadable(patched)
        store.verify(BLOB)
    assert store.is_whole(BLOB), "what was read meanwhile begins anew"


def test_what_came_and_cannot_be_read_is_not_held_against_its_release(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, BLOB, DATA)
    unreadable(monkeypatch)
    for _ in range(artifacts.READ_TRIES):
        with pytest.raises(TryLater):
            store.verify(BLOB)


def test_what_nobody_may_read_stays(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, BLOB, DATA)
    unreadable(monkeypatch, errno.EACCES)
    for _ in range(2 * artifacts.READ_TRIES):
        with pytest.raises(TryLater, match="disk failed"):
            store.verify(BLOB)
    assert store.is_whole(BLOB)


def test_on_a_disk_that_may_only_be_read_what_is_there_is_read_back(
    store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, BLOB, DATA)
    store.verify(BLOB)

    def read_only(descriptor: int) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "fsync", read_only)
    started = ArtifactStore(tmp_path, Disk())
    started.verify(BLOB)
    assert started.is_verified(BLOB)
