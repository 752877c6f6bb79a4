"""A blob server on a free loopback port, over real sockets, that can be told to misbehave."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Asked:
    path: str
    range: str
    if_range: str


@dataclass
class BlobServer:
    """Serves `blobs` by path. The rest are its faults."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    url: str = ""
    status: int | None = None
    """Answers this to everything."""
    ranges: bool = True
    etag: Callable[[bytes], str] | None = None
    cut_after: int | None = None
    """Ends the connection after so many bytes of one answer."""
    stall_after: int | None = None
    """Says nothing more after so many bytes, until `let_go` is set."""
    content_range: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    length: bool = True
    redirects: dict[str, str] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    stalled: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)

    def served(self, part: str) -> list[Asked]:
        return [one for one in self.asked if part in one.path]


@contextmanager
def serving(blobs: dict[str, bytes] | None = None, host: str = "127.0.0.1") -> Iterator[BlobServer]:
    server = BlobServer(blobs={} if blobs is None else blobs)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = Asked(self.path, self.headers.get("Range", ""), self.headers.get("If-Range", ""))
            server.asked.append(asked)
            path = self.path.split("?")[0]
            if path in server.redirects:
                return self.plain(307, Location=server.redirects[path])
            if server.status is not None:
                return self.plain(server.status, **server.headers)
            data = server.blobs.get(path.rsplit("/", 1)[-1])
            if data is None:
                return self.plain(404)
            etag = server.etag(data) if server.etag else ""
            start = 0
            found = re.fullmatch(r"bytes=(\d+)-", asked.range)
            if found and server.ranges and (not asked.if_range or asked.if_range == etag):
                start = int(found[1])
                if start >= len(data):
                    return self.plain(416)
            body = data[start:]
            self.send_response(206 if start else 200)
            if start:
                named = server.content_range or f"bytes {start}-{len(data) - 1}/{len(data)}"
                self.send_header("Content-Range", named)
            if etag:
                self.send_header("ETag", etag)
            if server.length:
                self.send_header("Content-Length", str(len(body)))
            else:
                self.send_header("Connection", "close")
            self.end_headers()
            if server.stall_after is not None:
                self.wfile.write(body[: server.stall_after])
                server.stalled.set()
                server.let_go.wait(30)
            elif server.cut_after is not None:
                self.wfile.write(body[: server.cut_after])
            else:
                self.wfile.write(body)
                if server.length:
                    return None
            self.close_connection = True
            return None

        def plain(self, status: int, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that hangs up is what some tests are about."""

    listener = Quiet((host, 0), Handler)
    server.url = f"http://{host}:{listener.server_port}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.let_go.set()
        listener.shutdown()
        thread.join()
        listener.server_close()
