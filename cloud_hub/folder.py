"""The hub's data folder: one hub at a time, and a note in it that says where that hub is."""

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from cloud_hub.errors import CannotStart


@dataclass(frozen=True)
class Whereabouts:
    """Where a running hub is: its URL, its broker's ("mqtt://HOST:PORT") and its process id."""

    url: str
    broker: str
    pid: int


class DataFolder:
    """`path` is made when it is not there. Raises `CannotStart` when it cannot be, or another hub has it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Closed, and with it unlocked, by the kernel, however this process ends.
            self._lock = (self.path / "hub.lock").open("a+")
        except OSError as error:
            raise CannotStart(
                f"The data folder {self.path} cannot be used: {error.strerror}.",
                "Choose another with --data, or make this one writable.",
                code="data-folder-unusable",
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.seek(0)
            pid = self._lock.read().strip() or "unknown"
            self._lock.close()
            raise CannotStart(
                f"Another hub, process {pid}, runs on the data folder {self.path}.",
                f"Stop it (`kill {pid}`), or choose another folder with --data.",
                code="data-folder-in-use",
            ) from error
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()

    def part(self, name: str) -> Path:
        """The folder `name` in it, made when it is not there."""
        folder = self.path / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def last_seen(self) -> Whereabouts | None:
        """Where the hub of this folder is or was last, or None when there was none."""
        try:
            return Whereabouts(**json.loads(self._note.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def write_whereabouts(self, here: Whereabouts) -> None:
        """Writes DATA/hub.json, whole or not at all."""
        temporary = self._note.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(here), indent=2) + "\n", encoding="utf-8")
        temporary.rename(self._note)

    def close(self) -> None:
        """Lets another hub have it."""
        self._lock.close()

    @property
    def _note(self) -> Path:
        return self.path / "hub.json"
