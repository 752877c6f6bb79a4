"""Journals on disk: one small JSON file a slot of a model, replaced in one step."""

import contextlib
import errno
import logging
from pathlib import Path

import msgspec

from edge_agent.core.journal import Journal
from edge_agent.durable import read_again
from edge_agent.failures import disk_trouble
from edge_agent.store.ballast import Ballast
from edge_agent.store.disk import Disk
from fleet_contract.because import Because

_log = logging.getLogger(__name__)


class JournalStore:
    """The journals in `folder`."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk
        self.troubles: tuple[Because, ...] = ()
        """What could not be read when the journals were loaded."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._ballast = Ballast(folder / "ballast", disk)
        self._ballast.take()

    def load(self) -> dict[str, Journal]:
        """All journals that can be read, by key. One that cannot is put aside: that model starts afresh, from
        artifacts that are still on disk."""
        journals, troubles = {}, []
        for path in sorted(self._folder.glob("*.json")):
            try:
                journal = msgspec.json.decode(read_again(path), type=Journal)
                journals[journal.key] = journal
            except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
                trouble = Because("journal-unreadable", f"The journal {path.name} was lost: {error}.")
                _log.error("%s", trouble)
                troubles.append(trouble)
                # Where even that fails it stays, and the model's next journal takes its place.
                with contextlib.suppress(OSError):
                    path.replace(path.with_suffix(".unreadable"))
        self.troubles = tuple(troubles)
        return journals

    def save(self, journal: Journal, *, urgent: bool = False) -> None:
        """Returns when the journal would survive a power cut; on a full disk the ballast makes room for an `urgent`
        one. Raises `TryLater`."""
        try:
            try:
                self._write(journal)
            except OSError as error:
                if not (urgent and error.errno in {errno.ENOSPC, errno.EDQUOT} and self._ballast.drop()):
                    raise
                _log.warning("The disk is full: its ballast makes room for the journal of %s.", journal.key)
                self._write(journal)
        except OSError as error:
            raise disk_trouble(error, f"writing the journal of {journal.key}") from error

    def restock(self) -> None:
        """Takes up room for the next urgent journal, if it was given up and there is some again."""
        self._ballast.take()

    def remove(self, key: str) -> None:
        """Returns when the journal is gone for good. Raises `TryLater`."""
        try:
            self._disk.remove(self._path(key))
        except FileNotFoundError:
            return
        except OSError as error:
            raise disk_trouble(error, f"removing the journal of {key}") from error

    def _write(self, journal: Journal) -> None:
        self._disk.replace(self._path(journal.key), msgspec.json.encode(journal))

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"
