"""One file of the spool: entries with a length and a CRC, only ever added to.

An entry is `<length:u32><crc32:u32><payload>`, little-endian; a payload is one byte of kind and a body. What follows
the first entry that is cut short or damaged is not read: a power cut tears at most the end.
"""

import errno
import logging
import struct
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, NamedTuple

_log = logging.getLogger(__name__)
_HEAD = struct.Struct("<II")
_NUMBER = struct.Struct("<Q")
#: No honest entry is longer; a damaged length must not make us ask for gigabytes.
MAX_ENTRY_BYTES = 1024 * 1024


class Kind(IntEnum):
    """What an entry holds."""

    WINDOW = 1
    """A window in MessagePack; its number is its sequence."""
    MARK = 2
    """The hub has all windows, up to this number, of the boot that the body names."""
    DROPPED = 3
    """How many windows the spool has dropped since its folder was made."""


_KINDS = frozenset(int(kind) for kind in Kind)
#: What was in the file is lost. Any other error may pass (no descriptor left, a file of another user).
_LOST = frozenset({errno.EIO, errno.EUCLEAN, errno.EBADMSG, errno.ENOENT})


class Entry(NamedTuple):
    """`number` is a sequence, a mark or a count."""

    kind: Kind
    number: int
    body: bytes


def pack(entry: Entry) -> bytes:
    """The bytes of `entry` in a file."""
    payload = bytes((entry.kind,)) + _NUMBER.pack(entry.number) + entry.body
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def packed_bytes(body: bytes) -> int:
    """How many bytes an entry with this body takes."""
    return _HEAD.size + 1 + _NUMBER.size + len(body)


def entries(path: Path) -> Iterator[Entry]:
    """The whole entries in `path`, up to the first that is torn or that the disk has lost.

    Raises OSError when the file cannot be read now: what it holds is not lost.
    """
    try:
        with path.open("rb") as file:
            yield from _scan(file)
    except OSError as error:
        if error.errno not in _LOST:
            raise
        # One bad block must not stop the agent, nor cost what the other segments hold.
        _log.error("cannot read %s: %s", path, error.strerror)


@dataclass
class Segment:
    """What is known of one file: the boot that wrote it, and its windows' sequences, in order."""

    path: Path
    boot: str
    number: int
    sequences: "array[int]" = field(default_factory=lambda: array("Q"))
    size_bytes: int = 0
    dropped: int = 0

    def waiting(self, mark: int) -> int:
        """How many windows are newer than `mark`."""
        return len(self.sequences) - bisect_right(self.sequences, mark)


def segments_in(folder: Path) -> list[Path]:
    """The segments in `folder`, oldest first. Their names are `<number>-<boot>.log`. Raises OSError."""
    return sorted(path for path in folder.glob("*-*.log") if path.stem.partition("-")[0].isdigit())


def load(path: Path, marks: dict[str, int]) -> Segment:
    """What is known of the segment at `path`; the marks that it holds go to `marks`. Raises OSError."""
    number, _, boot = path.stem.partition("-")
    segment = Segment(path, boot, int(number))
    for entry in entries(path):
        segment.size_bytes += packed_bytes(entry.body)
        match entry.kind:
            case Kind.WINDOW:
                segment.sequences.append(entry.number)
            case Kind.MARK:
                marked = entry.body.decode()
                marks[marked] = max(marks.get(marked, 0), entry.number)
            case Kind.DROPPED:
                segment.dropped = max(segment.dropped, entry.number)
    size_bytes = path.stat().st_size
    if segment.size_bytes < size_bytes:
        _log.warning("%s is torn: its last %d bytes are lost", path, size_bytes - segment.size_bytes)
        segment.size_bytes = size_bytes
    return segment


def _scan(file: BinaryIO) -> Iterator[Entry]:
    while len(head := file.read(_HEAD.size)) == _HEAD.size:
        length, checksum = _HEAD.unpack(head)
        if not 1 + _NUMBER.size <= length <= MAX_ENTRY_BYTES:
            return
        payload = file.read(length)
        if len(payload) != length or zlib.crc32(payload) != checksum or payload[0] not in _KINDS:
            return
        (number,) = _NUMBER.unpack_from(payload, 1)
        yield Entry(Kind(payload[0]), number, payload[1 + _NUMBER.size :])
