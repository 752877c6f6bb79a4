"""The table `windows`: its columns, and windows as rows of it. Readers of the open table rely on these names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate, chain
from typing import Any

import pyarrow as pa

from fleet_contract.histogram import latency_quantile
from fleet_contract.telemetry import Window

TABLE = "windows"
PARTITION = "day"

_count = pa.int64()
time_type = pa.timestamp("us", tz="UTC")
_labelled = pa.map_(pa.string(), _count)
text_map = pa.map_(pa.string(), pa.string())
_buckets = pa.map_(pa.int32(), _count)
_features = pa.map_(pa.string(), pa.list_(_count))

SCHEMA = pa.schema(
    [
        pa.field("device", pa.string(), nullable=False),
        pa.field("boot", pa.string(), nullable=False),
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("fleet", pa.string(), nullable=False),
        pa.field("target", pa.string()),
        pa.field("labels", text_map),
        pa.field("model", pa.string(), nullable=False),
        pa.field("version", pa.int32(), nullable=False),
        pa.field("digest", pa.string(), nullable=False),
        pa.field("started_at", time_type, nullable=False),
        pa.field("ended_at", time_type, nullable=False),
        pa.field("ingested_at", time_type, nullable=False),
        pa.field("count", _count, nullable=False),
        pa.field("errors", _count, nullable=False),
        pa.field("latency", _buckets),
        pa.field("latency_p50_us", pa.float64()),
        pa.field("latency_p95_us", pa.float64()),
        pa.field("latency_p99_us", pa.float64()),
        pa.field("predictions", _labelled),
        pa.field("confidence", pa.list_(_count)),
        pa.field("features", _features),
        pa.field("error_codes", _labelled),
        pa.field(PARTITION, pa.date32(), nullable=False),
        # What came later stands last and may be null: so it does in a table that was made before.
        pa.field("slot", pa.string()),
        pa.field("compared", _count),
        pa.field("agreed", _count),
        pa.field("memory_bytes", _count),
        pa.field("temperature_c", pa.float64()),
        pa.field("labelled", _count),
        pa.field("correct", _count),
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


def rows_table(rows: Sequence[Row], ingested_at: datetime) -> pa.Table:
    """`rows` as a table of `SCHEMA`, all of the ingest day of `ingested_at`."""
    windows = [row.window for row in rows]
    quantiles = [_quantiles(window.latency) for window in windows]
    columns: dict[str, Any] = {
        "device": [row.device for row in rows],
        "boot": [row.boot for row in rows],
        "sequence": [window.sequence for window in windows],
        "fleet": [row.fleet for row in rows],
        "target": [row.origin.target for row in rows],
        "labels": maps([row.origin.labels for row in rows], text_map),
        "model": [window.model for window in windows],
        "version": [window.version for window in windows],
        "digest": [window.digest for window in windows],
        "started_at": [window.started_at_ms * 1000 for window in windows],
        "ended_at": [window.ended_at_ms * 1000 for window in windows],
        "ingested_at": pa.repeat(pa.scalar(ingested_at, time_type), len(rows)),
        "count": [window.count for window in windows],
        "errors": [window.errors for window in windows],
        "latency": maps([window.latency for window in windows], _buckets),
        "latency_p50_us": [p50 for p50, _, _ in quantiles],
        "latency_p95_us": [p95 for _, p95, _ in quantiles],
        "latency_p99_us": [p99 for _, _, p99 in quantiles],
        "predictions": maps([window.predictions for window in windows], _labelled),
        "confidence": [window.confidence for window in windows],
        "features": maps([window.features for window in windows], _features),
        "error_codes": maps([window.error_codes for window in windows], _labelled),
        PARTITION: pa.repeat(pa.scalar(ingested_at.astimezone(UTC).date(), pa.date32()), len(rows)),
        "slot": [window.slot for window in windows],
        "compared": [window.compared for window in windows],
        "agreed": [window.agreed for window in windows],
        # 0 is "nobody knows", which an average must not take for a size.
        "memory_bytes": [window.memory_bytes or None for window in windows],
        "temperature_c": [window.temperature_c for window in windows],
        "labelled": [window.labelled for window in windows],
        "correct": [window.correct for window in windows],
    }
    return pa.table(
        [
            pa.array(column, field.type) if isinstance(column := columns[field.name], list) else column
            for field in SCHEMA
        ],
        schema=SCHEMA,
    )


def maps(values: Sequence[Mapping[Any, Any]], kind: pa.MapType) -> pa.MapArray:
    """A column of dictionaries."""
    # Some five times as fast as handing pyarrow a list of pairs for each row.
    offsets = pa.array(accumulate((len(one) for one in values), initial=0), pa.int32())
    keys = pa.array(list(chain.from_iterable(values)), kind.key_type)
    items = pa.array(list(chain.from_iterable(one.values() for one in values)), kind.item_type)
    return pa.MapArray.from_arrays(offsets, keys, items, type=kind)


def _quantiles(latency: Mapping[int, int]) -> tuple[float | None, float | None, float | None]:
    return latency_quantile(latency, 0.5), latency_quantile(latency, 0.95), latency_quantile(latency, 0.99)
