"""Three bugs of the kind that the faults must find, planted behind the updater's own port to the disk."""

import os
from pathlib import Path
from typing import BinaryIO

from edge_agent.durable import sync_folder
from edge_agent.store.disk import Disk


class NoFsync(Disk):
    """Nothing is ever made to survive a power cut."""

    def sync(self, file: BinaryIO) -> None:
        file.flush()

    def rename(self, before: Path, after: Path) -> None:
        before.replace(after)

    def replace(self, path: Path, data: bytes) -> None:
        temporary = path.with_name(path.name + ".new")
        temporary.write_bytes(data)
        temporary.replace(path)


class UnlinkFirst(Disk):
    """What is replaced is removed first: for a moment there is neither."""

    def rename(self, before: Path, after: Path) -> None:
        after.unlink(missing_ok=True)
        super().rename(before, after)

    def replace(self, path: Path, data: bytes) -> None:
        temporary = path.with_name(path.name + ".next")
        super().replace(temporary, data)
        path.unlink(missing_ok=True)
        super().rename(temporary, path)


class HashBeforeFsync(Disk):
    """The hash is read from the page cache, and only then are the bytes made to survive a power cut."""

    def sync(self, file: BinaryIO) -> None:
        file.flush()

    def rename(self, before: Path, after: Path) -> None:
        before.replace(after)
        sync_folder(after.parent)
        with after.open("rb") as file:
            os.fsync(file.fileno())


PLANTED: dict[str, type[Disk]] = {
    "no fsync": NoFsync,
    "unlink before rename": UnlinkFirst,
    "hash checked before fsync": HashBeforeFsync,
}
