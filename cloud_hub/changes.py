"""Who is told that something changed: threads that wait, and SSE streams that watch. Carries names, never content."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager

#: A watcher hears at most so often; what comes in between is told together.
COALESCE_SECONDS = 0.5


class Listener:
    """What has changed since it was last asked, for one listener. Made by `Changes.listener`."""

    def __init__(self, subjects: frozenset[str]) -> None:
        self._subjects = subjects
        self._pending: set[str] = set()
        self._condition = threading.Condition()
        self._wakers: list[Callable[[], object]] = []
        self.closed = False

    def wait(self, timeout_seconds: float) -> set[str]:
        """Blocks until a subject changes, the timeout passes or the hub stops; gives what changed, maybe nothing."""
        with self._condition:
            self._condition.wait_for(lambda: bool(self._pending) or self.closed, timeout_seconds)
            return self._take()

    def take(self) -> set[str]:
        """What has changed until now, without waiting."""
        with self._condition:
            return self._take()

    def _take(self) -> set[str]:
        taken, self._pending = self._pending, set()
        return taken

    def _tell(self, subjects: tuple[str, ...]) -> None:
        heard = self._subjects.intersection(subjects)
        if heard:
            with self._condition:
                self._pending |= heard
                self._condition.notify_all()
            self._wake()

    def _close(self) -> None:
        with self._condition:
            self.closed = True
            self._condition.notify_all()
        self._wake()

    def _wake(self) -> None:
        for waker in self._wakers:
            waker()


class Changes:
    """Thread-safe. Subjects: "devices", "device:ID", "models", "rollouts", "rollout:ID", "telemetry"."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: set[Listener] = set()
        self._closed = False

    def bump(self, *subjects: str) -> None:
        """Tells everyone who listens to one of `subjects`. Never blocks."""
        with self._lock:
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener._tell(subjects)

    @contextmanager
    def listener(self, *subjects: str) -> Iterator[Listener]:
        """A listener for as long as the block runs, for a thread of its own."""
        listener = Listener(frozenset(subjects))
        with self._lock:
            self._listeners.add(listener)
            if self._closed:
                listener._close()
        try:
            yield listener
        finally:
            with self._lock:
                self._listeners.discard(listener)

    async def watch(self, *subjects: str) -> AsyncGenerator[set[str], None]:
        """What changed, each time something does, at most every `COALESCE_SECONDS`. Ends when the hub stops."""
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        with self.listener(*subjects) as listener:
            listener._wakers.append(lambda: loop.call_soon_threadsafe(woken.set))
            while not listener.closed:
                if changed := listener.take():
                    yield changed
                    # The first change is told at once; only those that follow closely wait for each other.
                    await _pause(listener, woken)
                else:
                    await woken.wait()
                    woken.clear()

    def close(self) -> None:
        """Ends every wait and every watch, now and from now on."""
        with self._lock:
            self._closed = True
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener._close()


async def _pause(listener: Listener, woken: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + COALESCE_SECONDS
    while not listener.closed and (left := deadline - loop.time()) > 0:
        try:
            await asyncio.wait_for(woken.wait(), left)
        except TimeoutError:
            return
        woken.clear()
