"""HTTP to one hub: requests, answers as structs, and problem documents as errors."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

import msgspec
import urllib3

from fleet_client import __version__
from fleet_client.errors import AnswerWrong, Fault, HeaderWrong, HubAddressWrong, HubRefused, HubUnreachable

T = TypeVar("T")
Query = Mapping[str, str | int | list[str] | None]
API = "/api/v1"

# Not followed elsewhere: the API token is for this hub. Reads are tried again when a connection breaks, writes without
# a key are not, since one that was lost on its way back may have been done.
_RETRIES = urllib3.Retry(connect=0, read=1, redirect=0, status=0, other=0, backoff_factor=0.1)


class _WhenBroken(urllib3.Retry):
    """Whatever the method, and not after silence: what takes long would be at work twice."""

    def _is_read_error(self, err: Exception) -> bool:
        return isinstance(err, urllib3.exceptions.ProtocolError)


_ASKED_AGAIN = _WhenBroken(connect=0, read=1, redirect=0, status=0, other=0, backoff_factor=0.1, allowed_methods=None)
_DEAD = (urllib3.exceptions.HTTPError, OSError)


class _Fault(msgspec.Struct, frozen=True):
    where: str = ""
    what: str = ""
    file: str | None = None
    line: int | None = None
    column: int | None = None
    excerpt: str | None = None


class _Problem(msgspec.Struct, frozen=True):
    """RFC 9457, with the code and remedy that every Vedette error has."""

    title: str = ""
    detail: str = ""
    code: str = "hub-refused"
    remedy: str = ""
    errors: tuple[_Fault, ...] | None = None

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Those that have a place in a text."""
        return tuple(
            Fault(one.file, one.line, one.column or 1, one.where, one.what, one.excerpt or "")
            for one in self.errors or ()
            if one.file is not None and one.line is not None
        )


class Readable(Protocol):
    """What can be sent without holding all of it."""

    def read(self, size: int = -1, /) -> bytes: ...


class Http:
    """One hub's address, and the connections to it. Usable from several threads."""

    def __init__(
        self, url: str, token: str | None = None, timeout_seconds: float = 30.0, actor: str | None = None
    ) -> None:
        self.url = _checked(url)
        headers = {"User-Agent": f"vedette/{__version__}", "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {_sendable('The API token', token)}"
        if actor:
            headers["Vedette-Actor"] = _sendable("The name of who acts", actor)
        self._pool = urllib3.PoolManager(
            headers=headers,
            retries=_RETRIES,
            timeout=urllib3.Timeout(connect=5.0, read=timeout_seconds),
        )

    def close(self) -> None:
        self._pool.clear()

    def get(self, kind: type[T], path: str, query: Query | None = None) -> T:
        """The `kind` at `path`. Raises `HubUnreachable`, `HubRefused` or `AnswerWrong`."""
        return self._decode(kind, path, self._send("GET", path, query=query).data)

    def send(
        self, kind: type[T], method: str, path: str, body: Any, key: str | None = None, seen: int | str | None = None
    ) -> T:
        """The `kind` that the hub answers to `body`, which goes as JSON. With `key`, which names this request, it is
        sent again when the connection breaks. What was `seen` at a revision is changed only if it is still at that one.
        Raises as `get` does."""
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
        headers |= {} if seen is None else {"If-Match": f'"{_sendable("What was seen", str(seen))}"'}
        again: dict[str, Any] = {"retries": _RETRIES.new(allowed_methods=None)} if key else {}
        answer = self._send(method, path, body=msgspec.json.encode(body), headers=headers, **again)
        return self._decode(kind, path, answer.data)

    def ask(self, kind: type[T], path: str, body: Any) -> T:
        """What is at `path` for `body`, a question too long for an address. Changes nothing; raises as `get` does."""
        headers = {"Content-Type": "application/json"}
        answer = self._send("POST", path, body=msgspec.json.encode(body), headers=headers, retries=_ASKED_AGAIN)
        return self._decode(kind, path, answer.data)

    def upload(self, path: str, body: Readable, size_bytes: int) -> None:
        """PUTs `size_bytes` bytes of `body`."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size_bytes)}
        self._send("PUT", path, body=body, headers=headers, timeout=urllib3.Timeout(connect=5.0, read=600.0))

    @contextlib.contextmanager
    def lines(self, path: str, query: Query, quiet_seconds: float) -> Iterator[Iterator[bytes]]:
        """The lines of an answer that does not end; they end when none came for `quiet_seconds`, or the hub closed."""
        timeout = urllib3.Timeout(connect=5.0, read=quiet_seconds)
        headers = {"Accept": "text/event-stream"}
        answer = self._send("GET", path, query=query, headers=headers, timeout=timeout, preload_content=False)
        try:
            yield _lines(answer)
        finally:
            answer.close()

    def _send(self, method: str, path: str, *, query: Query | None = None, **options: Any) -> urllib3.BaseHTTPResponse:
        fields = [
            (key, str(one))
            for key, value in (query or {}).items()
            if value is not None
            for one in (value if isinstance(value, list) else [value])
        ]
        encoded = f"?{urlencode(fields)}" if fields else ""
        if "headers" in options:
            options["headers"] = {**self._pool.headers, **options["headers"]}
        try:
            answer = self._pool.request(method, f"{self.url}{path}{encoded}", **options)
        except _DEAD as error:
            raise self._unreachable(error) from error
        if answer.status >= 300:
            raise self._refused(path, answer)
        return answer

    def _decode(self, kind: type[T], path: str, data: bytes) -> T:
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise AnswerWrong(
                f"{self.url}{path} answered, and not as a Vedette hub of this release does: {error}.",
                "Check the address, and that hub and client are of the same release (`vedette version`).",
            ) from error

    def _unreachable(self, error: Exception) -> HubUnreachable:
        return HubUnreachable(
            f"No hub answers at {self.url}: {_cause(error)}.",
            "Start one with `vedette hub`, or name another with --hub URL or VEDETTE_HUB.",
        )

    def _refused(self, path: str, answer: urllib3.BaseHTTPResponse) -> HubRefused | AnswerWrong:
        try:
            problem = msgspec.json.decode(answer.data, type=_Problem)
        except _DEAD as error:
            raise self._unreachable(error) from error
        except (msgspec.DecodeError, UnicodeDecodeError):
            return AnswerWrong(
                f"{self.url}{path} answered {answer.status}, and not as a Vedette hub does.",
                "Check the address: another program may listen there.",
            )
        what = problem.detail or problem.title or f"The hub answered {answer.status}."
        remedy = problem.remedy
        if answer.status == 401 and not remedy:
            remedy = "Set VEDETTE_API_TOKEN to the hub's API token."
        return HubRefused(what, remedy, code=problem.code, status=answer.status, faults=problem.faults)


def _checked(url: str) -> str:
    try:
        parsed = urllib3.util.parse_url(url)
    except urllib3.exceptions.LocationParseError:
        parsed = None
    if parsed is None or parsed.scheme not in ("http", "https") or not parsed.host or parsed.query or parsed.fragment:
        raise HubAddressWrong(f"{url!r} is not the address of a hub.", "Write it as http://HOST:PORT.")
    return url.rstrip("/")


def _sendable(what: str, text: str) -> str:
    # Not told as it is: it may be a secret.
    if not (text.isascii() and text.isprintable()):
        raise HeaderWrong(f"{what} has characters that no header can carry.", "Use printable ASCII characters only.")
    return text


def _cause(error: Exception) -> str:
    reason = error.reason if isinstance(error, urllib3.exceptions.MaxRetryError) else error
    if isinstance(reason, urllib3.exceptions.NewConnectionError):
        return str(reason).rpartition("] ")[2].rpartition(": ")[2].lower()
    return str(reason).rstrip(".") or type(reason).__name__


def _lines(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    rest = b""
    while True:
        try:
            chunk = answer.read1()
        except urllib3.exceptions.ReadTimeoutError:
            return
        except urllib3.exceptions.ProtocolError:
            return
        if not chunk:
            return
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
