"""Shared memory that clients have registered: tensors that need not pass through a socket. Safe for any thread.

The bytes of a client's own memory are read into memory of the agent's, and not mapped: a client that shortens a mapped
region ends the process that reads it. A copy of 1.2 MB takes 0.1 to 0.3 ms. Memory that the agent has made and sealed
for a client can be read where it lies.
"""

import os
import re
import stat
import threading
from functools import partial
from pathlib import Path

import msgspec

from edge_agent.serving.aside import Aside
from edge_agent.serving.port import InputWrong
from edge_agent.serving.sealed import Sealed
from edge_agent.serving.vault import Vault

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory is, by its specification
#: A region keeps a file open.
REGIONS_MAX = 256
_KEY = re.compile(r"/?(?!\.\.?$)[A-Za-z0-9_.+@:,-]{1,250}")


class RegionUnknown(InputWrong):
    """No such region is registered."""

    code = "region-unknown"


class Region(msgspec.Struct, frozen=True):
    """`byte_size` bytes at `offset` in the shared memory `key`, which is "" for what the agent has made."""

    name: str
    key: str
    offset: int
    byte_size: int


class Entry(msgspec.Struct, frozen=True, eq=False):
    """What is registered under a name, until it is no more: a `descriptor`, open until then, or `sealed` memory."""

    region: Region
    descriptor: int = -1
    sealed: Sealed | None = None


class Regions:
    """What is registered, by name. All sealed memory together is at most `sealed_max_bytes`. It is given back `aside`,
    where it is also to be made: before what is to be made later."""

    def __init__(self, folder: Path = SHARED_MEMORY, *, sealed_max_bytes: int = 64 * 1024 * 1024) -> None:
        self.aside = Aside()
        self._folder = folder
        self._vault = Vault(sealed_max_bytes)
        self._lock = threading.Lock()
        self._open: dict[str, Entry] = {}
        # The names of what is being made.
        self._coming: set[str] = set()

    def register(self, region: Region) -> None:
        """Opens `region`. Raises `InputWrong`."""
        if not region.name:
            raise InputWrong("A shared memory region has a name.")
        if _KEY.fullmatch(region.key) is None:
            raise InputWrong(f"{region.key!r} is no key of shared memory.", "Name it as shm_open does: /name.")
        if region.offset < 0 or region.byte_size < 1:
            raise InputWrong(f"Region {region.name!r} has {region.byte_size} bytes at {region.offset}.")
        descriptor = self._opened(region)
        try:
            _check_size(region, descriptor)
            with self._lock:
                self._check_new(region.name)
                self._open[region.name] = Entry(region, descriptor)
        except InputWrong:
            os.close(descriptor)
            raise

    def create(self, name: str, byte_size: int) -> tuple[Entry, int]:
        """Makes memory, sealed, and registers it. With it comes its file, to be handed to a client and closed. Takes
        long, and keeps nobody from other regions. Raises `InputWrong` or `Overloaded`."""
        most_bytes = self._vault.most_bytes
        if not name or not 0 < byte_size <= most_bytes:
            raise InputWrong(f"Region {name!r} is to have {byte_size} bytes.", f"Ask for at most {most_bytes}.")
        with self._lock:
            self._check_new(name)
            self._coming.add(name)
        sealed: Sealed | None = None
        try:
            sealed = self._vault.make(byte_size)
        finally:
            with self._lock:
                self._coming.remove(name)
                if sealed is not None:
                    entry = self._open[name] = Entry(Region(name, "", 0, byte_size), sealed=sealed)
        return entry, sealed.descriptor

    def _check_new(self, name: str) -> None:
        # As Triton does: who registers again must say that the first is over.
        if name in self._open or name in self._coming:
            raise InputWrong(f"Region {name!r} is registered already.", "Unregister it first.")
        if len(self._open) + len(self._coming) >= REGIONS_MAX:
            raise InputWrong(f"{REGIONS_MAX} regions are registered.", "Unregister some first.")

    def _opened(self, region: Region) -> int:
        path = self._folder / region.key.removeprefix("/")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise InputWrong(
                f"Region {region.name!r}: cannot open the shared memory {region.key!r}: {error.strerror}.",
                "Create it before, readable and writable for the agent's user.",
            ) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise InputWrong(f"{region.key!r} is no shared memory.")
        return descriptor

    def unregister(self, name: str = "") -> None:
        """Closes the region `name`, or all. One that is not there is no error, as with Triton."""
        with self._lock:
            found = [self._open.pop(one, None) for one in ([name] if name else list(self._open))]
        for entry in found:
            if entry is not None:
                self._close(entry)

    def drop(self, entry: Entry) -> None:
        """Closes `entry`, if it is still what is registered by its name."""
        with self._lock:
            if not self.holds(entry):
                return
            del self._open[entry.region.name]
        self._close(entry)

    def holds(self, entry: Entry) -> bool:
        """Whether `entry` is what is registered by its name."""
        return self._open.get(entry.region.name) is entry

    def registered(self, name: str = "") -> list[Region]:
        """The region `name`, or all. Raises `RegionUnknown`."""
        with self._lock:
            if name and name not in self._open:
                raise _unknown(name)
            return [one.region for one in self._open.values() if name in {"", one.region.name}]

    def sealed(self, name: str) -> Entry | None:
        """The region `name`, where it is of sealed memory."""
        entry = self._open.get(name)
        return None if entry is None or entry.sealed is None else entry

    def check(self, tensor: str, name: str, offset: int, size: int) -> None:
        """Whether a tensor of `size` bytes lies in the region `name`. Raises `InputWrong` or `RegionUnknown`."""
        with self._lock:
            self._holding(tensor, name, offset, size)

    def read_into(self, memory: memoryview, tensor: str, name: str, offset: int) -> None:
        """Fills `memory` from `offset` on in the region `name`. Raises `InputWrong` or `RegionUnknown`."""
        with self._lock:
            entry = self._holding(tensor, name, offset, memory.nbytes)
            if entry.sealed is not None:
                memory[:] = entry.sealed.memory[offset : offset + memory.nbytes]
                return
            region, descriptor = _borrowed(entry)
        try:
            count = os.preadv(descriptor, [memory], region.offset + offset)
        except OSError as error:
            raise InputWrong(f"Tensor {tensor!r}: cannot read region {name!r}: {error.strerror}.") from error
        finally:
            os.close(descriptor)
        if count != memory.nbytes:
            raise _shortened(region)

    def write(self, data: bytes | memoryview, tensor: str, name: str, offset: int) -> None:
        """Puts `data` at `offset` into the region `name`. Raises `InputWrong` or `RegionUnknown`."""
        with self._lock:
            entry = self._holding(tensor, name, offset, len(data))
            if entry.sealed is not None:
                entry.sealed.memory[offset : offset + len(data)] = data
                return
            region, descriptor = _borrowed(entry)
        try:
            # Writing behind its end would make a region longer that its owner has made shorter.
            _check_size(region, descriptor)
            os.pwrite(descriptor, data, region.offset + offset)
        except OSError as error:
            raise InputWrong(f"Tensor {tensor!r}: cannot write region {name!r}: {error.strerror}.") from error
        finally:
            os.close(descriptor)

    def _close(self, entry: Entry) -> None:
        """Nobody finds it any more."""
        if entry.sealed is None:
            os.close(entry.descriptor)
        else:
            self.aside.do_first(partial(self._vault.give_back, entry.sealed))

    def _holding(self, tensor: str, name: str, offset: int, size: int) -> Entry:
        entry = self._open.get(name)
        if entry is None:
            raise _unknown(name)
        if offset < 0 or offset + size > entry.region.byte_size:
            raise InputWrong(
                f"Tensor {tensor!r} is {size} bytes at {offset}, and region {name!r} has {entry.region.byte_size}."
            )
        return entry


def _borrowed(entry: Entry) -> tuple[Region, int]:
    """With a descriptor of its own: the region may be unregistered, and the number be given to another file."""
    return entry.region, os.dup(entry.descriptor)


def _unknown(name: str) -> RegionUnknown:
    return RegionUnknown(f"No shared memory region {name!r} is registered.", "Register it first.")


def _shortened(region: Region) -> InputWrong:
    return InputWrong(f"The shared memory {region.key!r} is shorter than region {region.name!r} says.")


def _check_size(region: Region, descriptor: int) -> None:
    if region.offset + region.byte_size > os.fstat(descriptor).st_size:
        raise _shortened(region)
