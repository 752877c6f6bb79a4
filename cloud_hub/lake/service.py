"""Reads the lake, beside the ingest that writes it.

Wiring: `LakeService(Location.of(lake_url, TABLE, endpoint_url))`.
"""

import threading

import pyarrow.dataset as ds

from cloud_hub.lake.location import Location
from cloud_hub.lake.query import Limits, Queries
from cloud_hub.lake.schema import PARTITION, SCHEMA, TABLE
from cloud_hub.lake.table import LakeTable, Size
from cloud_hub.lake.views import ColumnView, QueryRequest, QueryView, TableView


class LakeService:
    """Thread-safe."""

    def __init__(self, location: Location, limits: Limits | None = None) -> None:
        self._location = location
        # A handle of our own: the ingest's must stay at the version in which it read its marks.
        self._table = LakeTable(location, SCHEMA, PARTITION)
        self._lock = threading.Lock()
        self._queries = Queries(limits)

    def query(self, request: QueryRequest) -> QueryView:
        """The answer to one SELECT. Raises `QueryWrong`, `QueryTimeout`, `QueriesBusy` or `LakeUnavailable`."""
        result = self._queries.run(request.sql, {TABLE: self._dataset()}, request.limit)
        return QueryView(
            columns=[ColumnView(name=name, type=kind) for name, kind in result.columns],
            rows=[list(row) for row in result.rows],
            truncated=result.truncated,
        )

    def tables(self) -> list[TableView]:
        """The lake's tables. Raises `LakeUnavailable`."""
        described = self._queries.run(f"DESCRIBE {TABLE}", {TABLE: self._dataset()}, len(SCHEMA))
        size = self._size()
        return [
            TableView(
                name=TABLE,
                location=self._location.uri,
                version=size.version,
                rows=size.rows,
                files=size.files,
                size_bytes=size.size_bytes,
                partitioned_by=[PARTITION],
                columns=[ColumnView(name=name, type=kind) for name, kind, *_ in described.rows],
            )
        ]

    def _dataset(self) -> ds.Dataset:
        with self._lock:
            return self._table.dataset()

    def _size(self) -> Size:
        with self._lock:
            return self._table.size()
