"""Windows on disk until the hub has them: bounded, oldest dropped first, and every drop counted.

Each window is written and synced before anybody hears of it, so a power cut loses none that was taken in. A device
makes one every few seconds, which any flash stands; batching syncs would save nothing that matters and lose windows.
"""

import errno
import logging
import os
import threading
from array import array
from bisect import bisect_right
from pathlib import Path

import msgspec

from edge_agent.core.drain import Backlog
from edge_agent.durable import sync_folder
from edge_agent.errors import StateUnusable
from edge_agent.telemetry.segment import Entry, Kind, Segment, entries, load, pack, packed_bytes, segments_in
from fleet_contract.because import Because
from fleet_contract.bounds import MAX_KEYS
from fleet_contract.errors import Undecodable
from fleet_contract.report import SpoolReport
from fleet_contract.telemetry import Batch, Window, decode_batch, encode_batch

_log = logging.getLogger(__name__)
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Window)
#: A window that is larger than a batch may be could never be sent.
MAX_WINDOW_BYTES = 96 * 1024


class Spool:
    """The spool of one agent start, `boot`, with what earlier starts left. Safe for any number of threads."""

    def __init__(self, folder: Path, boot: str, max_bytes: int) -> None:
        """Opens or makes the spool in `folder`. Raises `StateUnusable` when it cannot even be read."""
        self._folder = folder
        self._boot = boot
        self.max_bytes = max_bytes
        """What it may hold. May be changed at any time, and counts from the next window on."""
        self._segment_bytes = max(64 * 1024, min(256 * 1024, max_bytes // 16))
        self._lock = threading.Lock()
        self._segments: list[Segment] = []
        self._active: int | None = None
        self._number = 0
        self._sequence = 0
        self._marks: dict[str, int] = {}
        self._dropped = 0
        self.trouble: Because | None = None
        """Why the last window could not be kept, until one is."""
        self.unreadable: Because | None = None
        """Why windows of earlier starts are not sent by this one."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            paths = segments_in(folder)
        except OSError as error:
            raise StateUnusable(f"Cannot read the spool {folder}: {error.strerror}.") from error
        for path in paths:
            try:
                segment = load(path, self._marks)
            except OSError as error:
                # Left alone for a later start: neither what it holds nor inference may be lost by it.
                self.unreadable = Because("spool-unreadable", f"Telemetry in {path} cannot be read: {error.strerror}.")
                _log.error("%s", self.unreadable)
                continue
            self._segments.append(segment)
            self._number = segment.number
            self._dropped = max(self._dropped, segment.dropped)
        try:
            self._roll()
        except OSError as error:
            self._cannot_write(error)

    def append(self, window: Window) -> bool:
        """Keeps `window` under the next sequence of this boot. False when it had to be dropped: see `trouble`."""
        with self._lock:
            self._sequence += 1
            window = msgspec.structs.replace(window, sequence=self._sequence)
            body = _encoder.encode(window)
            if (unfit := _unfit(window, len(body))) is not None:
                self._dropped += 1
                self.trouble = unfit
                return False
            try:
                self._make_room(packed_bytes(body))
                self._write(Entry(Kind.WINDOW, self._sequence, body), durable=True)
            except OSError as error:
                self._dropped += 1
                self._cannot_write(error)
                return False
            self._segments[-1].sequences.append(self._sequence)
            self.trouble = None
            return True

    def backlog(self) -> Backlog | None:
        """The oldest boot with windows that the hub does not have."""
        with self._lock:
            waiting = [one for one in self._segments if one.waiting(self._marks.get(one.boot, 0))]
            if not waiting:
                return None
            boot = waiting[0].boot
            last = max(one.sequences[-1] for one in waiting if one.boot == boot)
            return Backlog(boot, self._marks.get(boot, 0), last)

    def mark(self, boot: str) -> int:
        """The newest window of `boot` that the hub is known to have; 0 when none is."""
        with self._lock:
            return self._marks.get(boot, 0)

    def read(self, boot: str, since: int, max_bytes: int) -> tuple[Window, ...]:
        """Windows of `boot` after sequence `since`, in order: as many as pack into `max_bytes`, but at least one.

        Windows that are lost are dropped, counted, and not waited for. Raises OSError when they cannot be read now.
        """
        with self._lock:
            windows: list[Window] = []
            size = 0
            for segment in [one for one in self._segments if one.boot == boot and one.waiting(since)]:
                read: list[int] = []
                for entry in entries(segment.path):
                    if entry.kind is not Kind.WINDOW or entry.number <= since:
                        continue
                    if windows and size + len(entry.body) > max_bytes:
                        return tuple(windows)
                    try:
                        windows.append(_decoder.decode(entry.body))
                    except msgspec.DecodeError:
                        continue
                    read.append(entry.number)
                    size += len(entry.body)
                self._miss(segment, since, read)
            return tuple(windows)

    def forget(self, boot: str, through: int) -> None:
        """The hub has all windows of `boot` up to `through`: they need not be kept."""
        with self._lock:
            mine = [one for one in self._segments if one.boot == boot and one.sequences]
            if not mine:
                return
            # A hub that claims more than we have made must not make us forget what is still to come.
            through = min(through, mine[-1].sequences[-1])
            if through <= self._marks.get(boot, 0):
                return
            self._marks[boot] = through
            try:
                self._write(Entry(Kind.MARK, through, boot.encode()), durable=False)
            except OSError as error:
                # Only a repeat after the next start, which the hub recognises.
                _log.warning("cannot note in the spool what the hub has: %s", error.strerror)
            self._remove_done()

    def report(self) -> SpoolReport:
        """What waits, and what was dropped since the state folder was made."""
        with self._lock:
            return SpoolReport(
                records=sum(one.waiting(self._marks.get(one.boot, 0)) for one in self._segments),
                size_bytes=sum(one.size_bytes for one in self._segments),
                dropped=self._dropped,
            )

    def close(self) -> None:
        """Lets go of the files."""
        with self._lock:
            self._close_active()

    def _miss(self, segment: Segment, since: int, read: list[int]) -> None:
        """After all of `segment` was read: what it should hold after `since` and did not give is lost."""
        expected = segment.sequences[bisect_right(segment.sequences, since) :]
        if lost := set(expected) - set(read):
            self._dropped += len(lost)
            segment.sequences = array("Q", [one for one in segment.sequences if one not in lost])
            _log.error("%s is damaged: %d windows are lost", segment.path, len(lost))

    def _make_room(self, size_bytes: int) -> None:
        if self._active is None or self._segments[-1].size_bytes + size_bytes > self._segment_bytes:
            self._roll()
        total = size_bytes + sum(one.size_bytes for one in self._segments)
        while total > self.max_bytes and len(self._segments) > 1:
            oldest = self._segments[0]
            lost = oldest.waiting(self._marks.get(oldest.boot, 0))
            if lost:
                self._write(Entry(Kind.DROPPED, self._dropped + lost, b""), durable=False)
                # Only now: while this cannot be written they stay, and would be counted at every try.
                self._dropped += lost
                _log.warning("the spool is full: dropped %d windows of boot %s", lost, oldest.boot)
            self._remove(oldest)
            total -= oldest.size_bytes

    def _cannot_write(self, error: OSError) -> None:
        code = "disk-full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "spool-unwritable"
        self.trouble = Because(code, f"Telemetry cannot be written to {self._folder}: {error.strerror}.")

    def _roll(self) -> None:
        """Starts a new segment, which begins with all that older ones know beside their windows."""
        self._close_active()
        self._number += 1
        path = self._folder / f"{self._number:010d}-{self._boot}.log"
        self._active = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        segment = Segment(path, self._boot, self._number)
        self._segments.append(segment)
        boots = {one.boot for one in self._segments}
        self._marks = {boot: mark for boot, mark in self._marks.items() if boot in boots}
        try:
            self._write(Entry(Kind.DROPPED, self._dropped, b""), durable=False)
            for boot, mark in self._marks.items():
                self._write(Entry(Kind.MARK, mark, boot.encode()), durable=False)
            os.fsync(self._active)
            sync_folder(self._folder)
        except OSError:
            # On a full disk every window tries this again: leave no trail of empty files.
            self._close_active()
            self._remove(segment)
            raise
        self._remove_done()

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
            # What came of it is unknown, and after a torn entry nothing would be read: never write here again.
            self._close_active()
            raise
        segment.size_bytes += len(data)

    def _close_active(self) -> None:
        if self._active is not None:
            os.close(self._active)
            self._active = None

    def _remove_done(self) -> None:
        for segment in [one for one in self._segments[:-1] if not one.waiting(self._marks.get(one.boot, 0))]:
            self._remove(segment)

    def _remove(self, segment: Segment) -> None:
        self._segments.remove(segment)
        try:
            segment.path.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("cannot remove %s: %s", segment.path, error.strerror)


def _unfit(window: Window, size_bytes: int) -> Because | None:
    """Why no hub could take this window: kept, it would be sent for ever, and hold up all that follow."""
    what = f"A window of {window.model} version {window.version}"
    if size_bytes > MAX_WINDOW_BYTES:
        return Because(
            "window-too-large",
            f"{what} has {size_bytes} bytes, and may have {MAX_WINDOW_BYTES}: its manifest names too many labels or "
            "features.",
        )
    keys = max(len(window.predictions), len(window.features), len(window.error_codes))
    if keys > MAX_KEYS:
        return Because("window-wrong", f"{what} names {keys} labels, features or codes, and may name {MAX_KEYS}.")
    try:
        decode_batch(encode_batch(Batch("", "", 0, (window,))))
    except Undecodable as error:
        return Because("window-wrong", f"{what} breaks the contract: {error}")
    return None


def look(folder: Path) -> SpoolReport:
    """What a spool holds, without touching it. Raises `StateUnusable`."""
    marks: dict[str, int] = {}
    try:
        segments = [load(path, marks) for path in segments_in(folder)]
    except OSError as error:
        raise StateUnusable(f"Cannot read the spool {folder}: {error.strerror}.") from error
    return SpoolReport(
        records=sum(one.waiting(marks.get(one.boot, 0)) for one in segments),
        size_bytes=sum(one.size_bytes for one in segments),
        dropped=max((one.dropped for one in segments), default=0),
    )
