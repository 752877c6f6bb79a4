"""Who was at work when the process ended: marks in memory that outlives it, for the next start to read.

A model is called into by C code that can end the process, and then nothing is left to say which one it was. So each
lease notes its thread in a small mapped file: the page cache keeps that when the process dies, at no cost worth naming.
When the device itself goes down the marks may be lost; the kernel's boot id tells the two apart.

A fatal signal also leaves Python's own account of it, with the thread that was struck (`watch`).
"""

import faulthandler
import itertools
import logging
import mmap
import os
import re
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from edge_agent.core.transitions import UNKNOWN, End, Part
from edge_agent.failures import disk_trouble
from edge_agent.live import Mark, Unmarked
from fleet_contract.because import Because
from fleet_contract.manifest import Manifest

_log = logging.getLogger(__name__)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MAGIC = b"vedette1"
#: magic, whether the end was orderly, the main thread, the boot id.
_HEADER = struct.Struct("=8sQQ40s")
_HEADER_BYTES = 64
#: A cell: whether it is used, whether it loads, whether it hangs, the length of its name; threads; name.
_CELL = struct.Struct("=BBBxI")
_THREADS = 15
_NAME_AT = _CELL.size + 8 * _THREADS
_CELL_BYTES = _NAME_AT + 256
_CELLS = 40
_BOX_BYTES = _HEADER_BYTES + _CELLS * _CELL_BYTES
_ACCOUNT_BYTES = 64 * 1024
_STRUCK = re.compile(r"^Current thread 0x([0-9a-f]+)", re.MULTILINE)
_DEVICE = End(Part.UNKNOWN, Because("device-ended", "The device itself went down."))


class _Left(msgspec.Struct):
    """What a cell said when the last process ended."""

    loading: bool
    hung: bool
    threads: set[int] = msgspec.field(default_factory=set)


class BlackBox:
    """The marks in `folder`. What the last process left is read at once; `begin` starts the record of this one.

    A folder that cannot be written to is no reason to stop: then nothing is noted, and `trouble` says why.
    """

    def __init__(self, folder: Path, boot_id: str | None = None) -> None:
        self.trouble: Because | None = None
        self.account = ""
        """What Python said of the fatal signal that ended the last process; empty when there was none."""
        self._path, self._account_path = folder / "blackbox", folder / "fatal"
        self._boot_id = (_BOOT_ID.read_text().strip() if boot_id is None else boot_id).encode()
        self._lock = threading.Lock()
        self._box: mmap.mmap | None = None
        self._free = list(range(_CELLS))
        self._left: dict[tuple[str, str], _Left] = {}
        self._state = "unknown"
        self._main = 0
        try:
            self._read()
        except (OSError, ValueError, struct.error, UnicodeDecodeError) as error:
            _log.warning("Nothing is known of how the last process ended: %s", error)

    def end(self, key: str, digest: str) -> End:
        """The part that the model `digest` in the slot `key` had in the end of the last process."""
        if self._state == "unknown":
            return UNKNOWN
        if self._state == "device":
            return _DEVICE
        left = self._left.get((key, digest))
        if self._state == "orderly" or left is None:
            return End(Part.NONE, Because("ended", "The agent ended, and this model was not loaded."))
        doing = "while it was being loaded" if left.loading else "while it was answering"
        if left.hung:
            code = "load-hangs" if left.loading else "inference-hangs"
            return End(Part.CERTAIN, Because(code, f"The agent was ended {doing}: it did not come back."))
        signal = self.account.partition("\n")[0]
        at_work = [one for one in self._left.values() if one.threads]
        if not self.account:
            if left.threads:
                return End(Part.LIKELY, Because("killed", f"The agent was killed {doing}."))
            return End(Part.NONE, Because("ended", "The agent ended, and this model was not at work."))
        struck = _STRUCK.search(self.account)
        thread = int(struck[1], 16) if struck else 0
        crashed = Because("crashed", f"The agent crashed {doing}: {signal}.")
        if thread and thread in left.threads:
            return End(Part.CERTAIN, crashed)
        if thread and any(thread in one.threads for one in at_work):
            return End(Part.NONE, Because("crashed", f"The agent crashed in another model: {signal}."))
        if left.threads:
            # A signal from outside, such as a watchdog's, strikes the main thread; a runtime's own thread has no name.
            alone = len(at_work) == 1 and thread != self._main
            return End(Part.CERTAIN if alone else Part.LIKELY, crashed)
        part = Part.NONE if at_work else Part.UNKNOWN
        return End(part, Because("crashed", f"The agent crashed while this model was loaded: {signal}."))

    def begin(self) -> None:
        """Starts the record of this process: what the last one left has been taken in."""
        try:
            _clear(self._account_path, _ACCOUNT_BYTES)
            _clear(self._path, _BOX_BYTES)
            with self._path.open("r+b") as file:
                box = mmap.mmap(file.fileno(), _BOX_BYTES)
        except OSError as error:
            self.trouble = disk_trouble(error, "making the black box").because
            _log.warning("%s", self.trouble)
            return
        main = threading.main_thread().ident or 0
        _HEADER.pack_into(box, 0, _MAGIC, 0, main, self._boot_id)
        self._box, self._free, self.trouble = box, list(range(_CELLS)), None

    def watch(self) -> None:
        """Lets Python tell of fatal signals from now on. For the whole process: to be called by who owns it."""
        if self._box is not None:
            self._account_file = self._account_path.open("r+b", buffering=0)
            faulthandler.enable(self._account_file, all_threads=True)

    def mark(self, key: str, manifest: Manifest, *, loading: bool = False) -> Mark:
        """A cell for one model's time in `key`; one that notes nothing when there is no room."""
        name = f"{key} {manifest.artifact.digest}".encode()
        with self._lock:
            if self._box is None or not self._free or _NAME_AT + len(name) > _CELL_BYTES:
                return Unmarked(manifest)
            number = self._free.pop(0)
        at = _HEADER_BYTES + number * _CELL_BYTES
        self._box[at : at + _CELL_BYTES] = bytes(_CELL_BYTES)
        self._box[at + _NAME_AT : at + _NAME_AT + len(name)] = name
        _CELL.pack_into(self._box, at, 1, loading, 0, len(name))
        return Cell(self._box, at, lambda: self._give_back(number))

    def hang(self, key: str, digest: str) -> None:
        """Notes that what is at work in the cell of `key` and `digest` will never come back."""
        if self._box is None:
            return
        name = f"{key} {digest}".encode()
        with self._lock:
            for at in range(_HEADER_BYTES, _BOX_BYTES, _CELL_BYTES):
                used, loading, _, length = _CELL.unpack_from(self._box, at)
                threads = self._box[at + _CELL.size : at + _NAME_AT]
                if used and any(threads) and self._box[at + _NAME_AT : at + _NAME_AT + length] == name:
                    _CELL.pack_into(self._box, at, used, loading, 1, length)

    def close(self) -> None:
        """An orderly end: whatever is still at work now is nobody's fault."""
        if self._box is not None:
            _HEADER.pack_into(self._box, 0, _MAGIC, 1, 0, self._boot_id)

    def _give_back(self, number: int) -> None:
        with self._lock:
            self._free.append(number)

    def _read(self) -> None:
        if not self._path.exists():
            return
        box = self._path.read_bytes()
        magic, orderly, self._main, boot_id = _HEADER.unpack_from(box)
        if magic != _MAGIC or len(box) != _BOX_BYTES:
            raise ValueError("the black box is of another version, or damaged")
        if boot_id.rstrip(b"\0") != self._boot_id:
            self._state = "device"
            return
        for at in range(_HEADER_BYTES, _BOX_BYTES, _CELL_BYTES):
            used, loading, hung, length = _CELL.unpack_from(box, at)
            if used:
                key, _, digest = box[at + _NAME_AT :][:length].decode().partition(" ")
                threads = struct.unpack_from(f"={_THREADS}Q", box, at + _CELL.size)
                left = self._left.setdefault((key, digest), _Left(bool(loading), False))
                left.hung |= bool(hung)
                left.threads |= {one for one in threads if one}
                if any(threads):
                    left.loading = bool(loading)
        self._state = "orderly" if orderly else "bad"
        if self._state == "bad" and self._account_path.exists():
            self.account = self._account_path.read_bytes().partition(b"\0")[0].decode(errors="replace").strip()
            if self.account:
                _log.error("A fatal signal ended the last process:\n%s", self.account)


def _clear(path: Path, size: int) -> None:
    """`path` with `size` zeros. Written over what is there, and not only made longer: a full disk must show here, and
    not as a signal when a mark is set."""
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b") as file:  # noqa: PTH123, for the mode
        file.write(bytes(size))
        file.truncate(size)


class Cell:
    """One model's marks. Calls come one at a time."""

    def __init__(self, box: mmap.mmap, at: int, give_back: Callable[[], None]) -> None:
        self._box = box
        self._at = at
        self._give_back = give_back
        self._threads = memoryview(box)[at + _CELL.size : at + _NAME_AT].cast("Q")
        self._free = list(range(_THREADS))
        self._beyond = itertools.count(_THREADS)

    def enter(self) -> int:
        if not self._free:
            # More at once than there are places: the first of them tell enough.
            return next(self._beyond)
        place = self._free.pop()
        self._threads[place] = threading.get_ident()
        return place

    def leave(self, place: int) -> None:
        if place < _THREADS:
            self._threads[place] = 0
            self._free.append(place)

    def close(self) -> None:
        self._threads.release()
        self._box[self._at] = 0
        self._give_back()
