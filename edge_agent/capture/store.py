"""The captures of a device on its disk: one file a record, under a quota, the oldest dropped first, every drop counted.

They are the least precious that the agent keeps: they leave room on the disk to all others, and where it fails, they
stop and nothing else does.
"""

import contextlib
import errno
import hashlib
import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from edge_agent.capture.about import About
from edge_agent.capture.files import FileName, is_unfinished, on_disk_bytes, parsed, unfinished
from edge_agent.durable import asked_twice, sync_folder
from edge_agent.runtimes.session import Array
from edge_agent.store.artifacts import RESERVE_BYTES
from edge_agent.store.disk import Disk
from fleet_contract.because import Because
from fleet_contract.report import CaptureReport

_log = logging.getLogger(__name__)
#: An update needs room for itself and the reserve that it leaves: captures must not be what it waits for.
CAPTURES_LEAVE_BYTES = 4 * RESERVE_BYTES
#: A folder of more is slow to look through, and what is known of each file is in memory.
MAX_FILES = 16_384
#: How long a disk that has failed is left alone.
REST_SECONDS = 10.0


class Kept(NamedTuple):
    """A capture that a power cut does not lose. `capture` is the SHA-256 of its file, in hex."""

    capture: str
    size_bytes: int


class _File(NamedTuple):
    """There may be thousands: a path of each would take three times as much memory."""

    name: str
    taken_bytes: int


class Captures:
    """The captures in `folder`, which take at most `max_bytes` of the disk. Safe for any number of threads.

    The folder is looked through when something is first asked of it, some milliseconds for a thousand files, and again
    once somebody else has changed it. Nobody else may write to it; files may be removed by anybody.
    """

    def __init__(
        self,
        folder: Path,
        max_bytes: int,
        disk: Disk | None = None,
        *,
        leave_bytes: int = CAPTURES_LEAVE_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Touches nothing. `leave_bytes` of the disk are left to others; `clock` gives monotonic seconds."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._disk = Disk() if disk is None else disk
        self._leave_bytes = leave_bytes
        self._clock = clock
        #: Around all that touches the disk; `_lock` only around what a report tells, which waits for no disk.
        self._writing = threading.Lock()
        self._lock = threading.Lock()
        self._found = False
        #: When the folder had last changed as far as is known: later, somebody has removed files.
        self._changed_ns: int | None = None
        self._files: deque[_File] = deque()
        self._number = 0
        self._taken_bytes = 0
        self._dropped: Counter[str] = Counter()
        self._trouble: Because | None = None
        #: Of the record that found too little room on the disk: with as much, the trouble is over.
        self._short_of: int | None = None
        self._rests_until = 0.0

    @property
    def max_bytes(self) -> int:
        """What its files may take. Once set, no more is taken: the oldest go, and at 0 all of them."""
        return self._max_bytes

    @max_bytes.setter
    def max_bytes(self, most: int) -> None:
        with self._writing:
            self._max_bytes = most
            try:
                self._look()
                if self._make_room(0):
                    sync_folder(self._folder)
            except OSError as error:
                self._failed(error)

    def keep(self, about: About, inputs: Mapping[str, Array]) -> Kept | None:
        """Writes one record, and returns when no power cut can lose it. None when it was dropped, which is counted."""
        # With them comes NumPy, which an agent that captures nothing has no use for here.
        from edge_agent.capture.contents import RecordTooLarge, encode

        if self._rests():
            self.drop("disk")
            return None
        try:
            data = encode(about, inputs)
        except RecordTooLarge:
            self.drop("too-large")
            return None
        capture = hashlib.sha256(data).hexdigest()
        with self._writing:
            try:
                lost_for = self._write(capture, data)
            except OSError as error:
                self._failed(error)
                lost_for = "disk"
        if lost_for:
            self.drop(lost_for)
            return None
        return Kept(capture, len(data))

    def drop(self, reason: str, count: int = 1) -> None:
        """Counts records that were worth keeping, and were not kept."""
        with self._lock:
            self._dropped[reason] += count

    def report(self) -> CaptureReport:
        """What is kept, and what was dropped by reason since the agent started."""
        # Only as long as nobody knows what is on the disk may a report wait for it.
        if self._writing.acquire(blocking=not self._found):
            try:
                with contextlib.suppress(OSError):
                    self._look()
            finally:
                self._writing.release()
        with self._lock:
            dropped = {reason: count for reason, count in self._dropped.items() if count}
            return CaptureReport(len(self._files), self._taken_bytes, dropped)

    @property
    def trouble(self) -> Because | None:
        """Why nothing is kept, until something can be."""
        with self._lock:
            if self._short_of is not None:
                with contextlib.suppress(OSError):
                    if self._free_bytes() >= self._short_of:
                        self._mended()
            return self._trouble if self._max_bytes else None

    def _write(self, capture: str, data: bytes) -> str:
        """What it was dropped for; "" when it was not. Raises OSError."""
        taken_bytes = on_disk_bytes(len(data))
        if taken_bytes > self._max_bytes:
            return "too-large"
        # Whoever cleans up may have taken the folder away.
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._look()
        if (free_bytes := self._free_bytes()) < taken_bytes:
            self._no_room(free_bytes, taken_bytes)
            return "disk"
        # First: there is no moment at which they take more than they may.
        self._make_room(taken_bytes)
        name = str(FileName(self._number + 1, capture))
        path = self._folder / name
        try:
            self._disk.replace(path, data)
        except OSError:
            with contextlib.suppress(OSError):
                unfinished(path).unlink(missing_ok=True)
            raise
        self._changed_ns = self._changed_at()
        self._number += 1
        with self._lock:
            self._files.append(_File(name, taken_bytes))
            self._taken_bytes += taken_bytes
            self._mended()
        return ""

    def _look(self) -> None:
        """Finds what is on the disk, once, and whenever somebody else has changed it. Raises OSError."""
        changed_ns = self._changed_at()
        if self._found and changed_ns == self._changed_ns:
            return
        found = sorted(asked_twice(self._scanned))
        files = deque(file for _, file in found)
        self._number = max(self._number, found[-1][0] if found else 0)
        with self._lock:
            self._files = files
            self._taken_bytes = sum(one.taken_bytes for one in files)
        self._found, self._changed_ns = True, changed_ns
        self._make_room(0)

    def _changed_at(self) -> int | None:
        """When something last came into the folder or went (Unix ns); None where it is not there. Raises OSError."""
        try:
            return self._folder.stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def _scanned(self) -> list[tuple[int, _File]]:
        """Each file with its number; what a power cut has left half written goes. Raises OSError."""
        found = []
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if is_unfinished(entry.name):
                        Path(entry.path).unlink(missing_ok=True)
                    # What is no file cannot be let go like one, and would end capturing when its turn comes.
                    elif (name := parsed(entry.name)) is not None and entry.is_file(follow_symlinks=False):
                        with contextlib.suppress(FileNotFoundError):
                            size_bytes = entry.stat(follow_symlinks=False).st_size
                            found.append((name.number, _File(entry.name, on_disk_bytes(size_bytes))))
        except FileNotFoundError:
            return []
        return found

    def _make_room(self, size_bytes: int) -> int:
        """Lets the oldest go until `size_bytes` fit, and gives how many went. Raises OSError."""
        gone = 0
        while self._files and (
            self._taken_bytes + size_bytes > self._max_bytes or len(self._files) + bool(size_bytes) > MAX_FILES
        ):
            oldest = self._files[0]
            # Not synced: what is written next is, and with it this; and a start looks again.
            (self._folder / oldest.name).unlink(missing_ok=True)
            with self._lock:
                self._files.popleft()
                self._taken_bytes -= oldest.taken_bytes
                self._dropped["quota"] += 1
            gone += 1
        if gone:
            self._changed_ns = self._changed_at()
        return gone

    def _free_bytes(self) -> int:
        """What captures may still take of the disk. Raises OSError."""
        return self._disk.free_bytes(self._folder) - self._leave_bytes

    def _rests(self) -> bool:
        with self._lock:
            return self._clock() < self._rests_until

    def _mended(self) -> None:
        if self._trouble is not None:
            _log.info("inputs are captured again")
        self._trouble, self._short_of, self._rests_until = None, None, 0.0

    def _no_room(self, free_bytes: int, needed_bytes: int) -> None:
        with self._lock:
            self._short_of = needed_bytes
        self._ail(
            Because(
                "capture-disk-full",
                f"No inputs are captured: {free_bytes + self._leave_bytes} bytes are free on the disk of "
                f"{self._folder}, and captures leave {self._leave_bytes} to others. Free some space; it goes on by "
                "itself.",
            )
        )

    def _failed(self, error: OSError) -> None:
        # What came of it is unknown: a file may be there though its folder could not be synced.
        self._found = False
        with self._lock:
            self._short_of = None
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "Free some space" if is_full else "Check the disk, and whose it is"
        self._ail(
            Because(
                "capture-disk-full" if is_full else "capture-unwritable",
                f"No inputs are captured: {self._folder} cannot be written ({error.strerror}). {remedy}; it goes on by "
                "itself.",
            )
        )

    def _ail(self, because: Because) -> None:
        with self._lock:
            if self._trouble is None or self._trouble.code != because.code:
                _log.warning("%s", because)
            self._trouble = because
            self._rests_until = self._clock() + REST_SECONDS
