"""What goes back to a client: a status, and parts of memory that are sent as they lie. No I/O."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

if TYPE_CHECKING:
    from edge_agent.serving.http.holding import Holding

Part: TypeAlias = bytes | memoryview

OK = 200
_LINES = {
    status: f"HTTP/1.1 {status} {phrase}\r\n".encode()
    for status, phrase in (
        (200, "OK"),
        (400, "Bad Request"),
        (403, "Forbidden"),
        (404, "Not Found"),
        (405, "Method Not Allowed"),
        (408, "Request Timeout"),
        (413, "Content Too Large"),
        (415, "Unsupported Media Type"),
        (421, "Misdirected Request"),
        (431, "Request Header Fields Too Large"),
        (500, "Internal Server Error"),
        (503, "Service Unavailable"),
    )
}
_JSON = b"Content-Type: application/json\r\n"


class Response(msgspec.Struct, frozen=True):
    """`fields` are whole header lines. `parts` are of single bytes and stay as they are until they are sent."""

    status: int
    fields: bytes
    parts: tuple[Part, ...] = ()
    closes: bool = False
    """Whether the connection cannot be used after it."""
    memory: "Callable[[], Holding] | None" = None
    """Makes what goes with it to a client that can be given memory; raises `ServingError` where there is none."""

    def head(self, *, closing: bool) -> bytes:
        """Status line and headers."""
        length = sum(map(len, self.parts))
        tail = b"Content-Length: %d\r\nConnection: close\r\n\r\n" if closing else b"Content-Length: %d\r\n\r\n"
        return _LINES[self.status] + self.fields + tail % length


Respond: TypeAlias = Callable[[Response], None]


def document(content: Any, *, status: int = OK, fields: bytes = b"") -> Response:
    """`content` as JSON."""
    return Response(status, _JSON + fields, (msgspec.json.encode(content),))


def plain_json(text: bytes) -> Response:
    """JSON that is written already."""
    return Response(OK, _JSON, (text,))


def binary(header: bytes, tensors: tuple[Part, ...]) -> Response:
    """The protocol's binary form: JSON, and the tensors behind it."""
    fields = b"Content-Type: application/octet-stream\r\nInference-Header-Content-Length: %d\r\n" % len(header)
    return Response(OK, fields, (header, *tensors))
