"""What the lake's API takes and shows."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

MAX_ROWS = 10_000


class QueryRequest(BaseModel):
    """One SELECT over the lake's tables, in DuckDB's SQL."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sql: str = Field(min_length=1, max_length=20_000)
    limit: int = Field(default=1000, ge=1, le=MAX_ROWS)


class ColumnView(BaseModel):
    """A column and its SQL type."""

    model_config = ConfigDict(frozen=True)

    name: str
    type: str


class QueryView(BaseModel):
    """A query's answer; `truncated` says that there were more rows than asked for."""

    model_config = ConfigDict(frozen=True)

    columns: list[ColumnView]
    rows: list[list[Any]]
    truncated: bool


class TableView(BaseModel):
    """A table: where any reader of Delta tables finds it, what it holds, and at which version that is."""

    model_config = ConfigDict(frozen=True)

    name: str
    location: str
    version: int
    rows: int
    files: int
    size_bytes: int
    partitioned_by: list[str]
    columns: list[ColumnView]
