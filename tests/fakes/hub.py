"""A hub's REST API over a real socket, scripted by a test: what it answers, and what it was asked."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request: `query` by name, `body` as it came."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """What is answered; `body` is sent as JSON unless it is bytes."""

    body: Any
    status: int = 200
    media_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    owed: int = 0
    """So many more bytes are promised, and never come."""
    breaks: bool = False
    """Whether the connection ends with it, as that of a hub that dies."""


Route = Callable[[Asked], Answer] | Answer


@dataclass
class FakeHub:
    """Answers `routes["GET /api/v1/devices"]`; what is not there is a problem with status 404."""

    url: str = ""
    routes: dict[str, Route] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def on(self, route: str, answer: Any) -> None:
        """`answer` is a function of the request, an `Answer`, or what goes as JSON."""
        self.routes[route] = answer if callable(answer) or isinstance(answer, Answer) else Answer(answer)

    def asked_for(self, route: str) -> list[Asked]:
        return [one for one in self.asked if f"{one.method} {one.path}" == route]


def problem(status: int, code: str, detail: str, remedy: str = "") -> Answer:
    """A problem document as the hub gives it."""
    body = {"type": f"urn:vedette:problem:{code}", "status": status, "detail": detail, "code": code, "remedy": remedy}
    return Answer(body, status, "application/problem+json")


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """A fake on a free port of this machine."""
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = Asked(self.command, parts.path, parse_qs(parts.query), dict(self.headers), body)
            hub.asked.append(asked)
            route = hub.routes.get(f"{asked.method} {asked.path}")
            if route is None:
                route = problem(404, "not-found", f"There is no {asked.path}.", "Look at the list.")
            answer = route(asked) if callable(route) else route
            data = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.media_type)
            self.send_header("Content-Length", str(len(data) + answer.owed))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
            self.close_connection |= answer.breaks

        do_GET = do_POST = do_PUT = do_PATCH = _answer  # noqa: N815  (the names that the server calls)

        def log_message(self, *_: object) -> None:
            """Tests look at `asked`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
