"""A file of the spool that is still written: entries with a length and a CRC, only ever added to.

An entry is `<length:u32><crc32:u32><payload>`, little-endian; a payload is one byte of kind, a number and a body. A
power cut tears at most the end. What rots before it costs the entries that it hit: reading goes on behind them.
"""

import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

_HEAD = struct.Struct("<II")
_NUMBER = struct.Struct("<Q")
_FRAME_BYTES = _HEAD.size + 1 + _NUMBER.size
#: No honest entry is longer; a damaged length must not make us skip what is whole.
MAX_ENTRY_BYTES = 1024 * 1024


class Kind(IntEnum):
    """What an entry holds."""

    RECORD = 1
    """A record in MessagePack; its number is its sequence."""
    MARK = 2
    """Nothing up to this number, of the boot that the body names, need be sent any more."""
    DROPPED = 3
    """How many records were dropped, for the reason that the body names, since the lane's folder was made."""


_KINDS = frozenset(int(kind) for kind in Kind)


class Entry(NamedTuple):
    """`number` is a sequence, a mark or a count."""

    kind: Kind
    number: int
    body: bytes


class Placed(NamedTuple):
    """An entry, and where in its file it begins and ends."""

    start: int
    end: int
    entry: Entry


def pack(entry: Entry) -> bytes:
    """The bytes of `entry` in a file."""
    payload = bytes((entry.kind,)) + _NUMBER.pack(entry.number) + entry.body
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def packed_bytes(body: bytes) -> int:
    """How many bytes an entry with this body takes."""
    return _FRAME_BYTES + len(body)


def scan(data: bytes, start: int = 0) -> Iterator[Placed]:
    """The whole entries in `data` from `start` on, which is where one begins. What is between two is damaged."""
    at = start
    while at + _FRAME_BYTES <= len(data):
        placed = _entry_at(data, at)
        if placed is None:
            at += 1
            continue
        yield placed
        at = placed.end


def _entry_at(data: bytes, at: int) -> Placed | None:
    length, checksum = _HEAD.unpack_from(data, at)
    start, end = at + _HEAD.size, at + _HEAD.size + length
    if not 1 + _NUMBER.size <= length <= MAX_ENTRY_BYTES or end > len(data) or data[start] not in _KINDS:
        return None
    payload = data[start:end]
    if zlib.crc32(payload) != checksum:
        return None
    (number,) = _NUMBER.unpack_from(payload, 1)
    return Placed(at, end, Entry(Kind(payload[0]), number, payload[1 + _NUMBER.size :]))
