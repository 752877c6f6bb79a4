"""What is to be sent on one connection and has not been taken yet; and memory that goes with it."""

import errno
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

from edge_agent.serving.http.holding import Holding
from edge_agent.serving.http.response import Part, Response
from edge_agent.serving.http.status import Refused, answer_to
from edge_agent.serving.port import Overloaded

#: The kernel takes 1024 at once.
_PARTS_MAX = 512


class MemoryNotTaken(Overloaded):
    """The clients of this device have too many files under way that they do not take."""


class Outbox:
    """One thread uses it at a time; who that is, the connection keeps."""

    __slots__ = ("_handing", "_holdings", "_socket", "left")

    def __init__(self, client: socket.socket) -> None:
        self._socket = client
        self.left: list[memoryview] = []
        """What is still to be sent."""
        self._handing: Holding | None = None
        self._holdings: list[Holding] = []

    @property
    def held_bytes(self) -> int:
        """What it takes to keep that: of a tensor that is sent in part, all. On any thread."""
        return sum(memoryview(part.obj).nbytes for part in self.left)

    def with_memory(self, response: Response, memory: Callable[[], Holding], *, closing: bool) -> Response:
        """What is to be told next. With `response` goes what `memory` makes, which ends with `close`; nothing is made
        for who could not have it."""
        try:
            if self._socket.family != socket.AF_UNIX:
                raise Refused.wrong("Sealed memory is handed over a Unix socket only. Ask there.")
            if closing:
                raise Refused.wrong("Sealed memory ends with its connection. Ask on one that stays open.")
            self._enclose(memory())
        except Exception as error:  # noqa: BLE001, as wherever a request is understood
            return answer_to(error)
        return response

    def send(self, message: bytes) -> bool:
        """Whether all of it could be sent at once. Raises `OSError` where the client is gone."""
        try:
            sent = self._socket.send(message)
        except BlockingIOError:
            sent = 0
        if sent == len(message):
            return True
        self.left = [memoryview(message)[sent:]]
        return False

    def tell(self, response: Response, *, closing: bool, head_only: bool) -> None:
        """Sends what can be sent at once of `response`, or why what was to go with it cannot. Raises `OSError` where
        the client is gone."""
        head = response.head(closing=closing)
        parts: Sequence[Part] = (head,) if head_only else (head, *response.parts)
        if len(parts) > _PARTS_MAX:
            parts = [b"".join(bytes(part) for part in parts)]
        try:
            self.left = _unsent(parts, self._sent(parts))
        except MemoryNotTaken as error:
            self.tell(answer_to(error), closing=closing, head_only=head_only)

    def send_more(self) -> bool:
        """Whether nothing is left after another try. Raises `OSError` where the client is gone."""
        self.left = _unsent(self.left, self._sent(self.left))
        return not self.left

    def close(self) -> None:
        """Nothing is sent any more. On any thread, also on two at once."""
        self.left = []
        with suppress(IndexError):
            while True:
                self._holdings.pop().end()

    def _enclose(self, holding: Holding) -> None:
        """It goes with the first byte of what is sent next."""
        # Those that were unregistered meanwhile are forgotten here, so that they do not gather.
        self._holdings = [*(one for one in self._holdings if one.lasts), holding]
        self._handing = holding

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
