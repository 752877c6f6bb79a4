"""Reads the lake, beside the ingest that writes it.

Wiring: `LakeService(Location.of(lake_url, TABLE, endpoint_url))`.
"""

import threading

import pyarrow.dataset as ds

from cloud_hub.lake.lanes import TABLES
from cloud_hub.lake.location import Location
from cloud_hub.lake.query import Limits, Queries
from cloud_hub.lake.rows import PARTITION
from cloud_hub.lake.table import LakeTable
from cloud_hub.lake.views import ColumnView, QueryRequest, QueryView, TableView


class LakeService:
    """Thread-safe."""

    def __init__(self, location: Location, limits: Limits | None = None) -> None:
        """`location` is the windows' place; the other tables lie beside it."""
        # Handles of our own: the ingest's must stay at the version in which it read its marks.
        self._tables = {name: LakeTable(location.beside(name), schema, PARTITION) for name, schema in TABLES.values()}
        self._lock = threading.Lock()
        self._queries = Queries(limits)

    def query(self, request: QueryRequest) -> QueryView:
        """The answer to one SELECT. Raises `QueryWrong`, `QueryTimeout`, `QueriesBusy` or `LakeUnavailable`."""
        result = self._queries.run(request.sql, self._datasets(), request.limit)
        return QueryView(
            columns=[ColumnView(name=name, type=kind) for name, kind in result.columns],
            rows=[list(row) for row in result.rows],
            truncated=result.truncated,
        )

    def tables(self) -> list[TableView]:
        """The lake's tables. Raises `LakeUnavailable`."""
        datasets = self._datasets()
        return [self._view(name, table, datasets[name]) for name, table in self._tables.items()]

    def _view(self, name: str, table: LakeTable, dataset: ds.Dataset) -> TableView:
        described = self._queries.run(f"DESCRIBE {name}", {name: dataset}, len(dataset.schema))
        with self._lock:
            size = table.size()
        return TableView(
            name=name,
            location=table.location.uri,
            version=size.version,
            rows=size.rows,
            files=size.files,
            size_bytes=size.size_bytes,
            partitioned_by=[PARTITION],
            columns=[ColumnView(name=name, type=kind) for name, kind, *_ in described.rows],
        )

    def _datasets(self) -> dict[str, ds.Dataset]:
        with self._lock:
            return {name: table.dataset() for name, table in self._tables.items()}
