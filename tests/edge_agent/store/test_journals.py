"""Journals on a disk that fills up, and what is kept back for the one that must be written."""

import errno
from pathlib import Path

import msgspec
import pytest

from edge_agent.core.journal import fresh
from edge_agent.failures import TryLater
from edge_agent.store.ballast import BALLAST_BYTES, PLENTY_BYTES
from edge_agent.store.disk import Disk
from edge_agent.store.journals import JournalStore
from fleet_contract.report import Phase
from tests.edge_agent.core.turns import THEN
from tests.fakes.full_disk import FullDisk

IDLE = fresh("digits", THEN)
REJECTED = msgspec.structs.replace(IDLE, phase=Phase.REJECTED)


def test_a_shadows_journal_is_a_file_of_its_own(tmp_path: Path) -> None:
    store = JournalStore(tmp_path, Disk())
    store.save(IDLE)
    store.save(fresh("digits@shadow", THEN))
    assert set(JournalStore(tmp_path, Disk()).load()) == {"digits", "digits@shadow"}
    store.remove("digits")
    store.remove("digits")
    assert set(JournalStore(tmp_path, Disk()).load()) == {"digits@shadow"}


def test_on_a_full_disk_the_ballast_makes_room_for_what_is_urgent_and_for_nothing_else(tmp_path: Path) -> None:
    disk = FullDisk()
    store = JournalStore(tmp_path, disk)
    assert (tmp_path / "ballast").stat().st_size == BALLAST_BYTES
    disk.room_bytes = 10
    with pytest.raises(TryLater, match="disk is full"):
        store.save(IDLE)
    store.save(REJECTED, urgent=True)
    assert store.load() == {"digits": REJECTED}
    assert not (tmp_path / "ballast").exists()


def test_the_ballast_is_taken_aboard_again_when_there_is_plenty_of_room_and_not_before(tmp_path: Path) -> None:
    disk = FullDisk(room_bytes=PLENTY_BYTES - 1)
    store = JournalStore(tmp_path, disk)
    store.restock()
    assert not (tmp_path / "ballast").exists(), "others need it more"
    disk.room_bytes = 10
    with pytest.raises(TryLater):
        store.save(REJECTED, urgent=True)
    disk.room_bytes = PLENTY_BYTES
    store.restock()
    assert (tmp_path / "ballast").exists()


def test_a_disk_that_fails_is_not_taken_for_a_full_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = JournalStore(tmp_path, Disk())

    def fails(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Disk, "replace", fails)
    monkeypatch.setattr(Disk, "remove", fails)
    with pytest.raises(TryLater, match="disk failed"):
        store.save(REJECTED, urgent=True)
    with pytest.raises(TryLater, match="disk failed"):
        store.remove("digits")
    assert (tmp_path / "ballast").exists()


def test_a_journal_that_can_neither_be_read_nor_put_aside_keeps_no_agent_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = JournalStore(tmp_path, Disk())
    (tmp_path / "digits.json").write_bytes(b"{")

    def fails(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", fails)
        assert store.load() == {}
    assert [one.code for one in store.troubles] == ["journal-unreadable"]
    store.save(IDLE)
    assert store.load() == {"digits": IDLE}
