"""How the files of captures are called, and what they take of a disk.

A name begins with a number that rises, for a device's clock may be wrong when the oldest is looked for, and ends with
the SHA-256 of what is in the file, by which the hub knows it.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from edge_agent.runtimes.session import Array
from edge_agent.runtimes.size import bytes_of

_NAME = re.compile(r"([0-9]{10,})-([0-9a-f]{64})\.npz")
#: As `edge_agent.durable` calls what it has not finished.
_UNFINISHED = ".new"
#: What most file systems give to a file at least, and count in: a thousand files of 1 kB take 4 MB.
BLOCK_BYTES = 4096
#: Of an array in an .npz: its entry, the same again in the directory, and the array's own head.
_HEAD_BYTES = 512


class FileName(NamedTuple):
    """`number` rises with each file of a folder; `capture` is in hex."""

    number: int
    capture: str

    def __str__(self) -> str:
        return f"{self.number:010}-{self.capture}.npz"


def parsed(name: str) -> FileName | None:
    """None for what is no capture's name."""
    found = _NAME.fullmatch(name)
    return None if found is None else FileName(int(found[1]), found[2])


def unfinished(path: Path) -> Path:
    """Where the file at `path` is while it is written."""
    return path.with_name(path.name + _UNFINISHED)


def is_unfinished(name: str) -> bool:
    """Whether a power cut has left it in the middle of a write."""
    return name.endswith(_UNFINISHED) and parsed(name.removesuffix(_UNFINISHED)) is not None


def on_disk_bytes(size_bytes: int) -> int:
    """What a file of that size takes of the disk."""
    return -(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES


def estimate_bytes(inputs: Mapping[str, Array]) -> int:
    """What a capture of `inputs` will take of the disk at most, as far as can be said before it is written."""
    return on_disk_bytes(bytes_of(inputs) + _HEAD_BYTES * (len(inputs) + 1))


def listed(folder: Path) -> list[tuple[FileName, Path]]:
    """The captures in `folder`, the oldest first; none where it is not there. Raises OSError."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    return sorted((name, folder / text) for text in names if (name := parsed(text)) is not None)
