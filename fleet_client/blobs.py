"""Bytes by their digest: artifacts and golden sets on their way to the hub."""

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from fleet_client.errors import BuildWrong
from fleet_client.http import API, Http

#: Told how many bytes of a file have gone, and how many there are.
Progress = Callable[[int, int], None]


class Blobs:
    """`client.blobs`. Every method raises `HubUnreachable`, `HubRefused` or `AnswerWrong`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def upload(self, path: Path, digest: str, progress: Progress | None = None) -> None:
        """Sends the file at `path`, whose content the hub checks against `digest` ("sha256:" and 64 hex digits)."""
        try:
            with path.open("rb") as file:
                size = path.stat().st_size
                self._http.upload(f"{API}/blobs/{digest}", _Watched(file, size, progress), size)
        except FileNotFoundError as error:
            raise BuildWrong(f"There is no file {path}.") from error


class _Watched:
    """A file that tells how far it has been read."""

    def __init__(self, file: BinaryIO, size: int, progress: Progress | None) -> None:
        self._file, self._size, self._progress, self._read = file, size, progress, 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self._read += len(data)
        if self._progress is not None and data:
            self._progress(self._read, self._size)
        return data
