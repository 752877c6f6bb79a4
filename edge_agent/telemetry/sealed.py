"""A file of the spool that is never written again: records in columns, compressed, some six times smaller than a log.

The body is a batch as it goes over the wire. The head says which records are in it, with checksums of both, so that
a start need not read the bodies, and rot is found before it is sent.
"""

import contextlib
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

from edge_agent.durable import asked_twice, read_again, write_durably
from edge_agent.errors import AgentError

_MAGIC = b"VSEALED1"
_HEAD = struct.Struct("<8sQQIIII")
_CHECK = struct.Struct("<I")


class SegmentDamaged(AgentError):
    """What this file held is lost. Never read it again."""

    code = "segment-damaged"


class Head(NamedTuple):
    """The first and last sequence, how many `records` there are, and the bytes that they took in a log."""

    first: int
    last: int
    records: int
    raw_bytes: int


def write_sealed(path: Path, head: Head, body: bytes) -> int:
    """Writes the file, durably or not at all, and gives its size. Raises OSError."""
    fixed = _HEAD.pack(_MAGIC, *head, len(body), zlib.crc32(body))
    data = fixed + _CHECK.pack(zlib.crc32(fixed)) + body
    try:
        write_durably(path, data)
    except OSError:
        with contextlib.suppress(OSError):
            path.with_name(path.name + ".new").unlink(missing_ok=True)
        raise
    return len(data)


def read_head(path: Path) -> Head:
    """What is in the file. Raises `SegmentDamaged` or OSError."""
    return _parsed(path, asked_twice(lambda: _head_of(path)))[0]


def read_body(path: Path) -> bytes:
    """The batch in the file. Raises `SegmentDamaged` or OSError."""
    data = read_again(path)
    _, length, checksum = _parsed(path, data)
    body = data[_HEAD.size + _CHECK.size :]
    if len(body) != length or zlib.crc32(body) != checksum:
        raise SegmentDamaged(f"{path} does not hold what was written to it.")
    return body


def _head_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD.size + _CHECK.size)


def _parsed(path: Path, data: bytes) -> tuple[Head, int, int]:
    if len(data) < _HEAD.size + _CHECK.size:
        raise SegmentDamaged(f"{path} is cut short.")
    magic, first, last, count, raw_bytes, length, checksum = _HEAD.unpack_from(data)
    (expected,) = _CHECK.unpack_from(data, _HEAD.size)
    if magic != _MAGIC or zlib.crc32(data[: _HEAD.size]) != expected:
        raise SegmentDamaged(f"{path} does not begin as it was written.")
    return Head(first, last, count, raw_bytes), length, checksum
