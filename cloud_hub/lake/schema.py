"""The table `windows`: its columns, and windows as rows of it. Readers of the open table rely on these names."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from fleet_contract.histogram import latency_quantile
from fleet_contract.telemetry import Window

TABLE = "windows"
PARTITION = "day"

_count = pa.int64()
_time = pa.timestamp("us", tz="UTC")
_labelled = pa.map_(pa.string(), _count)
_text = pa.map_(pa.string(), pa.string())

SCHEMA = pa.schema(
    [
        pa.field("device", pa.string(), nullable=False),
        pa.field("boot", pa.string(), nullable=False),
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("fleet", pa.string(), nullable=False),
        pa.field("target", pa.string()),
        pa.field("labels", _text),
        pa.field("model", pa.string(), nullable=False),
        pa.field("version", pa.int32(), nullable=False),
        pa.field("digest", pa.string(), nullable=False),
        pa.field("started_at", _time, nullable=False),
        pa.field("ended_at", _time, nullable=False),
        pa.field("ingested_at", _time, nullable=False),
        pa.field("count", _count, nullable=False),
        pa.field("errors", _count, nullable=False),
        pa.field("latency", pa.map_(pa.int32(), _count)),
        pa.field("latency_p50_us", pa.float64()),
        pa.field("latency_p95_us", pa.float64()),
        pa.field("latency_p99_us", pa.float64()),
        pa.field("predictions", _labelled),
        pa.field("confidence", pa.list_(_count)),
        pa.field("features", pa.map_(pa.string(), pa.list_(_count))),
        pa.field("error_codes", _labelled),
        pa.field(PARTITION, pa.date32(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Origin:
    """What the hub knew of a device when a window came: target and labels; nothing of a device that never joined."""

    target: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A window and where it comes from."""

    fleet: str
    device: str
    boot: str
    origin: Origin
    window: Window


def rows_table(rows: Iterable[Row], ingested_at: datetime) -> pa.Table:
    """`rows` as a table of `SCHEMA`, all of the ingest day of `ingested_at`."""
    records = [_record(row) for row in rows]
    day = ingested_at.astimezone(UTC).date()
    constant = {"ingested_at": ingested_at, PARTITION: day}
    columns = [
        pa.array(
            [constant[field.name]] * len(records) if field.name in constant else [one[field.name] for one in records],
            field.type,
        )
        for field in SCHEMA
    ]
    return pa.table(columns, schema=SCHEMA)


def _record(row: Row) -> dict[str, Any]:
    window = row.window
    return {
        "device": row.device,
        "boot": row.boot,
        "sequence": window.sequence,
        "fleet": row.fleet,
        "target": row.origin.target,
        "labels": list(row.origin.labels.items()),
        "model": window.model,
        "version": window.version,
        "digest": window.digest,
        # An int64 of microseconds is exact; a float of seconds would not be.
        "started_at": window.started_at_ms * 1000,
        "ended_at": window.ended_at_ms * 1000,
        "count": window.count,
        "errors": window.errors,
        "latency": list(window.latency.items()),
        "latency_p50_us": latency_quantile(window.latency, 0.5),
        "latency_p95_us": latency_quantile(window.latency, 0.95),
        "latency_p99_us": latency_quantile(window.latency, 0.99),
        "predictions": list(window.predictions.items()),
        "confidence": list(window.confidence),
        "features": list(window.features.items()),
        "error_codes": list(window.error_codes.items()),
    }
