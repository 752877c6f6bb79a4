"""Blobs in a folder: one file each, whole or not there at all."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from cloud_hub.blobs.capability import Capabilities
from cloud_hub.blobs.store import CHUNK_BYTES, check_digest, checked, full_disk_is_said, unknown
from fleet_contract.manifest import Blob


class FolderBlobs:
    """The port `Blobs` on `folder`, which one hub has to itself."""

    def __init__(self, folder: Path, capabilities: Capabilities, max_blob_bytes: int) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        self._capabilities = capabilities
        self._max_blob_bytes = max_blob_bytes
        self._incoming.mkdir(parents=True, exist_ok=True)
        for left_over in self._incoming.iterdir():
            left_over.unlink()

    def put(self, digest: str, chunks: Iterable[bytes]) -> Blob:
        path = self._path(digest)
        with full_disk_is_said(digest, self._folder):
            return self._put(digest, path, chunks)

    def _put(self, digest: str, path: Path, chunks: Iterable[bytes]) -> Blob:
        descriptor, name = tempfile.mkstemp(dir=self._incoming)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for chunk in checked(digest, chunks, self._max_blob_bytes):
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
                size = file.tell()
            path.parent.mkdir(exist_ok=True)
            temporary.rename(path)
        finally:
            temporary.unlink(missing_ok=True)
        # The name must survive a power cut too, and so must the folder that holds it.
        for folder in (path.parent, self._folder):
            _sync(folder)
        return Blob(digest, size)

    def read(self, digest: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        try:
            file = self._path(digest).open("rb")
        except FileNotFoundError as error:
            raise unknown(digest) from error

        def chunks() -> Iterator[bytes]:
            with file:
                file.seek(start)
                left = None if end is None else end - start
                while left is None or left > 0:
                    chunk = file.read(CHUNK_BYTES if left is None else min(CHUNK_BYTES, left))
                    if not chunk:
                        return
                    left = None if left is None else left - len(chunk)
                    yield chunk

        return chunks()

    def size(self, digest: str) -> int | None:
        try:
            return self._path(digest).stat().st_size
        except FileNotFoundError:
            return None

    @contextmanager
    def path_or_temp(self, digest: str) -> Iterator[Path]:
        path = self._path(digest)
        if not path.exists():
            raise unknown(digest)
        yield path

    def url(self, digest: str, expires_at: datetime) -> str:
        check_digest(digest)
        return self._capabilities.url(digest, expires_at)

    def _path(self, digest: str) -> Path:
        digits = check_digest(digest)
        return self._folder / digits[:2] / digits


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
