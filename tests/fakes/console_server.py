"""The console over a paper fleet, on a free port: what browser tests look at, and `python -m` for who designs."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import uvicorn
from fastapi import FastAPI

from cloud_hub import problems
from cloud_hub.access.guard import Guard
from cloud_hub.access.sessions import Sessions
from cloud_hub.console.pages import OPEN_PATHS, Console
from tests.fakes.paper_fleet import busy_hub
from tests.fakes.paper_hub.hub import FakeHub

#: What it is on the paper fleet's clock, and what a browser asks for.
NOW = datetime(2026, 11, 2, 12, 0, 0, tzinfo=UTC)
HTML = {"accept": "text/html"}


def app_of(hub: FakeHub, token: str | None = None) -> FastAPI:
    """The console alone, wired as the hub wires it."""
    app = FastAPI(docs_url=None, redoc_url=None)
    sessions = Sessions(token, hub.now) if token else None
    console = Console(hub.parts, sessions)
    app.include_router(console.router)
    answer = problems.install(app, console.problem)
    hosts = {"127.0.0.1", "testserver"}
    app.add_middleware(Guard, token=token, sessions=sessions, hosts=hosts, open_paths=OPEN_PATHS, answer=answer)
    return app


@dataclass(frozen=True)
class Served:
    """A running console and the fleet behind it."""

    url: str
    hub: FakeHub


@contextmanager
def serving(hub: FakeHub, token: str | None = None, port: int = 0) -> Iterator[Served]:
    """The console in a thread of this process, until the block ends."""
    server = uvicorn.Server(uvicorn.Config(app_of(hub, token), port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
        if not thread.is_alive():
            raise RuntimeError("The console did not start")
    try:
        bound = server.servers[0].sockets[0].getsockname()[1]
        yield Served(f"http://127.0.0.1:{bound}", hub)
    finally:
        hub.changes.close()
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive(), "The console did not stop"


def now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    with serving(busy_hub(now), port=8399) as served:
        sys.stdout.write(f"{served.url}\n")
        sys.stdout.flush()
        threading.Event().wait()
