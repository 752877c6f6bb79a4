"""Calls that wait: bounded in number and bytes, oldest first, fair between models, handed out a batch at a time."""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeAlias, TypeVar

import msgspec

from edge_agent.core.batching import ALONE, Bounds, Take, plan
from edge_agent.serving.port import Call, Done
from edge_agent.serving.signature import Signature

#: Looked at when a batch is put together; no batch has more calls.
_LONGEST = 256


class Checked(msgspec.Struct, eq=False):
    """One call of so many `rows`, which was found right for `signature`. It came at `asked_ns`, by the performance
    counter."""

    call: Call
    signature: Signature
    rows: int
    asked_ns: int


class Slip:
    """A `Ticket` that keeps nothing of its call: a client's connection has it until the next call, and tensors may be
    megabytes."""

    __slots__ = ("cancelled",)

    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Job(Checked, eq=False, kw_only=True):
    """One call on its way, to be told to `done`."""

    done: Done
    size_bytes: int = 0
    """What it keeps in memory while it waits."""
    alike: Hashable = None
    """What must be the same for two calls to go together; None: it goes alone."""
    slip: Slip = msgspec.field(default_factory=Slip)

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.slip.cancelled


class Turn(msgspec.Struct, eq=False):
    """One call whose tensors are fetched by the worker that has time for it: `fetched_bytes` by then, and until then
    they lie with whoever sent them.

    `begin` does all of it, and raises nothing; it is told whether a model may be run, or else is to ask anew.
    """

    begin: Callable[[bool], None]
    fetched_bytes: int
    size_bytes: int = 0
    """As `Job` says."""
    slip: Slip = msgspec.field(default_factory=Slip)

    @property
    def cancelled(self) -> bool:
        """As `Job` says."""
        return self.slip.cancelled


#: Jobs that go together, or what goes alone.
Taken: TypeAlias = list[Job] | Turn


class Line:
    """The jobs that wait for one model. `bounds` are what its owner has set for batches."""

    def __init__(self, bounds: Bounds = ALONE) -> None:
        self.bounds = bounds
        self.waiting: deque[Job | Turn] = deque()


LineT = TypeVar("LineT", bound=Line)


class Backlog(Generic[LineT]):
    """The lines of all models: at most `most` jobs of `most_bytes` together, or a single one of any size. `put` on any
    thread, `take` on the workers'."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._idle = 0
        """How many workers wait. Where many ask none does, and whom to wake is not looked for."""
        self._lines: dict[LineT, None] = {}
        self._count = 0
        self._bytes = 0
        self._closed = False

    @property
    def count(self) -> int:
        """How many jobs wait."""
        return self._count

    @property
    def size_bytes(self) -> int:
        """What they keep in memory."""
        return self._bytes

    def put(self, line: LineT, job: Job | Turn) -> bool:
        """Whether there was room for `job`."""
        with self._lock:
            if self._closed or self._count >= self._most:
                return False
            if self._count and self._bytes + job.size_bytes > self._most_bytes:
                return False
            line.waiting.append(job)
            self._lines.setdefault(line)
            self._count += 1
            self._bytes += job.size_bytes
            if self._idle:
                self._changed.notify()
        return True

    def take(self) -> tuple[LineT, Taken] | None:
        """What goes next, of one model; waits for them. None when the backlog is closed."""
        with self._lock:
            while not self._closed:
                seconds: float | None = None
                for line in list(self._lines):
                    taken, hold = self._of(line)
                    if taken:
                        if self._count and self._idle:
                            # Who was woken for what is left may be the one that goes off with this.
                            self._changed.notify()
                        return line, taken
                    if hold is not None:
                        seconds = hold if seconds is None else min(seconds, hold)
                self._idle += 1
                self._changed.wait(seconds)
                self._idle -= 1
            return None

    def close(self) -> list[Job | Turn]:
        """From now on nothing comes in; what waited comes back."""
        with self._lock:
            self._closed = True
            left = [job for line in self._lines for job in line.waiting]
            for line in self._lines:
                line.waiting.clear()
            self._count = self._bytes = 0
            self._changed.notify_all()
        return left

    def _of(self, line: LineT) -> tuple[Taken | None, float | None]:
        """What of `line` goes now, or the seconds after which some do."""
        waiting = line.waiting
        while waiting and waiting[0].cancelled:
            self._pop(waiting)
        if not waiting:
            del self._lines[line]
            return None, None
        taken: Taken
        first = waiting[0]
        if isinstance(first, Turn):
            taken, calls = first, 1
        else:
            taken, calls = [first], 1
            if line.bounds.max_rows > 1 and first.alike is not None:
                alike = _beginning(waiting, first.alike)
                waited = (time.perf_counter_ns() - first.asked_ns) / 1e9
                rows = [job.rows for job in alike]
                step = plan(rows, waited, line.bounds, more=len(alike) < len(waiting))
                if not isinstance(step, Take):
                    return None, step.seconds
                calls = step.calls
                # The first has not been cancelled: nobody cancels between two looks but the others' callers.
                taken = [job for job in alike[:calls] if job is first or not job.cancelled]
        for _ in range(calls):
            self._pop(waiting)
        # To the end: the next worker looks at the other models first.
        del self._lines[line]
        if waiting:
            self._lines[line] = None
        return taken, None

    def _pop(self, waiting: deque[Job | Turn]) -> None:
        self._count -= 1
        self._bytes -= waiting.popleft().size_bytes


def _beginning(waiting: Iterable[Job | Turn], alike: Hashable) -> list[Job]:
    """Those at its beginning that can go together."""
    found: list[Job] = []
    for job in waiting:
        if not isinstance(job, Job) or job.alike != alike or len(found) == _LONGEST:
            break
        found.append(job)
    return found
