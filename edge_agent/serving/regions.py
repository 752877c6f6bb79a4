"""Shared memory that clients have registered: tensors that need not pass through a socket. Safe for any thread.

The bytes are read into memory of the agent's own, and not mapped: a client that shortens a mapped region ends the
process that reads it, and one that writes to it changes a tensor while a model reads it. A copy of 1.2 MB takes 0.1 ms.
"""

import os
import re
import stat
import threading
from pathlib import Path

import msgspec

from edge_agent.serving.port import InputWrong

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory is, by its specification
#: A region keeps a file open.
REGIONS_MAX = 256
_KEY = re.compile(r"/?(?!\.\.?$)[A-Za-z0-9_.+@:,-]{1,250}")


class RegionUnknown(InputWrong):
    """No such region is registered."""

    code = "region-unknown"


class Region(msgspec.Struct, frozen=True):
    """`byte_size` bytes at `offset` in the shared memory `key`."""

    name: str
    key: str
    offset: int
    byte_size: int


class Regions:
    """What is registered, by name."""

    def __init__(self, folder: Path = SHARED_MEMORY) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._open: dict[str, tuple[Region, int]] = {}

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
                # As Triton does: who registers again must say that the first is over.
                if region.name in self._open:
                    raise InputWrong(f"Region {region.name!r} is registered already.", "Unregister it first.")
                if len(self._open) >= REGIONS_MAX:
                    raise InputWrong(f"{REGIONS_MAX} regions are registered.", "Unregister some first.")
                self._open[region.name] = region, descriptor
        except InputWrong:
            os.close(descriptor)
            raise

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
            for one in [name] if name else list(self._open):
                if (entry := self._open.pop(one, None)) is not None:
                    os.close(entry[1])

    def registered(self, name: str = "") -> list[Region]:
        """The region `name`, or all. Raises `RegionUnknown`."""
        with self._lock:
            if name and name not in self._open:
                raise _unknown(name)
            return [region for region, _ in self._open.values() if name in {"", region.name}]

    def check(self, tensor: str, name: str, offset: int, size: int) -> None:
        """Whether a tensor of `size` bytes lies in the region `name`. Raises `InputWrong` or `RegionUnknown`."""
        with self._lock:
            self._holds(tensor, name, offset, size)

    def read_into(self, memory: memoryview, tensor: str, name: str, offset: int) -> None:
        """Fills `memory` from `offset` on in the region `name`. Raises `InputWrong` or `RegionUnknown`."""
        region, descriptor = self._borrow(tensor, name, offset, memory.nbytes)
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
        region, descriptor = self._borrow(tensor, name, offset, len(data))
        try:
            # Writing behind its end would make a region longer that its owner has made shorter.
            _check_size(region, descriptor)
            os.pwrite(descriptor, data, region.offset + offset)
        except OSError as error:
            raise InputWrong(f"Tensor {tensor!r}: cannot write region {name!r}: {error.strerror}.") from error
        finally:
            os.close(descriptor)

    def _borrow(self, tensor: str, name: str, offset: int, size: int) -> tuple[Region, int]:
        """A descriptor of its own: the region may be unregistered, and the number be given to another file."""
        with self._lock:
            region, descriptor = self._holds(tensor, name, offset, size)
            return region, os.dup(descriptor)

    def _holds(self, tensor: str, name: str, offset: int, size: int) -> tuple[Region, int]:
        entry = self._open.get(name)
        if entry is None:
            raise _unknown(name)
        if offset < 0 or offset + size > entry[0].byte_size:
            raise InputWrong(
                f"Tensor {tensor!r} is {size} bytes at {offset}, and region {name!r} has {entry[0].byte_size}."
            )
        return entry


def _unknown(name: str) -> RegionUnknown:
    return RegionUnknown(f"No shared memory region {name!r} is registered.", "Register it first.")


def _shortened(region: Region) -> InputWrong:
    return InputWrong(f"The shared memory {region.key!r} is shorter than region {region.name!r} says.")


def _check_size(region: Region, descriptor: int) -> None:
    if region.offset + region.byte_size > os.fstat(descriptor).st_size:
        raise _shortened(region)
