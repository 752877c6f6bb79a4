"""Clients who come while all connections are at work: each is told when to come again, on a socket of a moment."""

import socket
import time

from edge_agent.serving.http.loop import GONE, READ, Loop
from edge_agent.serving.http.status import Refused, answer_to

#: Who is told so at once. The next takes the place of the first.
_MOST = 64
#: For a client to read its answer while it still sends.
_LINGER_SECONDS = 2.0
_READ_BYTES = 256 * 1024


class TurnedAway:
    """All of it runs on the thread of `loop`."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._clients: dict[socket.socket, None] = {}

    def tell(self, client: socket.socket, connections: int) -> None:
        """Answers whatever `client` asks with 503, while all `connections` are at work."""
        told = answer_to(Refused.busy(f"All {connections} connections are at work."))
        client.setblocking(False)
        try:
            client.send(b"".join([told.head(closing=True), *told.parts]))
            client.shutdown(socket.SHUT_WR)
        except OSError:
            client.close()
            return
        if len(self._clients) >= _MOST:
            self._close(next(iter(self._clients)))
        self._clients[client] = None
        # What is not read would keep the client from reading: it is thrown away.
        self._loop.watch(client.fileno(), READ, lambda events: self._read(client, events))
        self._loop.at(time.monotonic() + _LINGER_SECONDS, self.close)

    def close(self) -> None:
        """Ends all that are left."""
        for client in list(self._clients):
            self._close(client)

    def _read(self, client: socket.socket, events: int) -> None:
        try:
            over = not client.recv(_READ_BYTES) or bool(events & GONE)
        except BlockingIOError:
            return
        except OSError:
            over = True
        if over:
            self._close(client)

    def _close(self, client: socket.socket) -> None:
        del self._clients[client]
        self._loop.forget(client.fileno())
        client.close()
