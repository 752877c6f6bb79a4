"""One download over HTTP: it goes on where it was cut off, and can be called off from another thread at any moment."""

import contextlib
import http.client
import re
import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from edge_agent.failures import TryLater
from edge_agent.store.artifacts import ArtifactStore, Part, wrong_size
from fleet_contract.errors import VedetteError
from fleet_contract.manifest import Blob

if TYPE_CHECKING:
    import ssl

TIMEOUT_SECONDS = 20.0
MAX_REQUESTS = 6
_CHUNK_BYTES = 64 * 1024


class CalledOff(VedetteError):
    """The download was called off. What has come stays, for the next."""

    code = "called-off"


class Download:
    """Brings `blob` from `url` into `store`. `run` once; `call_off` from any thread."""

    def __init__(self, url: str, blob: Blob, store: ArtifactStore, tls: "ssl.SSLContext | None" = None) -> None:
        self._url = url
        self._blob = blob
        self._store = store
        self._tls = tls
        self._lock = threading.Lock()
        self._called_off = False
        self._socket: socket.socket | None = None

    def call_off(self) -> None:
        """After this returns, `run` writes no more; it ends soon with `CalledOff`."""
        with self._lock:
            self._called_off = True
            if self._socket is not None:
                # It may have ended by itself. Closing alone would not wake a thread that reads.
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def run(self) -> None:
        """Returns when all bytes are on disk. They are not verified yet.

        Raises `TryLater` ("hub-unreachable", "hub-failed", "artifact-forbidden", "artifact-missing", "url-wrong",
        "disk-full"), `ArtifactRejected` ("digest-wrong", when the size alone tells) or `CalledOff`.
        """
        try:
            self._run()
        except (OSError, http.client.HTTPException) as error:
            with self._going_on():
                raise TryLater(
                    f"{urlsplit(self._url).netloc} does not answer: {str(error) or type(error).__name__}.",
                    "It goes on by itself when the network does.",
                    code="hub-unreachable",
                ) from error

    def _run(self) -> None:
        with self._going_on():
            part = self._store.part(self._blob)
        with part:
            url: str | None = self._url
            for _ in range(MAX_REQUESTS):
                if url is None or part.size_bytes == self._blob.size_bytes:
                    return
                with contextlib.closing(self._connected(url)) as connection:
                    url = self._taken(self._answer(connection, url, part), url, part)
            if url is not None:
                raise TryLater(f"{self._url} leads on and on, now to {url}.", code="hub-failed")

    @contextlib.contextmanager
    def _going_on(self) -> Iterator[None]:
        with self._lock:
            if self._called_off:
                raise CalledOff("The download was called off.")
            yield

    def _connected(self, url: str) -> http.client.HTTPConnection:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise TryLater(f"{url!r} is not a URL: {error}.", code="url-wrong") from error
        connection: http.client.HTTPConnection
        if parts.scheme == "http" and host:
            connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
        elif parts.scheme == "https" and host:
            connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=self._tls)
        else:
            raise TryLater(f"{url!r} is no http or https URL.", code="url-wrong")
        connection.connect()
        with self._going_on():
            self._socket = connection.sock
        return connection

    def _answer(self, connection: http.client.HTTPConnection, url: str, part: Part) -> http.client.HTTPResponse:
        headers = {"User-Agent": "vedette-agent", "Accept-Encoding": "identity"}
        if part.size_bytes:
            headers["Range"] = f"bytes={part.size_bytes}-"
            if part.etag:
                headers["If-Range"] = part.etag
        parts = urlsplit(url)
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), headers=headers)
        return connection.getresponse()

    def _taken(self, response: http.client.HTTPResponse, url: str, part: Part) -> str | None:
        """Takes in one response. Where to ask next, or None when all has come."""
        match response.status:
            case 200:
                if response.length not in (None, self._blob.size_bytes):
                    raise wrong_size(self._blob, str(response.length))
                self._restart(part, response.headers.get("ETag", ""))
                self._copy(response, part)
                return None
            case 206:
                if _content_range(response.headers.get("Content-Range", "")) == (
                    part.size_bytes,
                    self._blob.size_bytes,
                ):
                    self._copy(response, part)
                    return None
                self._restart(part, "")
                return url
            case 416:
                # The server's file is not what it was when the first of it came.
                self._restart(part, "")
                return url
            case 301 | 302 | 303 | 307 | 308:
                return urljoin(url, response.headers.get("Location", ""))
            case 401 | 403:
                raise TryLater(
                    f"{urlsplit(url).netloc} refuses {self._blob.digest[:19]} ({response.status}).",
                    "Its link has perhaps expired; the next desired state brings a new one.",
                    code="artifact-forbidden",
                )
            case 404 | 410:
                raise TryLater(
                    f"{urlsplit(url).netloc} does not have {self._blob.digest[:19]} ({response.status}).",
                    "Upload the blob again.",
                    code="artifact-missing",
                )
            case status:
                raise TryLater(f"{urlsplit(url).netloc} answers {status} {response.reason}.", code="hub-failed")

    def _restart(self, part: Part, etag: str) -> None:
        with self._going_on():
            part.restart(etag)

    def _copy(self, response: http.client.HTTPResponse, part: Part) -> None:
        while data := response.read1(_CHUNK_BYTES):
            with self._going_on():
                part.write(data)
        if part.size_bytes < self._blob.size_bytes:
            raise ConnectionError(f"it ended after {part.size_bytes} of {self._blob.size_bytes} bytes")


def _content_range(text: str) -> tuple[int, int] | None:
    """The first byte and the size of the whole, of "bytes 5-9/10"."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", text)
    return None if found is None else (int(found[1]), int(found[2]))
