"""Serves the Open Inference Protocol over HTTP on one thread, for as long as the agent runs."""

import errno
import logging
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from edge_agent.serving.budget import Budget
from edge_agent.serving.http import listener as listening
from edge_agent.serving.http.connection import Connection
from edge_agent.serving.http.crowd import Crowd
from edge_agent.serving.http.listener import PlaceTaken
from edge_agent.serving.http.loop import READ, Loop
from edge_agent.serving.http.routes import Routes
from edge_agent.serving.http.status import Refused
from edge_agent.serving.http.terms import Terms
from edge_agent.serving.http.turned_away import TurnedAway
from edge_agent.serving.port import Overloaded
from fleet_contract.because import Because

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 5.0
#: For requests that are under way when the agent stops.
_DRAIN_SECONDS = 1.0
_ACCEPTED_AT_ONCE = 16
#: Who has rested for less is likely to be sending already, and would lose what it asks.
_IDLE_SECONDS = 1.0
#: A page in a browser may ask a port of this device by a name of its own; these are the device's.
_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]", ""})


class _Place(msgspec.Struct):
    """Somewhere to listen, and the listener once it could be opened."""

    name: str
    open: Callable[[], socket.socket]
    terms: Terms
    listener: socket.socket | None = None
    trouble: Because | None = None


class HttpServer:
    """`run` it on a thread of its own. A place that cannot be opened is tried again and told in `troubles`.

    Who comes in the first `doors_seconds` waits at the door until `let_in`.
    """

    def __init__(
        self,
        routes: Routes,
        *,
        path: Path | None,
        tcp_port: int = 0,
        body_max_bytes: int,
        budget: Budget,
        connections_max: int,
        doors_seconds: float = 0.0,
        on_trouble: Callable[[], None] = lambda: None,
    ) -> None:
        self._loop = Loop()
        self._aside = routes.aside
        self._path = path
        self._connections: dict[Connection, None] = {}
        self._connections_max = connections_max
        self._turned_away = TurnedAway(self._loop)
        self._on_trouble = on_trouble
        self._budget = budget
        self._doors_seconds = doors_seconds
        self._doors_closed = doors_seconds > 0
        crowd = Crowd()

        def terms(hosts: frozenset[str] | None) -> Terms:
            return Terms(
                routes.handle, routes.usual, body_max_bytes, hosts, self._lend, self._reserve, self._ended, crowd
            )

        self._places = []
        if path is not None:
            self._places.append(_Place(str(path), lambda: listening.unix(path), terms(None)))
        if tcp_port:
            self._places.append(_Place(f"port {tcp_port}", lambda: listening.tcp(tcp_port), terms(_HOSTS)))

    @property
    def turned_at(self) -> float:
        """When the loop last turned, in monotonic seconds; it does so every 5 seconds at least."""
        return self._loop.turned_at

    @property
    def held_bytes(self) -> int:
        """What bodies take, as far as they have arrived, until they are answered; and answers until they are taken."""
        return sum(one.held_bytes for one in list(self._connections))

    @property
    def troubles(self) -> list[Because]:
        """What keeps it from serving where it should."""
        return [place.trouble for place in self._places if place.trouble is not None]

    def wake(self) -> None:
        """Lets `run` see that it is to stop."""
        self._loop.soon(lambda: None)

    def soon(self, call: Callable[[], None]) -> None:
        """Calls `call` on the thread of `run`, between two requests. On any thread."""
        self._loop.soon(call)

    def let_in(self) -> None:
        """Has those who wait served, and who comes from now on. On any thread."""
        self._loop.soon(self._open_doors)

    def run(self, stop: threading.Event) -> None:
        """Serves until `stop`, and then answers what is under way."""
        if self._doors_closed:
            self._loop.at(time.monotonic() + self._doors_seconds, self._open_doors)
        self._open()
        self._loop.run(lambda: not stop.is_set())
        for place in self._places:
            self._close(place)
        for connection in list(self._connections):
            connection.finish()
        deadline = time.monotonic() + _DRAIN_SECONDS
        self._loop.at(deadline, lambda: None)
        self._loop.run(lambda: bool(self._connections) and time.monotonic() < deadline)
        for connection in list(self._connections):
            connection.close()
        self._turned_away.close()
        self._loop.close()

    def _open(self) -> None:
        for place in self._places:
            if place.listener is not None:
                continue
            try:
                opened = place.open()
            except PlaceTaken as error:
                self._tell(place, error.because)
                self._loop.at(time.monotonic() + _RETRY_SECONDS, self._open)
                continue
            place.listener = opened
            self._loop.watch(opened.fileno(), 0 if self._doors_closed else READ, partial(self._accept, place, opened))
            self._tell(place, None)
            _log.info("serving at %s", place.name)

    def _open_doors(self) -> None:
        if not self._doors_closed:
            return
        self._doors_closed = False
        self._loop.never(self._open_doors)
        for place in self._places:
            if place.listener is not None:
                self._loop.change(place.listener.fileno(), READ)

    def _tell(self, place: _Place, trouble: Because | None) -> None:
        if trouble != place.trouble:
            if trouble is not None:
                _log.error("%s", trouble)
            place.trouble = trouble
            self._on_trouble()

    def _close(self, place: _Place) -> None:
        if place.listener is None:
            return
        self._loop.forget(place.listener.fileno())
        if place.listener.family == socket.AF_UNIX and self._path is not None:
            # Another agent can only have put its own there after this one's was gone.
            with suppress(OSError):
                self._path.unlink()
        place.listener.close()
        place.listener = None

    def _accept(self, place: _Place, opened: socket.socket, _events: int) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                client, _address = opened.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
                    self._pause(place, opened, error)
                    return
                # The client was gone before it was accepted.
                continue
            if _has_left(client):
                client.close()
                continue
            if len(self._connections) >= self._connections_max and not self._close_idle():
                self._turned_away.tell(client, len(self._connections))
                continue
            self._connections[Connection(client, self._loop, place.terms)] = None

    def _pause(self, place: _Place, opened: socket.socket, error: OSError) -> None:
        """Does not spin on a connection that cannot be taken."""
        self._tell(place, Because("serving-exhausted", f"Cannot take a connection: {error.strerror}."))
        self._close_idle()
        self._loop.change(opened.fileno(), 0)

        def resume() -> None:
            if place.listener is opened:
                self._loop.change(opened.fileno(), READ)
                self._tell(place, None)

        self._loop.at(time.monotonic() + 1.0, resume)

    def _close_idle(self) -> bool:
        """Closes who has been idle longest; False when nobody has been for long enough."""
        since = time.monotonic() - _IDLE_SECONDS
        known = (one for one in self._connections if one.idle and one.idle_since <= since)
        idle = min(known, key=lambda one: one.idle_since, default=None)
        if idle is not None:
            idle.close()
        return idle is not None

    def _lend(self, call: Callable[[], None]) -> None:
        """A client that comes again at once, and asks for the name that it had, is not told that it has it already: of
        whoever is gone this thread may hear only later."""
        lending = {one.fileno(): one for one in self._connections if one.lends}
        poll = select.poll()
        for fd in lending:
            poll.register(fd, 0)
        for fd, _events in poll.poll(0):
            lending[fd].close()
        self._aside.do(call)

    def _reserve(self, size: int) -> bool:
        try:
            return self._budget.reserve(size)
        except Overloaded as error:
            raise Refused.busy(error.what, error.remedy, error.retry_after_seconds) from error

    def _ended(self, connection: Connection) -> None:
        self._connections.pop(connection, None)


def _has_left(client: socket.socket) -> bool:
    """Whether who waited at the door has lost patience. What they asked would be computed, and counted, for nobody. Of
    a port this is only known where the client reset the connection: who closes one may still be reading."""
    poll = select.poll()
    poll.register(client, 0)
    return bool(poll.poll(0))
