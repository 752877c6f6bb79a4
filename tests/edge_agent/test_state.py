"""The state folder is held by one agent at a time, whatever the disk still allows."""

import errno
import os
from pathlib import Path

import pytest

from edge_agent.errors import StateLocked, StateUnusable
from edge_agent.state import StateFolder


def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Linux mounts a file system again whose disk has failed."""
    opened = os.open

    def open_to_read(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & (os.O_RDWR | os.O_WRONLY):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return opened(path, flags, mode)

    monkeypatch.setattr(os, "open", open_to_read)


def held(folder: Path) -> StateFolder:
    state = StateFolder(folder)
    state.lock()
    return state


def test_one_agent_holds_it_and_the_next_is_told_who(tmp_path: Path) -> None:
    state = held(tmp_path)
    assert StateFolder(tmp_path).locked()
    with pytest.raises(StateLocked, match=f"process {os.getpid()}"):
        StateFolder(tmp_path).lock()
    state.unlock()
    assert not StateFolder(tmp_path).locked()
    held(tmp_path).unlock()


def test_on_a_disk_that_may_only_be_read_an_agent_that_ran_there_holds_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held(tmp_path).unlock()
    read_only(monkeypatch)
    state = held(tmp_path)
    assert StateFolder(tmp_path).locked()
    with pytest.raises(StateLocked):
        StateFolder(tmp_path).lock()
    state.unlock()


def test_on_a_disk_that_may_only_be_read_no_agent_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_only(monkeypatch)
    with pytest.raises(StateUnusable, match="Cannot write"):
        StateFolder(tmp_path).lock()


def test_who_holds_it_is_noted_with_where_it_can_be_reached(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    assert StateFolder(folder).runtime() is None
    for runtime in (Path("/run/a-folder-with-a-long-name"), Path("/run/b"), None):
        state = StateFolder(folder)
        state.lock(runtime)
        assert StateFolder(folder).runtime() == (runtime or folder)
        with pytest.raises(StateLocked, match=f"process {os.getpid()}\\)"):
            StateFolder(folder).lock()
        state.unlock()


@pytest.mark.parametrize(
    "note", [b"", b"\n\n", b"1234\n", b"\0" * 40, b"12\n\0/run\n", b"\xff\xfe\n/\xff\n", b"\xb2\nrun\n", b"x" * 9_000]
)
def test_a_note_that_is_missing_or_damaged_tells_nobody_nonsense(tmp_path: Path, note: bytes) -> None:
    state = held(tmp_path)
    (tmp_path / "lock").write_bytes(note)
    assert StateFolder(tmp_path).locked()
    assert StateFolder(tmp_path).runtime() is None
    with pytest.raises(StateLocked) as told:
        StateFolder(tmp_path).lock()
    assert str(told.value).isprintable()
    state.unlock()
