"""What a runtime has made of a large artifact for this very device, kept beside it: the next load takes half the time
and half the memory.

A file counts only with the note that is written after it: its hash, and what made it. Whatever is damaged, or made by
another version or for another CPU, is made again.
"""

import contextlib
import hashlib
import logging
import os
import platform
from pathlib import Path

import msgspec

from edge_agent.durable import sync_folder, write_durably
from edge_agent.store.disk import Disk

_log = logging.getLogger(__name__)
#: Below it there is nothing to gain, above it a file of ONNX cannot be.
LEAST_BYTES, MOST_BYTES = 1024 * 1024, 1024 * 1024 * 1024
#: This much of the disk is left to others, as with updates.
RESERVE_BYTES = 64 * 1024 * 1024
_CPUINFO = Path("/proc/cpuinfo")
_CHUNK_BYTES = 1024 * 1024


class _Note(msgspec.Struct, frozen=True):
    maker: str
    sha256: str


class Optimized:
    """Of the artifact at `path`, made by `maker` (a runtime and its version). None of its methods raises OSError."""

    def __init__(self, path: Path, maker: str) -> None:
        self._path = path
        # One suffix each: what has the artifact's stem is evicted with it.
        self._file = path.with_suffix(".optimized")
        self._note = path.with_suffix(".optimized-note")
        self._maker = f"{maker} on {_cpu()}"

    def find(self) -> Path | None:
        """The file, if it is what was noted."""
        try:
            note = msgspec.json.decode(self._note.read_bytes(), type=_Note)
            if note.maker == self._maker and note.sha256 == _sha256(self._file):
                return self._file
            _log.info("%s is of %s, or damaged: it is made again", self._file.name, note.maker)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            _log.warning("%s cannot be used: %s", self._file.name, error)
        return None

    def begin(self) -> Path | None:
        """Where to write it, or None when it is not worth it or there is no room."""
        self.forget()
        try:
            size, free = self._path.stat().st_size, Disk().free_bytes(self._path.parent)
        except OSError:
            return None
        if not LEAST_BYTES <= size <= MOST_BYTES or free < 2 * size + RESERVE_BYTES:
            return None
        return self._file

    def finish(self) -> Path | None:
        """Makes what was written last. None when the disk failed: there is nothing then."""
        try:
            with self._file.open("rb") as file:
                os.fsync(file.fileno())
            sync_folder(self._file.parent)
            write_durably(self._note, msgspec.json.encode(_Note(self._maker, _sha256(self._file))))
        except OSError as error:
            _log.warning("%s cannot be kept: %s", self._file.name, error)
            self.forget()
            return None
        return self._file

    def forget(self) -> None:
        """Removes it, its note first."""
        for path in (self._note, self._file):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _cpu() -> str:
    """What the CPU is and can do: a disk may be moved to another device."""
    try:
        lines = _CPUINFO.read_text(errors="replace").splitlines()
    except OSError:
        return platform.machine()
    can = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()} {hashlib.sha256(can.encode()).hexdigest()[:16]}"


def _sha256(path: Path) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()
