"""SQL over the lake for people: read only, one statement, bounded in rows, memory and time.

DuckDB runs it over deltalake's Arrow dataset, in a database of its own that lives for one query and can reach neither
files, network, settings nor this process.
"""

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from cloud_hub.errors import Invalid, Unavailable

_SETTINGS = (
    "SET memory_limit='{memory_mb}MB'",
    "SET threads=2",
    "SET temp_directory=''",
    "SET TimeZone='UTC'",
    "SET enable_external_access=false",
    "SET lock_configuration=true",
)
_MAX_SAFE_INTEGER = 2**53 - 1


class QueryWrong(Invalid):
    """SQL that cannot be run here."""

    code = "query-wrong"


class QueryTimeout(Unavailable):
    """A query that took longer than it may."""

    code = "query-timeout"


class QueriesBusy(Unavailable):
    """As many queries as may run at once do."""

    code = "queries-busy"


@dataclass(frozen=True)
class Limits:
    """What one query may use. `at_once` queries run side by side; others wait for up to `seconds`."""

    seconds: float = 30.0
    memory_mb: int = 512
    at_once: int = 2


@dataclass(frozen=True)
class Result:
    """`columns` are (name, SQL type); values are what JSON can hold. `truncated`: there were more rows."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool


class Queries:
    """Runs queries. Thread-safe."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._places = threading.BoundedSemaphore(self._limits.at_once)

    def run(self, sql: str, tables: Mapping[str, ds.Dataset], limit: int) -> Result:
        """At most `limit` rows of `sql` over `tables`. Raises `QueryWrong`, `QueryTimeout` or `QueriesBusy`."""
        if not self._places.acquire(timeout=self._limits.seconds):
            raise QueriesBusy(
                f"{self._limits.at_once} queries are running, and none has ended in {self._limits.seconds:g} s.",
                "Try again later.",
            )
        try:
            with duckdb.connect(":memory:", config={"python_enable_replacements": "false"}) as connection:
                for name, dataset in tables.items():
                    connection.register(name, dataset)
                for setting in _SETTINGS:
                    connection.execute(setting.format(memory_mb=self._limits.memory_mb))
                return self._bounded(connection, sql, limit)
        finally:
            self._places.release()

    def _bounded(self, connection: Any, sql: str, limit: int) -> Result:
        # An interrupt before the query starts would be lost: after the timer has fired, whatever comes back is late.
        late = threading.Event()

        def interrupt() -> None:
            late.set()
            connection.interrupt()

        timer = threading.Timer(self._limits.seconds, interrupt)
        timer.daemon = True
        timer.start()
        try:
            return _run(connection, sql, limit)
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            if late.is_set():
                raise QueryTimeout(
                    f"The query took longer than {self._limits.seconds:g} s and was stopped.",
                    "Narrow it down, for example with WHERE day = current_date.",
                ) from error
            raise QueryWrong(f"{_said(error)}.", _remedy(error)) from error
        finally:
            timer.cancel()
            timer.join()


def _run(connection: Any, sql: str, limit: int) -> Result:
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise QueryWrong(f"This holds {len(statements)} statements.", "Send exactly one SELECT.")
    if statements[0].type != duckdb.StatementType.SELECT:
        raise QueryWrong(
            f"This is a statement of type {statements[0].type.name}, and the lake is only read here.",
            "Send a SELECT, or WITH ... SELECT.",
        )
    # A relation is evaluated as it is read: what is over the limit is never computed, nor held in memory.
    relation = connection.sql(statements[0])
    columns = tuple((str(name), str(kind)) for name, kind in zip(relation.columns, relation.types, strict=True))
    rows: list[tuple[Any, ...]] = []
    with relation.to_arrow_reader(min(limit + 1, 2048)) as reader:
        for batch in reader:
            values = [
                [_plain(value, field.type) for value in column.to_pylist()]
                for column, field in zip(batch.columns, batch.schema, strict=True)
            ]
            rows.extend(zip(*values, strict=True))
            if len(rows) > limit:
                break
    return Result(columns, tuple(rows[:limit]), len(rows) > limit)


def _plain(value: Any, kind: pa.DataType) -> Any:
    """`value` as JSON can hold it, so that a browser reads the same number."""
    match value:
        case None | bool() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case int():
            return value if abs(value) <= _MAX_SAFE_INTEGER else str(value)
        case Decimal():
            whole = value == value.to_integral_value() and abs(value) <= _MAX_SAFE_INTEGER
            return int(value) if whole else str(value)
        case datetime() | date() | time():
            return value.isoformat()
        case bytes():
            return value.hex()
        case list() if pa.types.is_map(kind):
            return {str(_plain(key, kind.key_type)): _plain(item, kind.item_type) for key, item in value}
        case list():
            return [_plain(item, kind.value_type) for item in value]
        case dict():
            return {name: _plain(item, kind.field(name).type) for name, item in value.items()}
        case _:
            return str(value)


def _said(error: Exception) -> str:
    """What DuckDB says, without the name of its class and the line that it quotes."""
    first = str(error).strip().split("\n\nLINE ", 1)[0].splitlines()
    return (first[0] if first else type(error).__name__).removeprefix("Error: ").rstrip(".")


def _remedy(error: Exception) -> str:
    if isinstance(error, duckdb.OutOfMemoryException):
        return "Aggregate or filter more: a query may use only so much memory."
    return "GET /api/v1/lake/tables lists the tables and their columns."
