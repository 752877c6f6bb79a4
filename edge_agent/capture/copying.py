"""Copies captures off a device: onto a stick, or to where somebody fetches them."""

import contextlib
import errno
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from edge_agent.capture.files import on_disk_bytes
from edge_agent.capture.listing import Capture
from edge_agent.durable import read_again, sync_folder
from edge_agent.errors import AgentError


class CopyFailed(AgentError):
    """The captures could not be written to where they were wanted. What was copied before is whole."""

    code = "copy-failed"


class Copied(NamedTuple):
    """How many captures were copied, how many `target` had already, and which were left because they are damaged."""

    copied: int
    size_bytes: int
    present: int
    damaged: tuple[Path, ...]
    target: Path

    def __str__(self) -> str:
        text = f"Copied {self.copied:,} captures ({self.size_bytes:,} bytes) to {self.target}."
        if self.present:
            text += f"\n{self.present:,} more were there already."
        for path in self.damaged:
            text += f"\nLeft out: {path.name} is damaged or cannot be read."
        return text + "\n"


def copy_all(captures: Sequence[Capture], target: Path) -> Copied:
    """Copies them to the folder `target`, which is made where it is missing. Each is there in whole or not at all, so
    a copy that was broken off goes on where it was. Raises `CopyFailed`."""
    copied, size_bytes, present, damaged = 0, 0, 0, []
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        for one in captures:
            to = target / one.path.name
            if to.exists() and to.stat().st_size == one.size_bytes:
                present += 1
                continue
            try:
                data = read_again(one.path)
            except FileNotFoundError:
                # A running agent lets the oldest go.
                continue
            except OSError:
                damaged.append(one.path)
                continue
            if hashlib.sha256(data).hexdigest() != one.name.capture:
                damaged.append(one.path)
                continue
            _write(to, data)
            copied += 1
            size_bytes += len(data)
        _sync(target)
    except OSError as error:
        raise CopyFailed(
            f"Cannot write to {target}: {error.strerror}. {copied} of {len(captures)} captures were copied.",
            "Name a folder that you may write to, with room for "
            f"{sum(on_disk_bytes(one.size_bytes) for one in captures)} bytes. What was copied is not copied again.",
        ) from error
    return Copied(copied, size_bytes, present, tuple(damaged), target)


def _sync(folder: Path) -> None:
    # A stick is often pulled at once.
    try:
        sync_folder(folder)
    except OSError as error:
        # So say file systems that cannot, as some on a network.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def _write(to: Path, data: bytes) -> None:
    unfinished = to.with_name(to.name + ".part")
    try:
        # Inputs may be private. The mode is not set afterwards: file systems of sticks have none, and some say so.
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(to)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise
