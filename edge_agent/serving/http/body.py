"""The body of a request as it arrives: straight into the memory that a tensor will be a view of. No I/O."""

import sys
import zlib
from typing import Protocol

import msgspec

from edge_agent.serving.http.head import Head
from edge_agent.serving.http.status import Refused

#: Tensors of a body begin at such an address, whatever the length of the JSON before them.
_ALIGNMENT = 16
#: Read, its numbers take up to 16 times as much; the same tensors in binary take less than their JSON.
JSON_MAX_BYTES = 8 * 1024 * 1024
_SIZE_LINE_MAX_BYTES = 256
_ENCODED = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class Body(msgspec.Struct, frozen=True):
    """A whole body: the JSON, and the binary tensors behind it; `binary` is None when the request announced none."""

    json: bytes
    binary: bytes | memoryview | None = None


def split(head: Head, data: bytes | memoryview, limit: int) -> Body:
    """The parts of a body, unpacked. Raises `Refused`."""
    if head.encoding and len(data):
        data = _unpacked(data, head.encoding, limit)
    if head.json_length < 0:
        check_json(len(data))
        return Body(bytes(data))
    if head.json_length > len(data):
        raise Refused.wrong(
            f"Inference-Header-Content-Length is {head.json_length}, and the body has {len(data)} bytes."
        )
    check_json(head.json_length)
    return Body(bytes(data[: head.json_length]), data[head.json_length :])


def check_json(size: int) -> None:
    """Whether so many bytes of JSON are read. Raises `Refused`."""
    if size > JSON_MAX_BYTES:
        raise Refused.large(f"The JSON has {size} bytes, and {JSON_MAX_BYTES} may be.", "Send tensors as binary.")


def _unpacked(data: bytes | memoryview, encoding: str, limit: int) -> bytes:
    unpacker = zlib.decompressobj(_ENCODED[encoding])
    try:
        unpacked = unpacker.decompress(data, limit + 1)
        if len(unpacked) > limit or unpacker.unconsumed_tail:
            raise Refused.large(f"The body unpacks to more than {limit} bytes.")
        if not unpacker.eof or unpacker.unused_data:
            raise Refused.wrong(f"The body does not end where its {encoding} does.")
    except zlib.error as error:
        raise Refused.wrong(f"The body is not {encoding}: {error}.") from error
    except MemoryError as error:
        raise _no_memory(limit) from error
    return unpacked


class Arriving(Protocol):
    """A body of which some is still missing."""

    @property
    def arrived_bytes(self) -> int:
        """What is there of it. On any thread."""
        ...

    def room(self) -> memoryview:
        """Where the next bytes may be written; empty when the body is complete."""
        ...

    def filled(self, count: int) -> None:
        """`count` bytes were written into the room. Raises `Refused`."""
        ...

    def take(self) -> tuple[bytes | memoryview, bytes]:
        """The complete body, and what arrived behind it."""
        ...


class Sized:
    """A body whose length is known: nothing but it is read."""

    def __init__(self, head: Head) -> None:
        self._view = room_for(max(0, head.json_length), head.length)
        self._at = 0

    @property
    def arrived_bytes(self) -> int:
        return self._at

    def room(self) -> memoryview:
        return self._view[self._at :]

    def filled(self, count: int) -> None:
        self._at += count

    def take(self) -> tuple[bytes | memoryview, bytes]:
        return self._view, b""


def room_for(before: int, size: int) -> memoryview:
    """Memory of `size` bytes, of which those after the first `before` begin at an address that can be read from. Raises
    `Refused`."""
    offset = -before % _ALIGNMENT
    return _memory(offset + size)[offset:]


def _memory(size: int) -> memoryview:
    numpy = sys.modules.get("numpy")
    try:
        # NumPy's does not cost the time to fill it with zeros. Before the first model there is no NumPy, and no hurry.
        if (empty := getattr(numpy, "empty", None)) is not None:
            return memoryview(empty(size, "u1"))
        return memoryview(bytearray(size))
    except MemoryError as error:
        # On the thread that all are served by.
        raise _no_memory(size) from error


def _no_memory(size: int) -> Refused:
    return Refused.busy(f"The device has no {size:,} bytes of memory for the body now.")


class Chunked:
    """A body that comes in chunks, at most `limit` bytes together."""

    _ROOM_BYTES = 64 * 1024

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._raw = bytearray()
        self._data = bytearray()
        self._missing = 0
        """Of the chunk that is being read, with the line end behind it."""
        self._trailers = False
        self._done = False
        self._room = memoryview(bytearray(self._ROOM_BYTES))

    @property
    def arrived_bytes(self) -> int:
        return len(self._raw) + len(self._data)

    def room(self) -> memoryview:
        return self._room[:0] if self._done else self._room

    def filled(self, count: int) -> None:
        self._raw += self._room[:count]
        while not self._done and self._step():
            pass

    def _step(self) -> bool:
        """Reads one line or the rest of one chunk; False when more must arrive first."""
        if self._missing:
            return self._chunk()
        end = self._raw.find(b"\r\n")
        if end < 0 or end > _SIZE_LINE_MAX_BYTES:
            if len(self._raw) > _SIZE_LINE_MAX_BYTES:
                raise Refused.bad("A line between chunks is too long.")
            return False
        line = bytes(self._raw[:end])
        del self._raw[: end + 2]
        if self._trailers:
            self._done = not line
            return True
        digits = line.partition(b";")[0].strip(b" \t")
        if not digits or len(digits) > 15 or digits.strip(b"0123456789abcdefABCDEF"):
            raise Refused.bad(f"This is no size of a chunk: {line[:60]!r}.")
        size = int(digits, 16)
        if len(self._data) + size > self._limit:
            raise Refused.large(f"The body has more than {self._limit} bytes.")
        self._missing = size + 2 if size else 0
        self._trailers = size == 0
        return True

    def _chunk(self) -> bool:
        content = min(len(self._raw), self._missing - 2)
        self._data += self._raw[:content]
        del self._raw[:content]
        self._missing -= content
        if self._missing > 2 or len(self._raw) < 2:
            return False
        if self._raw[:2] != b"\r\n":
            raise Refused.bad("A chunk is longer than it says.")
        del self._raw[:2]
        self._missing = 0
        return True

    def take(self) -> tuple[bytes | memoryview, bytes]:
        return bytes(self._data), bytes(self._raw)
