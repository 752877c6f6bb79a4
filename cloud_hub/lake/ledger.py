"""What the lake has of every boot, kept in memory while nobody else writes, and read from the lake when in doubt."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from cloud_hub.lake.marks import Boot
from cloud_hub.lake.table import MARKS_KEPT, LakeTable

_MARGIN = timedelta(days=1)


class Ledger:
    """The marks of one table. One thread at a time."""

    def __init__(self, table: LakeTable) -> None:
        self._table = table
        self._marks: dict[Boot, int] | None = None
        """As of version `_seen`, or None when they must be read: after anything that may have gone otherwise."""
        self._seen = -1

    def marks(self, boots: Mapping[Boot, datetime], now: datetime) -> dict[Boot, int]:
        """The mark of each of `boots`, 0 for one that the lake has nothing of. Raises `LakeUnavailable`.

        A boot comes with the start of its oldest window that is to be taken. When that is older than marks are kept
        in the log, a missing mark proves nothing, and the rows themselves are asked.
        """
        if self._marks is None:
            self._seen, marks = self._table.marks()
            self._marks = {boot: mark for app_id, mark in marks.items() if (boot := Boot.of_app_id(app_id))}
        for boot, oldest in boots.items():
            if boot not in self._marks and oldest < now - MARKS_KEPT + _MARGIN:
                self._marks[boot] = self._newest_row(boot)
        return {boot: self._marks.get(boot, 0) for boot in boots}

    def commit(self, rows: pa.Table, marks: Mapping[Boot, int], now: datetime) -> None:
        """Adds `rows` and moves `marks`, decided on what `marks()` gave, as one fact. Raises `LakeContested` or
        `LakeUnavailable`."""
        known, self._marks = self._marks or {}, None
        version = self._table.append(rows, {boot.app_id: mark for boot, mark in marks.items()}, self._seen, now)
        # Between ours and what we had seen, another's commit may have moved marks that were not in ours.
        if version == self._seen + 1:
            self._seen, self._marks = version, {**known, **marks}

    def compact(self) -> int:
        """Merges small files, as `LakeTable.compact`."""
        self._marks = None
        return self._table.compact()

    def vacuum(self) -> int:
        """Deletes files that nothing needs any more, as `LakeTable.vacuum`."""
        self._marks = None
        return self._table.vacuum()

    def _newest_row(self, boot: Boot) -> int:
        mine = (ds.field("device") == boot.device) & (ds.field("boot") == boot.boot)
        found = self._table.dataset().to_table(columns=["sequence"], filter=mine)
        return pc.max(found.column("sequence")).as_py() or 0
