"""What is to be sent on one connection and has not been taken yet; and memory that goes with it."""

import errno
import socket
from collections.abc import Sequence
from contextlib import suppress

from edge_agent.serving.http.holding import Holding
from edge_agent.serving.http.response import Part
from edge_agent.serving.port import Overloaded

#: The kernel takes 1024 at once.
_PARTS_MAX = 512


class MemoryNotTaken(Overloaded):
    """The clients of this device have too many files under way that they do not take."""


class Outbox:
    """One thread uses it at a time; who that is, the connection keeps."""

    __slots__ = ("_handing", "_holdings", "_parts", "_socket")

    def __init__(self, client: socket.socket) -> None:
        self._socket = client
        self._parts: list[memoryview] = []
        self._handing: Holding | None = None
        self._holdings: list[Holding] = []

    def __bool__(self) -> bool:
        """Whether anything is left to be sent."""
        return bool(self._parts)

    @property
    def held_bytes(self) -> int:
        """What it takes to keep that: of a tensor that is sent in part, all. On any thread."""
        return sum(memoryview(part.obj).nbytes for part in self._parts)

    @property
    def carries_memory(self) -> bool:
        """Only a Unix socket can."""
        return self._socket.family == socket.AF_UNIX

    def enclose(self, holding: Holding) -> None:
        """It goes with the first byte of what is sent next, and ends with `close`."""
        # Those that were unregistered meanwhile are forgotten here, so that they do not gather.
        self._holdings = [*(one for one in self._holdings if one.lasts), holding]
        self._handing = holding

    def send(self, message: bytes) -> bool:
        """Whether all of it could be sent at once. Raises `OSError` where the client is gone."""
        try:
            sent = self._socket.send(message)
        except BlockingIOError:
            sent = 0
        if sent == len(message):
            return True
        self._parts = [memoryview(message)[sent:]]
        return False

    def send_parts(self, parts: Sequence[Part]) -> None:
        """Sends what can be sent at once of `parts`, as they lie. Raises `OSError` where the client is gone, and
        `MemoryNotTaken` where nothing was sent, and what was enclosed has ended."""
        if len(parts) > _PARTS_MAX:
            parts = [b"".join(bytes(part) for part in parts)]
        self._parts = _unsent(parts, self._sent(parts))

    def send_more(self) -> bool:
        """Whether nothing is left after another try. Raises `OSError` where the client is gone."""
        self._parts = _unsent(self._parts, self._sent(self._parts))
        return not self._parts

    def close(self) -> None:
        """Nothing is sent any more. On any thread, also on two at once."""
        self._parts = []
        with suppress(IndexError):
            while True:
                self._holdings.pop().end()

    def _sent(self, parts: Sequence[Part]) -> int:
        handing = self._handing
        try:
            if handing is None:
                return self._socket.sendmsg(parts)
            sent = self._socket.sendmsg(parts, handing.ancillary())
        except BlockingIOError:
            return 0
        except OSError as error:
            if handing is None or error.errno != errno.ETOOMANYREFS:
                raise
            self._handing = None
            handing.end()
            raise MemoryNotTaken(
                "Memory that was made for clients waits to be taken, and no more can be handed over.",
                "Take what was asked for, or ask again later.",
            ) from error
        self._handing = None
        handing.sent()
        return sent


def _unsent(parts: Sequence[Part], sent: int) -> list[memoryview]:
    views = []
    for part in parts:
        if sent < len(part):
            views.append(memoryview(part)[sent:])
        sent = max(0, sent - len(part))
    return views
