"""A disk that fills up, and can be emptied."""

import errno
from pathlib import Path
from typing import BinaryIO

from edge_agent.store.disk import Disk


class FullDisk(Disk):
    """Takes `room_bytes` more, and then none; None is plenty. `claims_room` hides that from who asks first."""

    def __init__(self, room_bytes: int | None = None, *, claims_room: bool = False) -> None:
        self.room_bytes = room_bytes
        self.claims_room = claims_room

    def _take(self, size: int) -> None:
        if self.room_bytes is None:
            return
        if size > self.room_bytes:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room_bytes -= size

    def free_bytes(self, folder: Path) -> int:
        return super().free_bytes(folder) if self.room_bytes is None or self.claims_room else self.room_bytes

    def append(self, file: BinaryIO, data: bytes) -> None:
        self._take(len(data))
        super().append(file, data)

    def remove(self, path: Path) -> None:
        size = path.stat().st_size
        super().remove(path)
        if self.room_bytes is not None:
            self.room_bytes += size

    def replace(self, path: Path, data: bytes) -> None:
        self._take(len(data))
        super().replace(path, data)
