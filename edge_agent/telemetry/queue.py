"""One lane of the spool on disk: records in the order in which they came, until the hub has them.

The newest segment is a log: each record is written and synced before anybody hears of it, so a power cut loses none
that was taken in. A device makes one every few seconds, which any flash stands; batching syncs would save nothing
that matters and lose records. A log that is full is sealed: written again in columns, compressed.

Not safe for threads: the spool's lock is around it.
"""

import contextlib
import errno
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from edge_agent.core.drain import Backlog
from edge_agent.durable import asked_twice, sync_folder
from edge_agent.telemetry.aside import put_file_aside
from edge_agent.telemetry.log import Entry, Kind, pack, packed_bytes
from edge_agent.telemetry.reader import Reader
from edge_agent.telemetry.sealed import Head, write_sealed
from edge_agent.telemetry.segment import (
    LOG,
    SEALED,
    Segment,
    discard,
    discard_either,
    load_either,
    path_of,
    segments_in,
    size_of_either,
)
from edge_agent.telemetry.unread import REST_SECONDS, Unread, failed, is_lost, rests
from fleet_contract.because import Because
from fleet_contract.report import LaneReport
from fleet_contract.telemetry import Lane, batch_of, encode_batch

_log = logging.getLogger(__name__)
#: Written once and kept for weeks: worth more of the processor's time than what goes over the wire.
_LEVEL = 9


class _Held(NamedTuple):
    """A file that waits: why, where it cannot be read itself and does not only come after one; what it takes; and how
    many records the hub does not have, as far as that is known."""

    unread: Unread | None
    size_bytes: int
    records: int = 1


class DiskQueue:
    """The records of `lane` in `folder`, those of this agent start `boot` of the device `owner` among them."""

    def __init__(
        self, folder: Path, lane: Lane, owner: str, boot: str, segment_bytes: int, clock: Callable[[], float]
    ) -> None:
        """Touches nothing: see `load`. `clock` gives monotonic seconds."""
        self.folder = folder
        self._lane = lane
        self._owner = owner
        self._boot = boot
        self._segment_bytes = segment_bytes
        self._clock = clock
        self._segments: list[Segment] = []
        self._active: int | None = None
        self._number = 0
        self._sequence = 0
        self._marks: dict[str, int] = {}
        #: Files of earlier starts that could not be read yet, and what came after them of the same boots: an ack for
        #: that would be taken for one of what could not be read.
        self._held: dict[Path, _Held] = {}
        self._reader = Reader(lane)
        self.dropped: Counter[str] = Counter()
        """How many records were dropped, by reason, since the folder was made."""
        self.earlier: Counter[str] = Counter()
        """What of that earlier starts have counted."""
        self.unreadable: Because | None = None
        """Why the folder cannot be read, or could not."""
        self.loaded = False
        """Whether it is known what the folder holds. Before, it has no record, and takes none."""

    @property
    def size_bytes(self) -> int:
        """What its files take."""
        held = sum(one.size_bytes for one in self._held.values())
        return held + sum(one.size_bytes for one in self._segments)

    @property
    def waiting(self) -> int:
        """How many records the hub does not have."""
        return sum(one.waiting(self.mark(one.boot)) for one in self._segments)

    @property
    def newest(self) -> int:
        """The number of its newest segment."""
        return self._number

    @property
    def waits_for(self) -> Because | None:
        """Why its oldest file that cannot be read now cannot."""
        held = [one.unread for one in self._held.values()]
        waiting = [one.unread for one in self._segments if one.waiting(self.mark(one.boot))]
        return next((one.because for one in (*held, *waiting) if one is not None), None)

    def waits_through(self, number: int) -> bool:
        """Whether segments up to `number` hold records that the hub does not have."""
        return any(one.waiting(self.mark(one.boot)) for one in self._segments if one.number <= number)

    def load(self) -> None:
        """Finds what earlier starts have left, once. Raises OSError when the folder cannot be made or read: then it
        may be tried again."""
        self._segments = self._taken(asked_twice(self._found))
        self.loaded = True

    def open(self) -> None:
        """Starts the first segment of this start, and seals what earlier ones have left. Raises OSError."""
        self._roll()

    def look_again(self) -> None:
        """Tries again what could not be read when it was found, when it is time."""
        tried = [one.unread.tried_at for one in self._held.values() if one.unread is not None]
        if not self._held or (tried and self._clock() < min(tried) + REST_SECONDS):
            return
        taken = self._taken(self._held)
        # The one that is written stays the last: it is newer than all that was found.
        self._segments = sorted(taken + self._segments, key=lambda one: one.number)
        self._remove_done()
        for segment in taken:
            if segment in self._segments[:-1] and not segment.sealed:
                self._seal(segment)

    def next_sequence(self) -> int:
        """What the next record is to be called."""
        return self._sequence + 1

    def make_room(self, body: bytes) -> None:
        """Starts a new segment where `body` would be too much for this one. Raises OSError."""
        if self._active is None or self._segments[-1].size_bytes + packed_bytes(body) > self._segment_bytes:
            self._roll()

    def append(self, body: bytes) -> None:
        """Keeps `body`, a record that has the next sequence. Raises OSError, and then that sequence is used up."""
        # Also when it fails: what came of it on disk is unknown, and no two records may share a number.
        self._sequence += 1
        self._write(Entry(Kind.RECORD, self._sequence, body), durable=True)
        self._segments[-1].add(self._sequence)
        self._segments[-1].raw_bytes += packed_bytes(body)

    def drop(self, reason: str, count: int = 1) -> None:
        """Counts records that are not kept."""
        self.dropped[reason] += count
        if count and self._active is not None:
            try:
                self._write(Entry(Kind.DROPPED, self.dropped[reason], reason.encode()), durable=False)
            except OSError as error:
                # The next segment begins with all counts.
                _log.warning("cannot note in the spool what was dropped: %s", error.strerror)

    def evict(self) -> int:
        """Removes the oldest segment, but never the one that is written, and gives how many records that loses; -1
        when there is none to remove. Raises OSError when that could not be noted: then it stays."""
        held = next(iter(self._held), None)
        if held is not None and all(_number_of(held) < one.number for one in self._segments[:1]):
            lost = self._held[held].records
            self._note_evicted(lost)
            del self._held[held]
            discard_either(held)
            return lost
        if len(self._segments) < 2:
            return -1
        oldest = self._segments[0]
        lost = oldest.waiting(self.mark(oldest.boot))
        self._note_evicted(lost)
        self._remove(oldest)
        return lost

    def _note_evicted(self, lost: int) -> None:
        if lost:
            self._write(Entry(Kind.DROPPED, self.dropped["spool-full"] + lost, b"spool-full"), durable=False)
            # Only now: while this cannot be written they stay, and would be counted at every try.
            self.dropped["spool-full"] += lost

    def backlog(self) -> Backlog | None:
        """The oldest boot with records that the hub does not have, and that may be read now."""
        waiting, now = [one for one in self._segments if one.waiting(self.mark(one.boot))], self._clock()
        resting = {one.boot for one in waiting if one.unread is not None and rests(one.unread, now)}
        waiting = [one for one in waiting if one.boot not in resting]
        if not waiting:
            return None
        boot = waiting[0].boot
        return Backlog(boot, self.mark(boot), max(one.last for one in waiting if one.boot == boot))

    def mark(self, boot: str) -> int:
        """Up to where records of `boot` need not be sent any more; 0 when none was."""
        return self._marks.get(boot, 0)

    def read(self, boot: str, since: int, max_records: int, max_bytes: int) -> tuple[Any, ...]:
        """Records of `boot` after sequence `since`, in order: as many as may be, but at least one.

        Records that are lost are dropped, counted, and not waited for. Raises OSError when they cannot be read now.
        """
        records: list[Any] = []
        size = 0
        for segment in [one for one in self._segments if one.boot == boot and one.waiting(since)]:
            found: list[int] = []
            try:
                for record, size_bytes in self._reader.records(segment, since):
                    if records and (len(records) >= max_records or size + size_bytes > max_bytes):
                        return tuple(records)
                    segment.unread = None
                    records.append(record)
                    found.append(record.sequence)
                    size += size_bytes
            except OSError as error:
                if records:
                    return tuple(records)
                if not self._gave_up(segment, error):
                    raise
                continue
            self._miss(segment, since, found)
        return tuple(records)

    def forget(self, boot: str, through: int) -> None:
        """Records of `boot` up to `through` need not be kept."""
        last = max((one.last for one in self._segments if one.boot == boot), default=0)
        # A hub that claims more than we have made must not make us forget what is still to come.
        through = min(through, last)
        if through <= self.mark(boot):
            return
        self._marks[boot] = through
        try:
            self._write(Entry(Kind.MARK, through, boot.encode()), durable=False)
        except OSError as error:
            # Only a repeat after the next start, which the hub recognises.
            _log.warning("cannot note in the spool what the hub has: %s", error.strerror)
        self._remove_done()

    def report(self) -> LaneReport:
        """What waits, and what was dropped."""
        return LaneReport(self.waiting, self.size_bytes, {name: count for name, count in self.dropped.items() if count})

    def close(self) -> None:
        """Lets go of the files."""
        # Forgotten first: a close that fails has closed it all the same, and its number is soon another file's.
        active, self._active = self._active, None
        if active is not None:
            with contextlib.suppress(OSError):
                os.close(active)

    def _found(self) -> list[Path]:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return segments_in(self.folder)

    def _taken(self, paths: Iterable[Path]) -> list[Segment]:
        """What earlier starts have left in `paths`, the oldest first, after what else they say is known; what cannot be
        read now is held."""
        before, self._held = self._held, {}
        taken: list[Segment] = []
        for path in (there := dict.fromkeys(paths)):
            self._number = max(self._number, _number_of(path))
            if path.suffix == SEALED and path.with_suffix(LOG) in there:
                continue
            try:
                loaded = load_either(path)
            except OSError as error:
                unread = self._failed(before[path].unread if path in before else None, path, error)
                if is_lost(unread) and self._put_aside(path):
                    # How many records it held, nobody knows.
                    self.drop("unreadable")
                else:
                    self._held[path] = _Held(unread, size_of_either(path))
                continue
            for boot, mark in loaded.marks.items():
                self._marks[boot] = max(self.mark(boot), mark)
            for reason, count in loaded.dropped.items():
                if (more := count - self.earlier[reason]) > 0:
                    self.earlier[reason] += more
                    self.drop(reason, more)
            segment = loaded.segment
            if any(_boot_of(one) == segment.boot for one in self._held):
                self._held[path] = _Held(None, segment.size_bytes, segment.waiting(self.mark(segment.boot)))
                continue
            self.drop("damaged", loaded.damaged)
            taken.append(segment)
        # Only now are all marks known.
        for segment in [one for one in taken if one.owner != self._owner]:
            lost = segment.waiting(self.mark(segment.boot))
            _log.warning("%s is of %s: %d records dropped", segment.path, segment.owner, lost)
            self.drop("other-device", lost)
            segment.runs = []
        return taken

    def _gave_up(self, segment: Segment, error: OSError) -> bool:
        """After `segment` could not be read: whether it is not waited for any more."""
        segment.unread = self._failed(segment.unread, segment.path, error)
        if not is_lost(segment.unread):
            return False
        if segment is self._segments[-1]:
            # Nor written to. Another try goes before it is lost.
            with contextlib.suppress(OSError):
                self._roll()
            return False
        if not self._put_aside(segment.path):
            return False
        lost = segment.waiting(self.mark(segment.boot))
        self._remove(segment)
        self.drop("unreadable", lost)
        return True

    def _failed(self, before: Unread | None, path: Path, error: OSError) -> Unread:
        unread = failed(before, path, error, self._clock())
        if before is None or before.because != unread.because:
            _log.error("%s", unread.because)
        return unread

    def _put_aside(self, path: Path) -> bool:
        """Whether `path` does not stand in the way any more."""
        try:
            aside = put_file_aside(path)
        except OSError as error:
            _log.warning("cannot put %s aside: %s", path, error.strerror)
            return False
        _log.error("%s could not be read for too long, and was put aside as %s", path, aside.name)
        return True

    def _miss(self, segment: Segment, since: int, found: list[int]) -> None:
        """After all of `segment` was read: what it should hold after `since` and did not give is lost."""
        if lost := segment.keep(since, found):
            _log.error("%s is damaged: %d records are lost", segment.path, lost)
            self.drop("damaged", lost)
            self._replace(segment)

    def _replace(self, segment: Segment) -> None:
        """Makes away with the damaged file, whose loss the next start would count again."""
        try:
            if segment is self._segments[-1]:
                self._roll()
            elif not segment.waiting(self.mark(segment.boot)):
                self._remove(segment)
            elif not segment.sealed:
                self._seal(segment)
        except OSError as error:
            _log.warning("cannot replace %s: %s", segment.path, error.strerror)

    def _roll(self) -> None:
        """Starts a new segment, which begins with all that older ones know beside their records."""
        self.close()
        self._number += 1
        path = path_of(self.folder, self._number, self._boot, self._owner, LOG)
        self._active = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        segment = Segment(path, self._number, self._boot, self._owner)
        self._segments.append(segment)
        boots = {_boot_of(path) for path in self._held} | {one.boot for one in self._segments}
        self._marks = {boot: mark for boot, mark in self._marks.items() if boot in boots}
        try:
            for reason, count in self.dropped.items():
                self._write(Entry(Kind.DROPPED, count, reason.encode()), durable=False)
            for boot, mark in self._marks.items():
                self._write(Entry(Kind.MARK, mark, boot.encode()), durable=False)
            os.fsync(self._active)
            sync_folder(self.folder)
        except OSError:
            # On a full disk every record tries this again: leave no trail of empty files.
            self.close()
            self._remove(segment)
            raise
        self._remove_done()
        for older in [one for one in self._segments[:-1] if not one.sealed]:
            self._seal(older)

    def _seal(self, segment: Segment) -> None:
        """Writes `segment` again, compressed, with only what is still to be sent."""
        mark = self.mark(segment.boot)
        try:
            records = [one.record for one in self._reader.records(segment, mark)]
            if lost := segment.keep(mark, [one.sequence for one in records]):
                self.drop("damaged", lost)
            if not records:
                self._remove(segment)
                return
            first, last = records[0].sequence, records[-1].sequence
            raw_bytes = segment.raw_bytes * len(records) // max(1, segment.waiting(0))
            body = encode_batch(batch_of("", segment.boot, first - 1, self._lane, tuple(records)), _LEVEL)
            path = segment.path.with_suffix(SEALED)
            size_bytes = write_sealed(path, Head(first, last, len(records), raw_bytes), body)
            segment.path.unlink()
        except OSError as error:
            # It stays a log, which takes more room and is as good.
            _log.warning("cannot compress %s: %s", segment.path, error.strerror)
            return
        segment.path, segment.size_bytes, segment.raw_bytes = path, size_bytes, raw_bytes
        segment.runs, segment.unread = [], None
        for record in records:
            segment.add(record.sequence)

    def _write(self, entry: Entry, *, durable: bool) -> None:
        if self._active is None:
            raise OSError(errno.EIO, "its file could not be made")
        segment, data = self._segments[-1], pack(entry)
        try:
            written = os.write(self._active, data)
            if written < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if durable:
                os.fdatasync(self._active)
        except OSError:
            # What came of it is unknown, and it may end in a torn entry: never write here again.
            self.close()
            raise
        segment.size_bytes += len(data)

    def _remove_done(self) -> None:
        for segment in [one for one in self._segments[:-1] if not one.waiting(self.mark(one.boot))]:
            self._remove(segment)

    def _remove(self, segment: Segment) -> None:
        self._segments.remove(segment)
        self._reader.forget(segment.path)
        discard(segment.path)


def _boot_of(path: Path) -> str:
    return path.stem.split("-", 2)[1]


def _number_of(path: Path) -> int:
    return int(path.name.partition("-")[0])
