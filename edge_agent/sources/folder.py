"""A watched folder: the pictures that appear in it, each read once it is whole, and put away once it is answered."""

import heapq
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge_agent.errors import SourceWrong
from edge_agent.sources.picture import PictureUnreadable, Preparation
from edge_agent.sources.settings import Folder
from edge_agent.sources.source import Record, Records
from fleet_contract.because import Because
from fleet_contract.manifest import Manifest

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.25
#: How many files are looked at closely at a time: what a camera has piled up in a week must not fill the memory.
_BATCH = 256
_MAX_FILE_BYTES = 64 * 1024 * 1024
#: Where pictures go that were answered, and that could not be read.
_PUT_AWAY = ("done", "failed")
#: How programs name what they have not finished.
_UNFINISHED = (".tmp", ".part", ".partial", ".crdownload", "~")


@dataclass(frozen=True, slots=True, order=True)
class _File:
    """A file as it is now; what writes to it makes another. `name` is the path below the watched folder, and `label`
    that of the folder in between."""

    modified_ns: int
    name: str
    size_bytes: int
    inode: int
    label: str = ""


class FolderSource:
    """A `Source` of the pictures in a folder. It takes no folder below it but, where that is set, those that are named
    after a label of the model; and no name that begins with a dot."""

    def __init__(self, settings: Folder, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.model = settings.model
        self.rate_per_second = settings.rate_per_second
        self.trouble: Because | None = None
        self._settings = settings
        self._folder = settings.path
        self._monotonic = monotonic
        #: Left in the folder and not to be read again, by name.
        self._left: dict[str, _File] = {}
        #: Seen as they are since then, by name: what changes no more is whole.
        self._settling: dict[str, tuple[_File, float]] = {}
        self._labels: tuple[str, ...] = ()
        self._unreadable = 0
        self._stored: dict[Path, int] = {}

    def records(self, manifest: Manifest) -> Records:
        preparation = Preparation(self._settings.picture, manifest)
        self._labels = tuple(filter(_is_folder_name, manifest.labels)) if self._settings.labelled else ()
        self._look()
        return self._feed(preparation)

    def close(self) -> None:
        """All that it has is in the folder."""

    def _feed(self, preparation: Preparation) -> Records:
        while True:
            whole = self._whole(self._look())
            for file in whole:
                record = self._record(file, preparation)
                # Also after one that cannot be read: a folder full of them must not look like a source that is stuck.
                yield record
            if not whole:
                time.sleep(_LOOK_SECONDS)
                yield None

    def _look(self) -> list[_File]:
        """The oldest files that wait. Raises `SourceWrong`."""
        still: dict[str, _File] = {}

        def waiting() -> Iterator[_File]:
            for file in self._there():
                left = self._left.get(file.name)
                if left is not None:
                    still[file.name] = left
                if left != file:
                    yield file

        try:
            # One after the other: a week of pictures is more than may be in memory.
            oldest = heapq.nsmallest(_BATCH, waiting())
        except OSError as error:
            raise SourceWrong(
                f"The folder {self._folder} cannot be watched: {error.strerror}.",
                "Make it, and let the agent's user read and write in it.",
            ) from error
        self._left = still
        return oldest

    def _there(self) -> Iterator[_File]:
        """All files, as they come. Raises OSError."""
        yield from _files(self._folder)
        for label in self._labels:
            with suppress(FileNotFoundError, NotADirectoryError):
                yield from _files(self._folder / label, label)

    def _whole(self, files: list[_File]) -> list[_File]:
        now = self._monotonic()
        before, self._settling = self._settling, {}
        for file in files:
            seen, since = before.get(file.name, (file, now))
            self._settling[file.name] = (file, since if seen == file else now)
        return [file for file in files if now - self._settling[file.name][1] >= self._settings.settle_seconds]

    def _record(self, file: _File, preparation: Preparation) -> Record | None:
        path = self._folder / file.name
        try:
            if file.size_bytes > _MAX_FILE_BYTES:
                raise PictureUnreadable(f"It has {file.size_bytes:,} bytes, more than {_MAX_FILE_BYTES:,}.")
            inputs = preparation.read(path.read_bytes())
        except FileNotFoundError:
            # Whoever put it there has taken it back.
            return None
        except (OSError, PictureUnreadable) as error:
            self._unreadable += 1
            what = error.what if isinstance(error, PictureUnreadable) else f"It cannot be read: {error.strerror}."
            sentence = f"{path.name} in {self._folder}: {what} {self._unreadable} such since the agent started."
            self._told(Because("picture-unreadable", sentence))
            self._put_away(file, answered=False)
            return None
        return Record(inputs, lambda answered: self._done(file, answered), (file.label,) if file.label else ())

    def _done(self, file: _File, answered: bool) -> None:
        if answered:
            self.trouble = None
        self._put_away(file, answered)

    def _put_away(self, file: _File, answered: bool) -> None:
        path = self._folder / file.name
        self._left[file.name] = file
        if self._settings.done == "keep":
            return
        try:
            status = path.stat()
            if (status.st_mtime_ns, status.st_size, status.st_ino) != (file.modified_ns, file.size_bytes, file.inode):
                # Written anew meanwhile: that is the next picture.
                return
            if answered and self._settings.done == "delete":
                path.unlink()
            else:
                self._store(path, self._folder / _PUT_AWAY[0 if answered else 1])
        except FileNotFoundError:
            return
        except OSError as error:
            self._told(
                Because(
                    "source-unwritable",
                    f"{path.name} in {self._folder} was inferred and cannot be put away: {error.strerror}. "
                    'Let the agent\'s user write there (ReadWritePaths= in the unit), or set done = "keep".',
                )
            )

    def _store(self, path: Path, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        target = folder / path.name
        if target.exists():
            target = folder / f"{path.stem}.{time.time_ns()}{path.suffix}"
        path.rename(target)
        if folder not in self._stored or self._stored[folder] >= self._settings.keep_files:
            self._stored[folder] = _trim(folder, self._settings.keep_files)
        else:
            self._stored[folder] += 1

    def _told(self, trouble: Because) -> None:
        _log.warning("%s", trouble)
        self.trouble = trouble


def _is_folder_name(label: str) -> bool:
    return "/" not in label and not label.startswith(".") and label not in (*_PUT_AWAY, "")


def _files(folder: Path, label: str = "") -> Iterator[_File]:
    """Those in `folder` that are to be read, as they come. Raises OSError."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if (file := _file(entry, label)) is not None:
                yield file


def _file(entry: "os.DirEntry[str]", label: str = "") -> _File | None:
    """What `entry` is, when it is a file to be read."""
    if entry.name.startswith(".") or entry.name.lower().endswith(_UNFINISHED):
        return None
    try:
        if not entry.is_file():
            return None
        status = entry.stat()
    except OSError:
        # Gone between listing and looking.
        return None
    name = f"{label}/{entry.name}" if label else entry.name
    return _File(status.st_mtime_ns, name, status.st_size, status.st_ino, label)


def _trim(folder: Path, most: int) -> int:
    """Deletes the oldest files above `most`, and says how many are left."""
    files = sorted(_files(folder))
    for file in files[: max(0, len(files) - most)]:
        (folder / file.name).unlink(missing_ok=True)
    return min(len(files), most)
