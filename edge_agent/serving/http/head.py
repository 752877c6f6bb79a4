"""Reads the head of an HTTP/1.1 request, and refuses whatever two readers could understand differently. No I/O."""

import functools
import re

import msgspec

from edge_agent.serving.http.status import Refused

#: A longer head is refused.
HEAD_MAX_BYTES = 16 * 1024
#: A head is what a client repeats: it is read once for all its requests. Longer ones are read each time.
_REMEMBERED_BYTES = 1024

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([!-~]{1,8192}) HTTP/1\.([01])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*")
_LENGTH = re.compile(rb"[0-9]{1,18}")
#: Of these a second one is no contradiction to the first.
_ONCE = frozenset({b"content-length", b"host", b"inference-header-content-length", b"content-encoding"})


class Head(msgspec.Struct, frozen=True):
    """What a request says before its body."""

    method: str
    path: str
    """As it came: still with its %-escapes, without the query."""
    host: str
    keep_alive: bool
    length: int
    """Of the body, in bytes; -1 when it comes in chunks."""
    json_length: int
    """How much of the body is JSON, before the binary tensors; -1 for all of it."""
    encoding: str
    """Of the body: "", "gzip" or "deflate"."""
    expects_continue: bool


def read_head(raw: bytes) -> Head:
    """The head in `raw`, without the empty line that ends it. Raises `Refused`."""
    return _remembered(raw) if len(raw) <= _REMEMBERED_BYTES else _read(raw)


def _read(raw: bytes) -> Head:
    # A client may send an empty line too many after a body.
    line, _, rest = raw.lstrip(b"\r\n").partition(b"\r\n")
    request = _REQUEST_LINE.fullmatch(line)
    if request is None:
        raise Refused.bad("This is not a request line of HTTP/1.1.")
    method, target, minor = request.groups()
    fields = _fields(rest)
    host = fields.get(b"host")
    if host is None and minor == b"1":
        raise Refused.bad("A request of HTTP/1.1 names its Host.")
    connection = {word.strip().lower() for word in fields.get(b"connection", b"").split(b",")}
    return Head(
        method=method.decode(),
        path=_path(target),
        host=(host or b"").decode("latin-1"),
        keep_alive=b"close" not in connection and (minor == b"1" or b"keep-alive" in connection),
        length=_body_length(fields, minor),
        json_length=_number(fields, b"inference-header-content-length", -1),
        encoding=_encoding(fields),
        expects_continue=fields.get(b"expect", b"").lower() == b"100-continue" and minor == b"1",
    )


_remembered = functools.lru_cache(maxsize=128)(_read)


def _fields(rest: bytes) -> dict[bytes, bytes]:
    fields: dict[bytes, bytes] = {}
    for line in rest.split(b"\r\n") if rest else ():
        field = _FIELD.fullmatch(line)
        if field is None:
            raise Refused.bad(f"This is not a header of HTTP/1.1: {line[:60]!r}.")
        name, value = field[1].lower(), field[2]
        if name in fields and name in _ONCE:
            if value != fields[name]:
                raise Refused.bad(f"The header {name.decode()} is there twice, with two values.")
        elif name in fields:
            fields[name] += b"," + value
        else:
            fields[name] = value
    return fields


def _path(target: bytes) -> str:
    path = target.decode().partition("?")[0]
    if path.startswith(("http://", "https://")):
        return "/" + path.partition("://")[2].partition("/")[2]
    return path


def _body_length(fields: dict[bytes, bytes], minor: bytes) -> int:
    coding = fields.get(b"transfer-encoding")
    if coding is None:
        return _number(fields, b"content-length", 0)
    if b"content-length" in fields:
        raise Refused.bad("A body has a Content-Length or comes in chunks, not both.")
    if coding.lower() != b"chunked" or minor == b"0":
        raise Refused.bad(f"The Transfer-Encoding {coding[:60]!r} is not understood; only chunked is.")
    return -1


def _number(fields: dict[bytes, bytes], name: bytes, default: int) -> int:
    value = fields.get(name)
    if value is None:
        return default
    if _LENGTH.fullmatch(value) is None:
        raise Refused.bad(f"The header {name.decode()} is no number: {value[:60]!r}.")
    return int(value)


def _encoding(fields: dict[bytes, bytes]) -> str:
    encoding = fields.get(b"content-encoding", b"").lower()
    if encoding in {b"", b"identity"}:
        return ""
    if encoding not in {b"gzip", b"deflate"}:
        raise Refused.unsupported(f"The Content-Encoding {encoding[:60]!r} is not understood; gzip and deflate are.")
    return encoding.decode()
