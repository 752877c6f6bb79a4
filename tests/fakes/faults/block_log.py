"""`python -m tests.fakes.faults.block_log FOLDER IMAGE LOG [BAD]`: a disk that writes down all that is written to it.

It serves one file over FUSE, `FOLDER/disk`, with the content of IMAGE. A file system on a loop device on it tells its
writes and flushes in their order; what is written to `FOLDER/marks` comes between them. LOG gets them all, as records
that `read_log` reads. The first write that holds the bytes BAD, in hexadecimal, fails. It ends when FOLDER is
unmounted.
"""

import contextlib
import errno
import os
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO

from tests.fakes.faults.mounts import mount, unmount_when_idle

_ROOT, _DISK, _MARKS = 1, 2, 3
_FILES = {b"disk": _DISK, b"marks": _MARKS}
_DIRECT_IO = 1
_MAX_WRITE = 128 * 1024
_RECORD = struct.Struct("<cQI")


class Op(IntEnum):
    """The requests that the kernel makes of such a file system."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    FLUSH = 25
    INIT = 26
    INTERRUPT = 36
    BATCH_FORGET = 42


@dataclass(frozen=True, slots=True)
class Write:
    """`data` from byte `offset` on."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Flush:
    """All before it is safe."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that was said to the outside by then."""

    text: str


Entry = Write | Flush | Mark


def read_log(path: Path) -> list[Entry]:
    """What was written to the disk, in its order."""
    entries: list[Entry] = []
    with path.open("rb") as file:
        while head := file.read(_RECORD.size):
            kind, offset, size = _RECORD.unpack(head)
            data = file.read(size)
            entries.append(Write(offset, data) if kind == b"w" else Flush() if kind == b"f" else Mark(data.decode()))
    return entries


class _Server:
    """The FUSE protocol, as far as one file needs it."""

    def __init__(self, device: int, image: bytearray, log: BinaryIO, bad: bytes) -> None:
        self._device = device
        self._image = image
        self._log = log
        self._bad = bad

    def serve(self) -> None:
        while True:
            try:
                request = os.read(self._device, _MAX_WRITE + 64 * 1024)
            except OSError as error:
                if error.errno in {errno.ENOENT, errno.EINTR, errno.EAGAIN}:
                    continue
                if error.errno == errno.ENODEV:
                    return
                raise
            _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
            if opcode in {Op.FORGET, Op.BATCH_FORGET, Op.INTERRUPT}:
                continue
            try:
                number, answer = 0, self._answer(opcode, node, memoryview(request)[40:])
            except OSError as error:
                number, answer = error.errno or errno.EIO, b""
            # Who asked may be gone.
            with contextlib.suppress(FileNotFoundError):
                os.write(self._device, struct.pack("<IiQ", 16 + len(answer), -number, unique) + answer)

    def _answer(self, opcode: int, node: int, body: memoryview) -> bytes:
        match opcode:
            case Op.INIT:
                major, minor, ahead = struct.unpack_from("<III", body)
                return struct.pack("<IIIIHHIIHHI28x", major, min(minor, 31), ahead, 0, 16, 12, _MAX_WRITE, 1, 0, 0, 0)
            case Op.LOOKUP:
                found = _FILES.get(bytes(body).rstrip(b"\0"))
                if found is None:
                    raise OSError(errno.ENOENT, "there are two files")
                return struct.pack("<QQQQII", found, 0, 3600, 3600, 0, 0) + self._attributes(found)
            case Op.GETATTR | Op.SETATTR:
                return struct.pack("<QII", 3600, 0, 0) + self._attributes(node)
            case Op.OPEN:
                return struct.pack("<QII", node, _DIRECT_IO, 0)
            case Op.READ:
                _, offset, size = struct.unpack_from("<QQI", body)
                return bytes(self._image[offset : offset + size]) if node == _DISK else b""
            case Op.WRITE:
                _, offset, size = struct.unpack_from("<QQI", body)
                self._write(node, offset, bytes(body[40 : 40 + size]))
                return struct.pack("<II", size, 0)
            case Op.FSYNC:
                if node == _DISK:
                    self._note(b"f")
                return b""
            case Op.STATFS:
                return bytes(80)
            case Op.RELEASE | Op.FLUSH:
                return b""
            case _:
                raise OSError(errno.ENOSYS, "not needed")

    def _write(self, node: int, offset: int, data: bytes) -> None:
        if self._bad and self._bad in data:
            self._bad = b""
            raise OSError(errno.EIO, "a bad block")
        if node == _DISK:
            self._image[offset : offset + len(data)] = data
            self._note(b"w", offset, data)
        else:
            self._note(b"m", 0, data)

    def _note(self, kind: bytes, offset: int = 0, data: bytes = b"") -> None:
        self._log.write(_RECORD.pack(kind, offset, len(data)) + data)

    def _attributes(self, node: int) -> bytes:
        folder = node == _ROOT
        mode = (stat.S_IFDIR | 0o755) if folder else (stat.S_IFREG | 0o600)
        size = len(self._image) if node == _DISK else 0
        return struct.pack("<QQQQQQIIIIIIIIII", node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1 + folder, 0, 0, 0, 4096, 0)


@contextlib.contextmanager
def logged_disk(folder: Path, image: Path, log: Path, bad: bytes = b"") -> Iterator[tuple[Path, Path]]:
    """The file whose writes go to `log`, with the content of `image`, and the file for marks. The first write that
    holds the bytes `bad` fails."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.fakes.faults.block_log", str(folder), str(image), str(log), bad.hex()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]) as server:
        assert server.stdout is not None
        try:
            assert server.stdout.readline() == b"ready\n", "the logged disk could not be mounted"
            yield folder / "disk", folder / "marks"
        finally:
            # A loop device lets go of its file a moment after it was told to.
            unmount_when_idle(folder)
            server.wait(10)


def main() -> None:
    folder, image, log = (Path(argument) for argument in sys.argv[1:4])
    bad = bytes.fromhex("".join(sys.argv[4:]))
    device = os.open("/dev/fuse", os.O_RDWR)
    mount("vedette-log", folder, "fuse", f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    with log.open("wb") as file:
        _Server(device, bytearray(image.read_bytes()), file, bad).serve()


if __name__ == "__main__":
    main()
