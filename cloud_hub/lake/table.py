"""One Delta table, appended to with marks in the same commit: what is in it and what is known of it cannot part."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import CommitProperties, DeltaTable, Schema, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from cloud_hub.errors import Unavailable
from cloud_hub.lake import durable
from cloud_hub.lake.location import Location
from cloud_hub.lake.log import LogUnreadable, read_marks

_log = logging.getLogger(__name__)

#: A boot that has sent nothing for so long has its mark dropped from the log, which would else grow with every start
#: of every agent. `Ledger` then asks the rows themselves.
MARKS_KEPT = timedelta(days=30)
#: Readers that began before a compaction may go on for so long.
FILES_KEPT = timedelta(days=1)
_CHECKPOINT_EVERY = 20
#: Compaction merges what is smaller into files of this size: large enough to scan fast, small enough to rewrite soon.
TARGET_BYTES = 64 * 1024 * 1024

_CONFIGURATION = {
    "delta.checkpointInterval": str(_CHECKPOINT_EVERY),
    "delta.logRetentionDuration": f"interval {FILES_KEPT.days} days",
    "delta.deletedFileRetentionDuration": f"interval {FILES_KEPT.days} days",
    "delta.setTransactionRetentionDuration": f"interval {MARKS_KEPT.days} days",
}


class LakeUnavailable(Unavailable):
    """The lake cannot be read or written now. Nothing is lost: devices keep what is not acked."""

    code = "lake-unavailable"


class LakeContested(Exception):
    """Another writer has moved one of the same marks: read them again and decide again."""


@dataclass(frozen=True)
class Size:
    """How much a table holds."""

    version: int
    rows: int
    files: int
    size_bytes: int


class LakeTable:
    """A table at one place. One thread at a time; open another for another thread."""

    def __init__(self, location: Location, schema: pa.Schema, partition: str) -> None:
        """Nothing is touched before the first use."""
        self.location = location
        self.schema = schema
        self._partition = partition
        self._open: DeltaTable | None = None

    def version(self) -> int:
        """The version that this table knows. Raises `LakeUnavailable`."""
        return int(self._table().version())

    def refresh(self) -> None:
        """Looks for what other writers have committed. Raises `LakeUnavailable`."""
        with self._translating("read"):
            self._table().update_incremental()

    def marks(self) -> tuple[int, dict[str, int]]:
        """The newest version, and application id to mark in it. Raises `LakeUnavailable`."""
        self.refresh()
        with self._translating("read"):
            version = self.version()
            return version, read_marks(self.location.filesystem(), version)

    def append(self, rows: pa.Table, marks: Mapping[str, int], seen: int, now: datetime) -> int:
        """Adds `rows` and moves `marks` in one commit, durably. Gives its version.

        `seen` is the version in which the marks were read that this rests on: deltalake fails a commit for what
        others have done to these marks since the version that it has open, and that must not be a newer one. Raises
        `LakeContested` when another has moved one of `marks` since, or `LakeUnavailable`; in either case nothing of
        it is in the table, or all of it is and its marks tell so.
        """
        with self._translating("written"):
            table = self._table()
            before = int(table.version())
            if before != seen:
                raise LakeContested(f"version {seen} has become {before}")
            updated = int(now.timestamp() * 1000)
            write_deltalake(
                table,
                _with_all_columns(rows, table),
                mode="append",
                target_file_size=TARGET_BYTES,
                commit_properties=CommitProperties(
                    app_transactions=[Transaction(app_id, mark, updated) for app_id, mark in marks.items()]
                ),
            )
            after = int(table.version())
            if self.location.folder is not None:
                durable.sync_commits(self.location.folder, before + 1, after)
            return after

    def compact(self) -> int:
        """Merges small files. Gives how many went. Safe beside any writer that only appends."""
        with self._translating("compacted"):
            table = self._table()
            before = table.version()
            done = table.optimize.compact(target_size=TARGET_BYTES)
            if self.location.folder is not None and table.version() > before:
                durable.sync_commits(self.location.folder, before + 1, int(table.version()))
            return int(done["numFilesRemoved"])

    def vacuum(self) -> int:
        """Deletes files that no version needs any more, and those that a crash left behind. Gives how many went."""
        with self._translating("cleaned up"):
            hours = int(FILES_KEPT.total_seconds() // 3600)
            return len(self._table().vacuum(retention_hours=hours, dry_run=False, full=True))

    def dataset(self) -> ds.Dataset:
        """The newest version, to be scanned with projection and filters pushed down. Raises `LakeUnavailable`."""
        self.refresh()
        with self._translating("read"):
            return self._table().to_pyarrow_dataset(filesystem=self.location.filesystem())

    def size(self) -> Size:
        """Counted from the log, without reading the data. Raises `LakeUnavailable`."""
        self.refresh()
        with self._translating("read"):
            table = self._table()
            actions = pa.table(table.get_add_actions(flatten=True))
            rows = sum(count or 0 for count in actions.column("num_records").to_pylist())
            return Size(table.version(), rows, actions.num_rows, sum(actions.column("size_bytes").to_pylist()))

    def _table(self) -> DeltaTable:
        if self._open is None:
            with self._translating("opened"):
                self._open = self._open_or_create()
        return self._open

    def _open_or_create(self) -> DeltaTable:
        options = dict(self.location.storage_options)
        if self.location.folder is not None:
            durable.mend(self.location.folder)
        try:
            return self._evolved(DeltaTable(self.location.uri, storage_options=options))
        except TableNotFoundError:
            _log.info("making the table %s", self.location.uri)
        try:
            table = DeltaTable.create(
                self.location.uri,
                self.schema,
                partition_by=[self._partition],
                configuration=_CONFIGURATION,
                storage_options=options,
            )
        except DeltaError:
            # Another hub was faster; when it is something else, opening says what.
            return self._evolved(DeltaTable(self.location.uri, storage_options=options))
        if self.location.folder is not None:
            durable.sync_commits(self.location.folder, 0, 0)
        return table

    def _evolved(self, table: DeltaTable) -> DeltaTable:
        """`table` with the columns that an older hub did not know. In its rows they are null."""
        there = {field.name for field in table.schema().fields}
        missing = [field for field in Schema.from_arrow(self.schema).fields if field.name not in there]
        if not missing:
            return table
        before = int(table.version())
        try:
            table.alter.add_columns(missing)
        except CommitFailedError:
            # Another hub did so at the same moment. When it is something else, the first append says what.
            return DeltaTable(self.location.uri, storage_options=dict(self.location.storage_options))
        _log.info("%s has the new columns %s", self.location.uri, ", ".join(field.name for field in missing))
        if self.location.folder is not None:
            durable.sync_commits(self.location.folder, before + 1, int(table.version()))
        return table

    @contextmanager
    def _translating(self, what: str) -> Iterator[None]:
        try:
            yield
        except CommitFailedError as error:
            self._open = None
            raise LakeContested(str(error)) from error
        except (DeltaError, OSError, pa.ArrowException, LogUnreadable) as error:
            # What the handle knows may be stale or half changed: the next use looks again.
            self._open = None
            raise LakeUnavailable(
                f"The lake at {self.location.uri} cannot be {what}: {_short(error)}.",
                "Check that the place exists, is writable and has room; ingest goes on by itself.",
            ) from error


def _with_all_columns(rows: pa.Table, table: DeltaTable) -> pa.Table:
    """`rows` and nulls for the columns that only a newer hub knows: it may have to make way for this one again."""
    for field in pa.schema(table.schema().to_arrow()):
        if field.name not in rows.column_names:
            rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    return rows


def _short(error: Exception) -> str:
    # delta-rs draws the chain of causes as a coloured tree over many lines; the first and last say it.
    lines = [line.strip(" \x1b[0m31↳├└│─") for line in str(error).splitlines()]
    said = [line for line in lines if line]
    return ": ".join(dict.fromkeys((said[0], said[-1]))).rstrip(".")[:500] if said else type(error).__name__
