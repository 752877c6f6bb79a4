"""The file system, as far as updates write to it: the place where a disk is full."""

import errno
import os
from pathlib import Path
from typing import BinaryIO

from edge_agent.durable import sync_folder, write_durably


class Disk:
    """What updates ask of a disk. All of it raises OSError."""

    def free_bytes(self, folder: Path) -> int:
        """What an ordinary user may still write."""
        status = os.statvfs(folder)
        return status.f_bavail * status.f_frsize

    def append(self, file: BinaryIO, data: bytes) -> None:
        """Writes `data` now: nothing is left for `close` to write."""
        file.write(data)
        file.flush()

    def sync(self, file: BinaryIO) -> None:
        """Makes the bytes survive a power cut, and lets the page cache forget them, so that reading them again
        reads the disk."""
        file.flush()
        try:
            os.fsync(file.fileno())
        except OSError as error:
            # So ext4 says on each file once the disk has failed it and it may only be read: then nothing is to be
            # made safe any more, and what was can still be read.
            if error.errno != errno.EROFS:
                raise
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def rename(self, before: Path, after: Path) -> None:
        """Replaces `after`, in one step that survives a power cut."""
        before.replace(after)
        sync_folder(after.parent)

    def remove(self, path: Path) -> None:
        """Removes the file, in one step that survives a power cut."""
        path.unlink()
        sync_folder(path.parent)

    def replace(self, path: Path, data: bytes) -> None:
        """Replaces the file by `data`, in one step that survives a power cut."""
        write_durably(path, data)
