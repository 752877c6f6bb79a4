"""A file that takes up room for nothing, to be given up for what must be written on a full disk."""

import contextlib
import os
from pathlib import Path

from edge_agent.store.disk import Disk

#: Room for some journals, old and new beside each other.
BALLAST_BYTES = 256 * 1024
#: Where less is free, others need it more.
PLENTY_BYTES = 4 * BALLAST_BYTES


class Ballast:
    """The file `path`."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self._path = path
        self._disk = disk

    @property
    def aboard(self) -> bool:
        return self._path.exists()

    def take(self) -> None:
        """Takes up the room, if there is plenty; else the next call may find some. Raises nothing."""
        with contextlib.suppress(OSError):
            if not self.aboard and self._disk.free_bytes(self._path.parent) >= PLENTY_BYTES:
                # No zeros: a file system that compresses would keep no room for them.
                self._disk.replace(self._path, os.urandom(BALLAST_BYTES))

    def drop(self) -> bool:
        """Gives the room back. Whether there was any."""
        try:
            self._disk.remove(self._path)
        except OSError:
            return False
        return True
