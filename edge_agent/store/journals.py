"""Journals on disk: one small JSON file a slot of a model, replaced in one step."""

import logging
from pathlib import Path

import msgspec

from edge_agent.core.journal import Journal
from edge_agent.failures import disk_trouble
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

    def load(self) -> dict[str, Journal]:
        """All journals that can be read, by key. One that cannot is put aside: that model starts afresh, from
        artifacts that are still on disk."""
        journals, troubles = {}, []
        for path in sorted(self._folder.glob("*.json")):
            try:
                journal = msgspec.json.decode(path.read_bytes(), type=Journal)
                journals[journal.key] = journal
            except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
                trouble = Because("journal-unreadable", f"The journal {path.name} was lost: {error}.")
                _log.error("%s", trouble)
                troubles.append(trouble)
                path.replace(path.with_suffix(".unreadable"))
        self.troubles = tuple(troubles)
        return journals

    def save(self, journal: Journal) -> None:
        """Returns when the journal would survive a power cut. Raises `TryLater`."""
        try:
            self._disk.replace(self._folder / f"{journal.key}.json", msgspec.json.encode(journal))
        except OSError as error:
            raise disk_trouble(error, f"writing the journal of {journal.key}") from error
