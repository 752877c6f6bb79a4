"""Files that a power cut leaves either as they were or as they should be, and that one bad read does not lose."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def write_durably(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replaces `path` by `data` in one step: temp file, fsync, rename, fsync of the folder. Raises OSError."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        # O_CREAT's mode does not apply to a file that an earlier try has left.
        os.fchmod(descriptor, mode)
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes the names in `folder` survive a power cut. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_again(path: Path) -> bytes:
    """What is in `path`, asked for twice. Raises OSError."""
    return asked_twice(path.read_bytes)


def asked_twice(ask: Callable[[], T]) -> T:
    """What `ask` gives: what a disk fails to give once it may give the next time, and who reads it would take it for
    lost. Raises OSError; what is not there is not asked for again."""
    try:
        return ask()
    except FileNotFoundError:
        raise
    except OSError:
        return ask()
