"""Whose a connection's socket is: the loop's thread's, or that of whoever answers."""

import socket
import threading
from collections.abc import Callable

from edge_agent.serving.http.loop import READ, WRITE, Loop


class Custody:
    """While a request is being answered, `busy`, its answer may come on any thread, and that thread alone sends.

    The loop's notes what happens meanwhile (more has come, `gone`, `closing`), and then looks at `busy` and at who uses
    the socket; whoever answers changes these first and looks at the notes then. The interpreter's lock keeps that
    order, so one of the two always sees the other: no byte is left lying, and no socket closed in the middle of a call,
    for its number may be another client's by then.
    """

    __slots__ = ("_client", "_hands", "_loop", "_waiting", "_watched", "busy", "closing", "gone")

    def __init__(self, client: socket.socket, loop: Loop) -> None:
        self._client = client
        self._loop = loop
        self._watched = False
        self._waiting = False
        """Whether more has come than is listened to."""
        self._hands: set[int] = set()
        """The threads that use the socket, beside the loop's."""
        self.busy = False
        self.gone = False
        """Whether there is nobody to be answered any more. Nobody takes it back."""
        self.closing = False
        """Whether the request that is being answered is the last. Nobody takes it back."""

    # --- on the loop's thread

    def watch(self, ready: Callable[[int], None]) -> None:
        """Calls `ready` whenever something has come, until `leave`."""
        self._watched = True
        self._loop.watch(self._client.fileno(), READ, ready)

    def put_off(self) -> None:
        """What has come is for whoever takes it, who then listens again."""
        self.busy = self._waiting = True
        self._loop.change(self._client.fileno(), 0)

    def keep(self) -> None:
        """Nobody takes it."""
        self.busy = False
        self.listen()

    def wait(self) -> bool:
        """What has come is left until the answer is sent. Whether it is already."""
        self._waiting = True
        self._loop.change(self._client.fileno(), 0)
        return not self.busy

    def resume(self) -> None:
        """Listens again, where something was left."""
        if self._waiting:
            self.listen()

    def listen(self) -> None:
        """From now on what comes is heard."""
        self._waiting = False
        self._loop.change(self._client.fileno(), READ)

    def wait_for_room(self) -> None:
        """From now on it is heard when more can be sent, and nothing else."""
        self._waiting = False
        self._loop.change(self._client.fileno(), WRITE)

    def leave(self) -> bool:
        """From now on nothing is heard. Whether the socket may be closed; else whoever uses it has that done."""
        self.gone = True
        if self._watched:
            self._watched = False
            self._loop.forget(self._client.fileno())
        return not self._hands

    # --- on the thread of whoever answers

    def take(self) -> bool:
        """This thread uses the socket from now on. Whether there is anybody to be answered."""
        self._hands.add(threading.get_ident())
        return not self.gone

    def hand_back(self) -> None:
        """The request is the loop's to be answered: this thread uses the socket no more."""
        self._hands.discard(threading.get_ident())

    def end(self) -> bool:
        """It is answered, and this thread uses the socket no more. Whether the loop has noted something meanwhile."""
        self._hands.discard(threading.get_ident())
        self.busy = False
        return self._waiting or self.gone or self.closing

    def end_listening(self) -> bool:
        """The same where nothing is left for the loop to do: it is not woken, and hears what comes next. False where it
        is to `end` after all. Who is `gone` then is still to be closed."""
        self.busy = False
        if self.closing:
            return False
        # From here on the next may be in the hands of another worker, and be answered already.
        self.listen()
        self._hands.discard(threading.get_ident())
        return True
