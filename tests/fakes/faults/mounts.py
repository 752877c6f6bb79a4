"""Loop devices and mounts by system call: a crash image is mounted ten thousand times, and no program is started."""

import contextlib
import ctypes
import fcntl
import gc
import os
import stat
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

_LOOP_CTL_GET_FREE = 0x4C82
_LOOP_CONFIGURE = 0x4C0A
_EXT4_SHUTDOWN = 0x8004587D
_CLONE_NEWNS = 0x20000
_MS_REC_PRIVATE = 0x44000
#: The device is free again when nobody has it open, whatever became of who attached it.
_AUTOCLEAR = 4
_LOOP_MAJOR = 7
_TRIES = 50
_IDLE_SECONDS = 10.0

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)


def own_mounts() -> None:
    """From now on this process and its children mount for themselves alone, and leave nothing mounted when they end,
    however they end. Needs root; raises OSError."""
    if _libc.unshare(_CLONE_NEWNS):
        number = ctypes.get_errno()
        raise OSError(number, f"a mount namespace cannot be had: {os.strerror(number)}")
    if _libc.mount(b"none", b"/", None, _MS_REC_PRIVATE, None):
        number = ctypes.get_errno()
        raise OSError(number, f"mounts cannot be made private: {os.strerror(number)}")


def mount(source: str, folder: Path, kind: str, options: str = "") -> None:
    """Raises OSError."""
    if _libc.mount(source.encode(), str(folder).encode(), kind.encode(), 0, options.encode()):
        number = ctypes.get_errno()
        raise OSError(number, f"mounting {source}: {os.strerror(number)}")


def unmount(folder: Path) -> None:
    """Raises OSError."""
    if _libc.umount2(str(folder).encode(), 0):
        number = ctypes.get_errno()
        raise OSError(number, f"unmounting {folder}: {os.strerror(number)}")


def unmount_when_idle(folder: Path) -> None:
    """Unmounts as soon as nobody has a file open there: a download that was called off may have one for a moment."""
    deadline = time.monotonic() + _IDLE_SECONDS
    while True:
        try:
            return unmount(folder)
        except OSError:
            if time.monotonic() > deadline:
                raise
            # What an updater has mapped goes with the updater, and that is a knot of references.
            gc.collect()
            time.sleep(0.01)


@contextlib.contextmanager
def mounted(source: str, folder: Path, kind: str, options: str = "") -> Iterator[Path]:
    """`folder` with `source` on it, as long as the block lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    mount(source, folder, kind, options)
    try:
        yield folder
    finally:
        unmount_when_idle(folder)


@contextlib.contextmanager
def loop_device(path: Path) -> Iterator[str]:
    """A block device on the file at `path`, as long as the block lasts."""
    with path.open("r+b", buffering=0) as file:
        device, descriptor = _attached(file.fileno())
        try:
            yield device
        finally:
            os.close(descriptor)


def _attached(backing: int) -> tuple[str, int]:
    with Path("/dev/loop-control").open("r+b", buffering=0) as control:
        for _ in range(_TRIES):
            number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            device = Path(f"/dev/loop{number}")
            if not device.exists():
                os.mknod(device, 0o600 | stat.S_IFBLK, os.makedev(_LOOP_MAJOR, number))
            descriptor = os.open(device, os.O_RDWR)
            try:
                # struct loop_config: the file, its block size, loop_info64 and what is reserved.
                info = bytes(52) + struct.pack("=I", _AUTOCLEAR) + bytes(232 - 56)
                fcntl.ioctl(descriptor, _LOOP_CONFIGURE, struct.pack("=II", backing, 0) + info + bytes(64))
            except OSError:
                # Somebody else has taken it since.
                os.close(descriptor)
                continue
            return str(device), descriptor
    raise OSError("no loop device could be had")


def make_ext4(path: Path, size_bytes: int) -> None:
    """A new, empty file system in the file at `path`, ready on its first mount: nothing is left for the kernel to
    fill in behind."""
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(size_bytes)
    lazy = "lazy_itable_init=0,lazy_journal_init=0,nodiscard"
    subprocess.run(
        ["mkfs.ext4", "-q", "-F", "-b", "4096", "-J", "size=4", "-m", "0", "-E", lazy, str(path)], check=True
    )


def cut_power(folder: Path, how: int) -> None:
    """The file system at `folder` takes nothing more, as if the power was cut. `how`: 0 after it has written all, 1
    after it has written its journal, 2 at once."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, _EXT4_SHUTDOWN, struct.pack("I", how))
    finally:
        os.close(descriptor)


def write_back(folder: Path, flush: bool) -> None:
    """The file system at `folder` writes what it has, and, to `flush`, says that it has to be safe."""
    if flush:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            _libc.syncfs(descriptor)
        finally:
            os.close(descriptor)
        return
    for path in folder.rglob("*"):
        # It may just have been renamed.
        with contextlib.suppress(FileNotFoundError, IsADirectoryError), path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
