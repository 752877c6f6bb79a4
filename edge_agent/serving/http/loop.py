"""Waits for sockets, on one thread: epoll and nothing around it."""

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable

from edge_agent.serving.http.patience import Patience, linger_seconds

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
#: Reported whether it was asked for or not: the other side is gone.
GONE = select.EPOLLHUP | select.EPOLLERR

#: How often the loop turns when nothing happens, so that a stuck one can be told from an idle one.
_TURN_SECONDS = 5.0
#: How late a deadline may be noticed.
_TICK_SECONDS = 0.25


class Loop:
    """Calls back on the thread of `run` when sockets are ready or times are over. `soon` is safe for any thread."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._bell, READ)
        self._ready: dict[int, Callable[[int], None]] = {self._bell: self._rung}
        self._soon: deque[Callable[[], None]] = deque()
        self._deadlines: dict[Callable[[], None], float] = {}
        self._thread = 0
        self._patience = Patience(len(os.sched_getaffinity(0)))
        self._linger_seconds = 0.0
        self.turned_at = time.monotonic()

    def watch(self, fd: int, events: int, ready: Callable[[int], None]) -> None:
        """Calls `ready` with what happened whenever one of `events` has."""
        self._ready[fd] = ready
        self._epoll.register(fd, events)

    def change(self, fd: int, events: int) -> None:
        """Waits for other `events` of a watched `fd`."""
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Ends `watch`."""
        del self._ready[fd]
        self._epoll.unregister(fd)

    def soon(self, call: Callable[[], None]) -> None:
        """Calls `call` on the loop's thread."""
        self._soon.append(call)
        if threading.get_ident() != self._thread:
            os.eventfd_write(self._bell, 1)

    def at(self, deadline: float, call: Callable[[], None]) -> None:
        """Calls `call` once `deadline`, in monotonic seconds, is over. A second deadline of it replaces the first."""
        self._deadlines[call] = deadline

    def never(self, call: Callable[[], None]) -> None:
        """Ends `at`."""
        self._deadlines.pop(call, None)

    def expect(self, took_seconds: float = 0.0) -> None:
        """Something is likely to come at once, after an answer that took so long. To be called on the loop's thread;
        holds for one turn, and not after one that several sockets had."""
        self._linger_seconds = linger_seconds(took_seconds)

    def run(self, going: Callable[[], bool]) -> None:
        """Turns for as long as `going` says so after each turn."""
        self._thread = threading.get_ident()
        while going():
            self.turned_at = time.monotonic()
            self._turn(0 if self._soon else _TICK_SECONDS if self._deadlines else _TURN_SECONDS)

    def close(self) -> None:
        """After `run`. Whoever calls `soon` later is not heard."""
        self._epoll.close()

    def _turn(self, timeout: float) -> None:
        found = self._found(timeout)
        for fd, events in found:
            # It may have been forgotten by what happened before it in the same turn.
            if (ready := self._ready.get(fd)) is not None:
                ready(events)
        if len(found) > 1:
            # Of several clients one is at it already, and needs the processor that looking for it would take.
            self._linger_seconds = 0.0
        for _ in range(len(self._soon)):
            self._soon.popleft()()
        if self._deadlines:
            now = time.monotonic()
            for call in [call for call, deadline in self._deadlines.items() if deadline <= now]:
                del self._deadlines[call]
                call()

    def _found(self, timeout: float) -> list[tuple[int, int]]:
        linger, self._linger_seconds = self._linger_seconds, 0.0
        if linger and timeout and self._patience.worth():
            until = time.perf_counter() + linger
            while not (found := self._epoll.poll(0)) and time.perf_counter() < until:
                pass
            self._patience.told(bool(found))
            if found:
                return found
        return self._epoll.poll(timeout)

    def _rung(self, _: int) -> None:
        os.eventfd_read(self._bell)
