"""A blob on its way: what has come of it, and of which file on the server that is."""

import contextlib
import re
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from edge_agent.failures import disk_trouble
from edge_agent.store.disk import Disk
from fleet_contract.manifest import Blob

_ETAG = re.compile(rb"[\x20-\x7e]+")


class Part:
    """The bytes of a blob that have come so far, open for the next. Its methods raise `TryLater`."""

    def __init__(self, path: Path, blob: Blob, disk: Disk, begun: set[str]) -> None:
        self._path = path
        self._tag = path.with_suffix(".etag")
        self._blob = blob
        self._disk = disk
        self._begun = begun
        try:
            path.touch(mode=0o600)
            self._file: BinaryIO = path.open("r+b")
            self.size_bytes = self._file.seek(0, 2)
            self.etag = _noted(self._tag)
        except OSError as error:
            raise disk_trouble(error, f"starting to write {path.name}") from error
        if not self.size_bytes:
            begun.add(blob.digest)

    def restart(self, etag: str) -> None:
        """Forgets what has come: what comes now is the whole, as the server knows it by `etag`."""
        try:
            self._file.seek(0)
            self._file.truncate()
            if etag:
                self._tag.write_text(etag)
            else:
                self._tag.unlink(missing_ok=True)
        except OSError as error:
            raise disk_trouble(error, f"writing {self._path.name}") from error
        self.size_bytes, self.etag = 0, etag
        self._begun.add(self._blob.digest)

    def write(self, data: bytes) -> None:
        """Appends."""
        try:
            self._disk.append(self._file, data)
        except OSError as error:
            raise disk_trouble(error, f"writing {self._path.name}") from error
        self.size_bytes += len(data)

    def __enter__(self) -> "Part":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._disk.sync(self._file)
            self._file.close()
        except OSError as problem:
            # Closing flushes, and so can fail again; the descriptor is gone after the second.
            with contextlib.suppress(OSError):
                self._file.close()
            if kind is None:
                raise disk_trouble(problem, f"writing {self._path.name}") from problem


def _noted(tag: Path) -> str:
    """The ETag in `tag`; "" when there is none, or a power cut has left something else. Raises OSError."""
    text = tag.read_bytes() if tag.exists() else b""
    return text.decode() if _ETAG.fullmatch(text) else ""
