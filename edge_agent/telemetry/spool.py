"""Telemetry on disk until the hub has it: bounded in bytes, least precious dropped first, and every drop counted.

A lane each for windows, events and samples. What does not fit costs samples before events, events before windows, and
the oldest first; a lane's newest segment is never dropped, and a small part of the room is the events' own.
"""

import errno
import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from edge_agent.core.drain import Backlog
from edge_agent.errors import StateUnusable
from edge_agent.telemetry import loss as losses
from edge_agent.telemetry.aside import patience_seconds, put_aside
from edge_agent.telemetry.log import packed_bytes
from edge_agent.telemetry.loss import Loss
from edge_agent.telemetry.queue import DiskQueue
from edge_agent.telemetry.segment import Loaded, load, segments_in
from edge_agent.telemetry.unfit import unfit
from fleet_contract.because import Because
from fleet_contract.report import LaneReport, SpoolReport
from fleet_contract.telemetry import Event, Lane, Record, Sample, Window

_log = logging.getLogger(__name__)
_encoder = msgspec.msgpack.Encoder()
#: Compressing pays from some hundred records on; what rots in a sealed segment costs all of it.
MAX_SEGMENT_BYTES = 256 * 1024


class Spool:
    """The spool of one agent start, `boot`, of the device `owner`, with what earlier starts left.

    Safe for any number of threads. `owner` is "<fleet>.<device>": what was recorded under another name is dropped,
    for it must not be sent under this one.
    """

    def __init__(
        self, folder: Path, owner: str, boot: str, max_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Opens or makes the spool in `folder`. A lane that cannot even be read keeps nothing until it can, for the hub
        must hear of it; `clock` gives monotonic seconds."""
        self._folder = folder
        self.max_bytes = max_bytes
        """What its files may take together; may be changed at any time."""
        self._clock = clock
        self._lock = threading.Lock()
        segment_bytes = max(64 * 1024, min(MAX_SEGMENT_BYTES, max_bytes // 16))
        sizes = {Lane.WINDOWS: segment_bytes, Lane.EVENTS: segment_bytes // 4, Lane.SAMPLES: segment_bytes // 4}
        #: What a lane keeps though a more precious one needs room. Samples have nothing but the file that is written:
        #: the captures that older ones tell of are soon gone, too.
        self._floors = {Lane.WINDOWS: 0, Lane.EVENTS: segment_bytes, Lane.SAMPLES: 0}
        self.trouble: Because | None = None
        """Why the last record of a lane that is open could not be kept, until one is."""
        self._full = False
        self._queues = {
            lane: DiskQueue(folder / lane.value, lane, owner, boot, size_bytes, clock)
            for lane, size_bytes in sizes.items()
        }
        #: Once a start: a disk that reads no folder at all must not cost what an earlier start has put aside.
        self._put_aside: dict[Lane, Because] = {}
        self._ill_since: dict[Lane, float] = {}
        #: How many of this start's losses were noticed, and what is told of them.
        self._noticed: Counter[tuple[Lane, str]] = Counter()
        self._losses: dict[tuple[Lane, str], Loss] = {}
        for lane in Lane:
            with self._lane(lane):
                pass

    def append(self, window: Window) -> bool:
        """Keeps `window` under the next sequence of this boot. False when it had to be dropped: see `troubles`."""
        return self._append(Lane.WINDOWS, window)

    def note(self, event: Event) -> bool:
        """Keeps `event` likewise."""
        return self._append(Lane.EVENTS, event)

    def keep(self, sample: Sample) -> bool:
        """Keeps `sample` likewise."""
        return self._append(Lane.SAMPLES, sample)

    def backlog(self, lane: Lane = Lane.WINDOWS) -> Backlog | None:
        """The oldest boot with records of `lane` that the hub does not have."""
        with self._lane(lane) as queue:
            return queue.backlog()

    def waiting(self, lane: Lane = Lane.WINDOWS) -> int:
        """How many records of `lane` the hub does not have."""
        with self._lock:
            return self._queues[lane].waiting

    def mark(self, boot: str, lane: Lane = Lane.WINDOWS) -> int:
        """Up to where records of `boot` need not be sent any more; 0 when none was."""
        with self._lock:
            return self._queues[lane].mark(boot)

    def read(
        self, boot: str, since: int, max_bytes: int, max_records: int = 1 << 30, lane: Lane = Lane.WINDOWS
    ) -> tuple[Any, ...]:
        """Records of `boot` after sequence `since`, in order: as many as may be, but at least one. `max_bytes` is of
        records as a log holds them.

        Records that are lost are dropped, counted, and not waited for. Raises OSError when they cannot be read now.
        """
        with self._lane(lane) as queue:
            return queue.read(boot, since, max_records, max_bytes)

    def forget(self, boot: str, through: int, lane: Lane = Lane.WINDOWS) -> None:
        """The hub has all records of `boot` up to `through`: they need not be kept."""
        with self._lane(lane) as queue:
            before = queue.mark(boot)
            queue.forget(boot, through)
            if queue.mark(boot) > before and (refused := self._losses.get((lane, "refused"))) is not None:
                self._losses[lane, "refused"] = losses.closed(refused)
            self._full = self._full and self._size_bytes() > self.max_bytes * 3 // 4

    def give_up(self, boot: str, through: int, reason: str, lane: Lane = Lane.WINDOWS) -> int:
        """Drops records of `boot` up to `through`, which no hub will take. Gives how many."""
        with self._lane(lane) as queue:
            before = queue.waiting
            queue.forget(boot, through)
            lost = before - queue.waiting
            queue.drop(reason, lost)
            return lost

    def report(self) -> SpoolReport:
        """What waits, and what was dropped since the state folder was made."""
        with self._lock:
            return _report({lane: queue.report() for lane, queue in self._queues.items()})

    def troubles(self) -> list[Because]:
        """What is wrong now, or was found to be wrong a short while ago."""
        with self._lock:
            found = [self.trouble, *(queue.unreadable for queue in self._queues.values()), *self._lost()]
            found += [queue.waits_for for queue in self._queues.values()]
            return [one for one in found if one is not None]

    def close(self) -> None:
        """Lets go of the files."""
        with self._lock:
            for queue in self._queues.values():
                queue.close()

    @contextmanager
    def _lane(self, lane: Lane) -> Iterator[DiskQueue]:
        """The lane, opened if that goes; then looks at what was lost meanwhile."""
        with self._lock:
            queue = self._queues[lane]
            if not queue.loaded:
                self._open(lane, queue)
            queue.look_again()
            try:
                yield queue
            finally:
                self._notice(lane, queue)

    def _open(self, lane: Lane, queue: DiskQueue) -> None:
        said, queue.unreadable = queue.unreadable, None
        try:
            put = self._load(lane, queue)
        except OSError as error:
            queue.unreadable = Because(
                "spool-unreadable",
                f"The spool {queue.folder} cannot be opened ({error.strerror}), and keeps no telemetry until it can. "
                "Check the disk, and whose it is; if it is damaged, move it away, which costs only telemetry.",
            )
            if queue.unreadable != said:
                _log.error("%s", queue.unreadable)
            return
        if put is not None:
            queue.unreadable = put
            _log.error("%s", put)
        elif said is not None:
            _log.warning("the spool %s could be opened again", queue.folder)
        try:
            queue.open()
        except OSError as error:
            self._cannot_write(error)

    def _load(self, lane: Lane, queue: DiskQueue) -> Because | None:
        """What is to be said of what was put aside for it, if anything was. Raises OSError."""
        try:
            queue.load()
        except OSError as error:
            patience, now = patience_seconds(error), self._clock()
            since = self._ill_since.setdefault(lane, now) if patience < math.inf else now
            if lane in self._put_aside or now < since + patience:
                raise
            aside = put_aside(queue.folder)
            self._put_aside[lane] = Because(
                "spool-unreadable",
                f"Telemetry in {queue.folder} could not be read ({error.strerror}), and was put aside as {aside.name}: "
                "the hub will not have it. Check the disk.",
            )
            queue.load()
        return self._put_aside.get(lane)

    def _notice(self, lane: Lane, queue: DiskQueue) -> None:
        for reason in losses.TROUBLES:
            key, lost = (lane, reason), queue.dropped[reason] - queue.earlier[reason]
            if (count := lost - self._noticed[key]) > 0:
                self._noticed[key] = lost
                self._losses[key] = losses.more(self._losses.get(key), count, queue.newest, self._clock())
        for reason in losses.ON_DISK:
            loss = self._losses.get((lane, reason))
            if loss is not None and not loss.closed and not queue.waits_through(loss.newest):
                self._losses[lane, reason] = losses.closed(loss)

    def _append(self, lane: Lane, record: Record) -> bool:
        with self._lane(lane) as queue:
            if not queue.loaded:
                queue.drop("disk")
                return False
            record = msgspec.structs.replace(record, sequence=queue.next_sequence())
            body = _encoder.encode(record)
            if (wrong := unfit(lane, record, body)) is not None:
                queue.drop(wrong.code)
                self.trouble = wrong
                return False
            try:
                queue.make_room(body)
                self._evict(packed_bytes(body))
                queue.append(body)
            except OSError as error:
                queue.drop("disk")
                self._cannot_write(error)
                return False
            self.trouble = None
            return True

    def _evict(self, size_bytes: int) -> None:
        while self._size_bytes() + size_bytes > self.max_bytes:
            for lane in reversed(Lane):
                queue = self._queues[lane]
                if queue.size_bytes > self._floors[lane] and (lost := queue.evict()) >= 0:
                    break
            else:
                return
            if lost and not self._full:
                self._full = True
                _log.warning("the spool is full: dropped %d %s, and more whenever more comes", lost, lane.value)

    def _size_bytes(self) -> int:
        return sum(queue.size_bytes for queue in self._queues.values())

    def _lost(self) -> Iterator[Because]:
        if self._full:
            counts = {lane.value: queue.dropped["spool-full"] for lane, queue in self._queues.items()}
            lost = ", ".join(f"{count} {lane}" for lane, count in counts.items() if count)
            yield Because(
                "spool-full",
                f"The spool holds its {self.max_bytes} bytes; {lost} were dropped that the hub never had.",
            )
        now = self._clock()
        self._losses = {key: one for key, one in self._losses.items() if not losses.ended(one, now)}
        for reason in losses.TROUBLES:
            if count := sum(one.count for (_, lost_for), one in self._losses.items() if lost_for == reason):
                yield losses.told(reason, count)

    def _cannot_write(self, error: OSError) -> None:
        code = "disk-full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "spool-unwritable"
        self.trouble = Because(code, f"Telemetry cannot be written to {self._folder}: {error.strerror}.")


def look(folder: Path) -> SpoolReport:
    """What a spool holds, as far as it can be read, without touching it. Raises `StateUnusable`."""
    return _report({lane: _look(folder / lane.value) for lane in Lane})


def unreadable(folder: Path) -> int:
    """How many files of it cannot be read now. Raises `StateUnusable`."""
    return sum(one is None for lane in Lane for one in _looked_at(folder / lane.value))


def _look(folder: Path) -> LaneReport:
    loaded = [one for one in _looked_at(folder) if one is not None]
    marks: dict[str, int] = {}
    dropped: dict[str, int] = {}
    for one in loaded:
        marks.update({boot: max(mark, marks.get(boot, 0)) for boot, mark in one.marks.items()})
        dropped.update({reason: max(count, dropped.get(reason, 0)) for reason, count in one.dropped.items()})
    return LaneReport(
        records=sum(one.segment.waiting(marks.get(one.segment.boot, 0)) for one in loaded),
        size_bytes=sum(one.segment.size_bytes for one in loaded),
        dropped={reason: count for reason, count in dropped.items() if count},
    )


def _looked_at(folder: Path) -> list[Loaded | None]:
    """Of each file of a lane what is known of it; None where it cannot be read now."""
    try:
        return [_load(path) for path in segments_in(folder)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StateUnusable(
            f"Cannot read the spool {folder}: {error.strerror}.", "Run as the user who owns it."
        ) from error


def _load(path: Path) -> Loaded | None:
    try:
        return load(path)
    except PermissionError:
        raise
    except OSError as error:
        # One bad block must not hide what the other files hold.
        _log.error("cannot read %s: %s", path, error.strerror)
        return None


def _report(lanes: Mapping[Lane, LaneReport]) -> SpoolReport:
    windows = lanes[Lane.WINDOWS]
    return SpoolReport(
        records=windows.records,
        size_bytes=sum(one.size_bytes for one in lanes.values()),
        dropped=sum(windows.dropped.values()),
        lanes={lane.value: one for lane, one in lanes.items()},
    )
