"""Records as rows of their lane's table: what each says of where it comes from, whichever lane it is of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate, chain
from typing import Any, Generic, TypeVar

import pyarrow as pa

from fleet_contract.telemetry import Event, Sample, Window

PARTITION = "day"
time_type = pa.timestamp("us", tz="UTC")
text_map = pa.map_(pa.string(), pa.string())
#: The first columns of each table.
WHENCE = (
    pa.field("device", pa.string(), nullable=False),
    pa.field("boot", pa.string(), nullable=False),
    pa.field("sequence", pa.int64(), nullable=False),
    pa.field("fleet", pa.string(), nullable=False),
    pa.field("target", pa.string()),
    pa.field("labels", text_map),
)

R = TypeVar("R", Window, Event, Sample)


@dataclass(frozen=True)
class Origin:
    """What the hub knew of a device when a record came: target and labels; nothing of a device that never joined."""

    target: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row(Generic[R]):
    """A record and where it comes from."""

    fleet: str
    device: str
    boot: str
    origin: Origin
    record: R


def table_of(schema: pa.Schema, rows: Sequence[Row[R]], ingested_at: datetime, columns: Mapping[str, Any]) -> pa.Table:
    """`rows` as a table of `schema`, all of the ingest day of `ingested_at`. `columns` are those of the lane alone."""
    all_columns: dict[str, Any] = {
        "device": [row.device for row in rows],
        "boot": [row.boot for row in rows],
        "sequence": [row.record.sequence for row in rows],
        "fleet": [row.fleet for row in rows],
        "target": [row.origin.target for row in rows],
        "labels": maps([row.origin.labels for row in rows], text_map),
        "ingested_at": pa.repeat(pa.scalar(ingested_at, time_type), len(rows)),
        PARTITION: pa.repeat(pa.scalar(ingested_at.astimezone(UTC).date(), pa.date32()), len(rows)),
        **columns,
    }
    return pa.table(
        [
            pa.array(column, field.type) if isinstance(column := all_columns[field.name], list) else column
            for field in schema
        ],
        schema=schema,
    )


def maps(values: Sequence[Mapping[Any, Any]], kind: pa.MapType) -> pa.MapArray:
    """A column of dictionaries."""
    # Some five times as fast as handing pyarrow a list of pairs for each row.
    offsets = pa.array(accumulate((len(one) for one in values), initial=0), pa.int32())
    keys = pa.array(list(chain.from_iterable(values)), kind.key_type)
    items = pa.array(list(chain.from_iterable(one.values() for one in values)), kind.item_type)
    return pa.MapArray.from_arrays(offsets, keys, items, type=kind)
