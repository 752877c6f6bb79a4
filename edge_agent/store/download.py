"""One download over HTTP: it goes on where it was cut off, and can be called off from another thread at any moment."""

import contextlib
import http.client
import logging
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from edge_agent.distrust import distrust
from edge_agent.failures import TryLater
from edge_agent.store.answers import WASTED_SECONDS, Afresh, Asked, Elsewhere, Rest, Whole, meaning, size_wrong
from edge_agent.store.artifacts import ArtifactStore
from edge_agent.store.pace import Pace
from edge_agent.store.part import Part
from fleet_contract.errors import VedetteError
from fleet_contract.manifest import Blob

if TYPE_CHECKING:
    import ssl

_log = logging.getLogger(__name__)
TIMEOUT_SECONDS = 20.0
#: For each address of a name. Lost packets are sent again after 1, 3 and 7 seconds; and the pace must leave time for
#: the next address, when the first leads nowhere.
CONNECT_SECONDS = 8.0
#: Of requests in a row that bring nothing: redirects, ranges that are none.
MAX_REQUESTS = 6
_CHUNK_BYTES = 64 * 1024
#: Of what is no HTTP, in characters.
_SHOWN = 40
_PACE = Pace()
_NO_URL = "The hub must name another; see how its blobs are to be reached."


class CalledOff(VedetteError):
    """The download was called off. What has come stays, for the next."""

    code = "called-off"


class Download:
    """Brings `blob` from `url` into `store`. `run` once; `call_off` from any thread. `tls` makes the context of https,
    when it is needed; the system's authorities are trusted when it is None."""

    def __init__(
        self,
        url: str,
        blob: Blob,
        store: ArtifactStore,
        tls: "Callable[[], ssl.SSLContext] | None" = None,
        pace: Pace = _PACE,
    ) -> None:
        self._url = url
        self._blob = blob
        self._store = store
        self._tls = tls
        self._pace = pace
        self._lock = threading.Lock()
        self._verdict: VedetteError | None = None
        self._socket: socket.socket | None = None
        # Bytes that have come in this run, and how much longer the part on disk has become by them.
        self._come = 0
        self._gained = 0
        # Whether a server has begun to answer what was asked last.
        self._answered = False
        self._over = threading.Event()

    def call_off(self) -> None:
        """After this returns, `run` writes no more; it ends soon with `CalledOff`."""
        self._hang_up(CalledOff("The download was called off."))

    def run(self) -> None:
        """Returns when all bytes are on disk. They are not verified yet.

        Raises `TryLater` ("hub-unreachable", "hub-untrusted", "hub-busy", "hub-failed", "broken-off", "too-slow",
        "size-wrong", "not-http", "captive-portal", "coding-unknown", "coding-broken", "artifact-forbidden",
        "artifact-missing", "url-wrong", "disk-full", "disk-failed") or `CalledOff`.
        """
        threading.Thread(target=self._watch, name="pace", daemon=True).start()
        try:
            self._run()
        except (OSError, http.client.HTTPException) as error:
            with self._going_on():
                failure = self._failure(error)
                failure.progressed = self._gained > 0
                raise failure from error
        except UnicodeError as error:
            raise TryLater(f"{self._url!r} leads to what is no URL: {error}.", _NO_URL, code="url-wrong") from error
        except TryLater as error:
            error.progressed = self._gained > 0
            raise
        finally:
            self._over.set()

    def _run(self) -> None:
        with self._going_on():
            part = self._store.part(self._blob)
        with part:
            url, idle = self._url, 0
            while part.size_bytes < self._blob.size_bytes:
                if idle == MAX_REQUESTS:
                    raise TryLater(
                        f"{self._url} leads on and on, now to {url}, and nothing comes.",
                        "See what answers there; it is asked again by itself.",
                        code="hub-failed",
                    )
                asked = Asked(url, self._blob, part.size_bytes, part.etag)
                with contextlib.closing(self._connected(url)) as connection:
                    url = self._taken(connection, asked, part)
                idle = 0 if part.size_bytes > asked.size_bytes else idle + 1

    def _watch(self) -> None:
        """Hangs up when too little comes: time-outs of the socket alone let a byte every 19 seconds pass for ever."""
        before = self._come
        while not self._over.wait(self._pace.seconds):
            if not self._pace.is_kept(before, self._come):
                self._hang_up(
                    TryLater(
                        f"{urlsplit(self._url).netloc} is too slow: {self._come - before} bytes in "
                        f"{self._pace.seconds:.0f} s.",
                        "It goes on by itself, from where it is.",
                        code="too-slow",
                        after_seconds=self._pace.seconds,
                    )
                )
                return
            before = self._come

    def _hang_up(self, verdict: VedetteError) -> None:
        with self._lock:
            self._verdict = self._verdict or verdict
            if self._socket is not None:
                # It may have ended by itself. Closing alone would not wake a thread that reads; and what TLS adds to a
                # shutdown takes the session away under that thread's feet.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    @contextlib.contextmanager
    def _going_on(self) -> Iterator[None]:
        with self._lock:
            if self._verdict is not None:
                raise self._verdict
            yield

    def _connected(self, url: str) -> http.client.HTTPConnection:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise TryLater(f"{url!r} is not a URL: {error}.", _NO_URL, code="url-wrong") from error
        if parts.scheme not in {"http", "https"} or not host:
            raise TryLater(f"{url!r} is no http or https URL.", _NO_URL, code="url-wrong")
        context = self._context() if parts.scheme == "https" else None
        connection = (
            http.client.HTTPConnection(host, port)
            if context is None
            else http.client.HTTPSConnection(host, port, context=context)
        )
        # In steps, so that a server that is slow to shake hands can be hung up on, too.
        plain = connection.sock = socket.create_connection((host, connection.port), CONNECT_SECONDS)
        try:
            plain.settimeout(TIMEOUT_SECONDS)
            if context is None:
                self._watched(plain)
            else:
                shaking = context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
                connection.sock = shaking
                self._watched(shaking)
                shaking.do_handshake()
        except BaseException:
            connection.close()
            raise
        return connection

    def _watched(self, connected: socket.socket) -> None:
        with self._going_on():
            self._socket = connected

    def _context(self) -> "ssl.SSLContext":
        import ssl

        return ssl.create_default_context() if self._tls is None else self._tls()

    def _taken(self, connection: http.client.HTTPConnection, asked: Asked, part: Part) -> str:
        """Makes one request and takes in what comes. Where to ask for what is still missing."""
        parts = urlsplit(asked.url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._answered = False
        connection.request("GET", target, headers=asked.headers)
        response = connection.getresponse()
        self._answered = True
        headers = {name.lower(): value for name, value in response.getheaders()}
        match meaning(asked, response.status, response.reason, headers):
            case Whole(etag, coding, known_bytes):
                if not known_bytes:
                    self._start_over(part, asked, etag, "sends the whole of another file, or of one that has no tag")
                self._copy(_undone(response, asked) if coding else _read(response), part, asked, known_bytes)
                if part.size_bytes < self._blob.size_bytes:
                    raise self._short(part)
            case Rest():
                self._copy(_read(response), part, asked)
                if response.length:
                    raise self._short(part)
            case Afresh():
                self._start_over(part, asked, "", "has another file there by now, or no such range")
            case Elsewhere(url):
                return url
        return asked.url

    def _start_over(self, part: Part, asked: Asked, etag: str, why: str) -> None:
        if part.size_bytes:
            _log.warning(
                "%s %s: the %d bytes of %s that are here are no part of it",
                *(asked.where, why, part.size_bytes, self._blob.digest[:19]),
            )
        self._restart(part, etag)

    def _restart(self, part: Part, etag: str) -> None:
        with self._going_on():
            self._gained -= part.size_bytes
            part.restart(etag)

    def _copy(self, chunks: Iterator[bytes], part: Part, asked: Asked, known_bytes: int = 0) -> None:
        for chunk in chunks:
            self._come += len(chunk)
            data, known_bytes = chunk[known_bytes:], max(0, known_bytes - len(chunk))
            if not data:
                continue
            if part.size_bytes + len(data) > self._blob.size_bytes:
                self._restart(part, "")
                raise size_wrong(asked, f"more than {self._blob.size_bytes}", WASTED_SECONDS)
            with self._going_on():
                part.write(data)
                self._gained += len(data)

    def _short(self, part: Part) -> ConnectionError:
        return ConnectionError(f"it ended after {part.size_bytes} of {self._blob.size_bytes} bytes")

    def _failure(self, error: Exception) -> TryLater:
        where, text = urlsplit(self._url).netloc, str(error) or type(error).__name__
        if (doubt := distrust(error)) is not None:
            return TryLater(f"{where} cannot be trusted: {doubt[0]}.", doubt[1], code="hub-untrusted")
        if self._answered:
            return TryLater(f"{where} broke off: {text}.", "It goes on by itself, from where it is.", code="broken-off")
        if isinstance(error, http.client.HTTPException) and not isinstance(error, OSError):
            return TryLater(
                f"{where} answers what is no HTTP: {text[:_SHOWN]!r}.",
                "Something between here and the hub answers in its place.",
                code="not-http",
            )
        return TryLater(
            f"{where} does not answer: {text}.", "It goes on by itself when the network does.", code="hub-unreachable"
        )


def _read(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while data := response.read1(_CHUNK_BYTES):
        yield data


def _undone(response: http.client.HTTPResponse, asked: Asked) -> Iterator[bytes]:
    """The body that somebody on the way has compressed, as it was before; in chunks, however much it unpacks to."""
    unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    for packed in _read(response):
        data = packed
        while data:
            try:
                yield unpacking.decompress(data, _CHUNK_BYTES)
            except zlib.error as error:
                raise TryLater(
                    f"What {asked.where} sends was compressed on the way, and cannot be unpacked: {error}.",
                    "Let proxies pass artifacts on as they are.",
                    code="coding-broken",
                ) from error
            data = unpacking.unconsumed_tail
