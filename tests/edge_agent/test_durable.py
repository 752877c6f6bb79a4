"""Files that one bad read does not lose."""

import errno
from pathlib import Path

import pytest

from edge_agent.core.journal import fresh
from edge_agent.durable import read_again, write_durably
from edge_agent.store.disk import Disk
from edge_agent.store.journals import JournalStore
from tests.fakes.releases import BUILT_AT


@pytest.fixture
def bad_reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many of the next reads fail."""
    left = [0]
    real = Path.read_bytes

    def read(path: Path) -> bytes:
        if left[0]:
            left[0] -= 1
            raise OSError(errno.EIO, "Input/output error")
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", read)
    return left


def test_a_read_that_fails_once_is_made_again(tmp_path: Path, bad_reads: list[int]) -> None:
    write_durably(tmp_path / "file", b"data")
    bad_reads[0] = 1
    assert read_again(tmp_path / "file") == b"data"
    bad_reads[0] = 2
    with pytest.raises(OSError, match="Input/output"):
        read_again(tmp_path / "file")


def test_what_is_not_there_is_not_asked_for_twice(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_again(tmp_path / "nothing")


def test_a_journal_that_cannot_be_read_once_is_not_put_aside(tmp_path: Path, bad_reads: list[int]) -> None:
    store = JournalStore(tmp_path, Disk())
    store.save(fresh("digits", BUILT_AT))
    bad_reads[0] = 1
    assert set(store.load()) == {"digits"}
    assert store.troubles == ()
