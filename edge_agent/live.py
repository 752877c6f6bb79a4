"""The slot that inference reads: always one whole model or none, switched between two records.

A model may be parked: it stays live, its memory is given back, and the next lease opens it again.
"""

import itertools
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import msgspec
from msgspec.structs import replace

from edge_agent.runtimes.session import Session
from fleet_contract.manifest import Manifest


class Loaded(msgspec.Struct, frozen=True):
    """A model that is loaded and warmed up.

    `reopen` gives a session of the same artifact once more, which is what makes it possible to park the model;
    `memory_bytes` is what it takes while it is loaded, as far as that could be measured.
    """

    manifest: Manifest
    session: Session
    reopen: Callable[[], Session] | None = None
    memory_bytes: int = 0


class Health(msgspec.Struct, frozen=True):
    """How the live model has done since it was switched to: `count` records answered, `errors` that failed."""

    count: int = 0
    errors: int = 0


class Pace(msgspec.Struct, frozen=True):
    """Of the leases of the live model that have ended, how many lasted longer than they may."""

    leases: int = 0
    slow: int = 0


class Busy(msgspec.Struct, frozen=True):
    """The lease that has been under way for longest: since when, in monotonic seconds, and of which model."""

    since: float
    manifest: Manifest


class Mark(Protocol):
    """Where a model's leases are noted, so that the next start sees who was at work when this process ended."""

    def enter(self) -> int:
        """This thread begins. The place, different from all that are entered, is what `leave` needs."""
        ...

    def leave(self, place: int) -> None:
        """Who entered at `place` has come out alive."""
        ...

    def close(self) -> None:
        """The model is gone."""
        ...


class Unmarked:
    """Notes nothing."""

    def __init__(self, manifest: Manifest) -> None:
        del manifest
        self._places = itertools.count()

    def enter(self) -> int:
        return next(self._places)

    def leave(self, place: int) -> None:
        """Nothing was noted."""

    def close(self) -> None:
        """Nothing was noted."""


class Residence(msgspec.Struct, frozen=True):
    """What is known of a live model's memory; `used_at` in monotonic seconds."""

    memory_bytes: int
    parked: bool
    parkable: bool
    used_at: float


class _Tenure(msgspec.Struct, eq=False):
    """One model's time in the slot. `session` is None while it is parked."""

    loaded: Loaded
    session: Session | None
    used_at: float
    mark: Mark
    leases: int = 0
    count: int = 0
    errors: int = 0
    ended: int = 0
    slow: int = 0
    over: bool = False
    opening: threading.Lock = msgspec.field(default_factory=threading.Lock)


class Lease:
    """The right to run one model, from `began_at` (monotonic seconds) until `LiveModel.end`."""

    __slots__ = ("_place", "_tenure", "began_at", "loaded")

    def __init__(self, tenure: _Tenure, loaded: Loaded, began_at: float) -> None:
        self._tenure = tenure
        self._place = tenure.mark.enter()
        self.loaded = loaded
        self.began_at = began_at


class LiveModel:
    """The model that answers, under one name. Safe for any number of threads.

    `marking` gives what the leases of a model are noted with.
    """

    def __init__(self, marking: Callable[[Manifest], Mark] = Unmarked) -> None:
        self.slow_seconds = math.inf
        """A lease that lasts longer counts as slow."""
        self._marking = marking
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._tenure: _Tenure | None = None
        self._paused = False
        # In the order in which they began.
        self._leases: dict[Lease, None] = {}

    def begin(self) -> Lease | None:
        """A lease of the live model, or None when there is none: it is not closed before `end`.

        Opens the model again when it is parked, and raises what `reopen` raises, as one failed record. To be called on
        the thread that runs the model, for that is the one that is blamed when the process ends in it. Waits for the
        end of a pause.
        """
        with self._lock:
            while self._paused:
                self._changed.wait()
            tenure = self._tenure
            if tenure is None:
                return None
            now = time.monotonic()
            tenure.leases += 1
            tenure.used_at = now
            lease = Lease(tenure, tenure.loaded, now)
            self._leases[lease] = None
            parked = tenure.session is None
        if parked:
            try:
                self._open(tenure)
            except BaseException:
                self.end(lease, failed=1)
                raise
            lease.loaded = tenure.loaded
            with self._lock:
                # To open it is none of what a record may take, and would be held against the model.
                del self._leases[lease]
                lease.began_at = time.monotonic()
                self._leases[lease] = None
        return lease

    def again(self, lease: Lease) -> bool:
        """Begins `lease`, which has ended, once more. False when what it is of is not live any more, or is parked or
        was meanwhile: then it has not begun, and never will; or in a pause, which it does not wait for. To be called as
        `begin` is."""
        with self._lock:
            tenure = lease._tenure
            if (
                self._paused
                or tenure is not self._tenure
                or tenure.session is None
                or tenure.loaded is not lease.loaded
            ):
                return False
            now = time.monotonic()
            tenure.leases += 1
            tenure.used_at = now
            lease.began_at = now
            lease._place = tenure.mark.enter()
            self._leases[lease] = None
        return True

    def end(self, lease: Lease, *, answered: int = 0, failed: int = 0) -> None:
        """Gives `lease` back, once, with as many records answered and failed."""
        tenure = lease._tenure
        with self._lock:
            del self._leases[lease]
            tenure.mark.leave(lease._place)
            tenure.leases -= 1
            tenure.ended += 1
            tenure.slow += time.monotonic() - lease.began_at > self.slow_seconds
            tenure.count += answered
            tenure.errors += failed
            last = tenure.over and tenure.leases == 0
            if self._paused:
                self._changed.notify_all()
        if last:
            _close(tenure)

    def recant(self, lease: Lease, records: int = 1) -> None:
        """What ended as answered turned out to be wrong: the records count as failed."""
        with self._lock:
            lease._tenure.count -= records
            lease._tenure.errors += records

    @contextmanager
    def lease(self) -> Iterator[Loaded | None]:
        """The live model, or None, for one record: it is not closed before the lease ends.

        Leaving normally counts a record as answered, leaving by an `Exception` as failed: keep only the model's own
        work inside.
        """
        lease = self.begin()
        if lease is None:
            yield None
            return
        failed = False
        try:
            yield lease.loaded
        except Exception:
            failed = True
            raise
        finally:
            self.end(lease, answered=not failed, failed=failed)

    def switch(self, loaded: Loaded | None) -> None:
        """From now on `loaded` answers. What answered before is closed when its last lease ends."""
        after = (
            None
            if loaded is None
            else _Tenure(loaded, loaded.session, time.monotonic(), self._marking(loaded.manifest))
        )
        with self._lock:
            before, self._tenure = self._tenure, after
            idle = False
            if before is not None:
                before.over = True
                idle = before.leases == 0
            self._changed.notify_all()
        if before is not None and idle:
            _close(before)

    def pause(self) -> None:
        """From now on no lease begins, until `resume`."""
        with self._lock:
            self._paused = True

    def rests(self, timeout_seconds: float) -> bool:
        """Whether no lease is under way, after waiting for that for up to `timeout_seconds`."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._leases, timeout_seconds)

    def resume(self) -> None:
        """Ends `pause`."""
        with self._lock:
            self._paused = False
            self._changed.notify_all()

    def park(self) -> bool:
        """Closes the live model's session until the next lease, if nobody holds one. Whether it did."""
        with self._lock:
            tenure = self._tenure
            if tenure is None or tenure.leases or tenure.session is None or tenure.loaded.reopen is None:
                return False
            session, tenure.session = tenure.session, None
        session.close()
        return True

    @property
    def manifest(self) -> Manifest | None:
        """The manifest of the live model, parked or not."""
        tenure = self._tenure
        return None if tenure is None else tenure.loaded.manifest

    @property
    def parked(self) -> bool:
        """Whether a model is live that must be opened again before it answers."""
        tenure = self._tenure
        return tenure is not None and tenure.session is None

    @property
    def leases(self) -> int:
        """How many leases have not ended: a hint, old as soon as it is read."""
        return len(self._leases)

    def health(self) -> Health:
        """The counts since the last switch."""
        with self._lock:
            return Health() if self._tenure is None else Health(self._tenure.count, self._tenure.errors)

    def pace(self) -> Pace:
        """How fast the live model has been since the last switch."""
        with self._lock:
            return Pace() if self._tenure is None else Pace(self._tenure.ended, self._tenure.slow)

    def residence(self) -> Residence | None:
        """Of the live model, or None when there is none."""
        with self._lock:
            tenure = self._tenure
            if tenure is None:
                return None
            loaded = tenure.loaded
            parkable = loaded.reopen is not None and tenure.leases == 0
            return Residence(loaded.memory_bytes, tenure.session is None, parkable, tenure.used_at)

    def busy(self) -> Busy | None:
        """The oldest lease that has not ended, also of a model that is not live any more; None when there is none."""
        with self._lock:
            return next((Busy(one.began_at, one.loaded.manifest) for one in self._leases), None)

    def busy_since(self) -> float | None:
        """When, in monotonic seconds, the oldest lease began that has not ended; None when there is none. Long ago
        means that an inference hangs."""
        busy = self.busy()
        return None if busy is None else busy.since

    def wait(self, timeout_seconds: float) -> bool:
        """Whether a model is live, after waiting for one for up to `timeout_seconds`."""
        with self._changed:
            return self._changed.wait_for(lambda: self._tenure is not None, timeout_seconds)

    def _open(self, tenure: _Tenure) -> None:
        """The lease that the caller has keeps `tenure` from being closed meanwhile."""
        with tenure.opening:
            if tenure.session is not None:
                return
            reopen = tenure.loaded.reopen
            assert reopen is not None, "only what can be opened again is parked"
            session = reopen()
            with self._lock:
                tenure.loaded = replace(tenure.loaded, session=session)
                tenure.session = session


def _close(tenure: _Tenure) -> None:
    if tenure.session is not None:
        tenure.session.close()
    tenure.mark.close()
