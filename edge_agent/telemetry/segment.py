"""One file of the spool: entries with a length and a CRC, only ever added to.

An entry is `<length:u32><crc32:u32><payload>`, little-endian; a payload is one byte of kind and a body. What follows
the first entry that is cut short or damaged is not read: a power cut tears at most the end.
"""

import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, NamedTuple

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


def scan(path: Path) -> Iterator[Entry]:
    """The whole entries in `path`, up to the first that is torn. Raises OSError."""
    with path.open("rb") as file:
        yield from _entries(file)


def _entries(file: BinaryIO) -> Iterator[Entry]:
    while len(head := file.read(_HEAD.size)) == _HEAD.size:
        length, checksum = _HEAD.unpack(head)
        if not 1 + _NUMBER.size <= length <= MAX_ENTRY_BYTES:
            return
        payload = file.read(length)
        if len(payload) != length or zlib.crc32(payload) != checksum or payload[0] not in _KINDS:
            return
        (number,) = _NUMBER.unpack_from(payload, 1)
        yield Entry(Kind(payload[0]), number, payload[1 + _NUMBER.size :])
