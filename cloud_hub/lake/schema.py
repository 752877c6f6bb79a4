"""The table `windows`: its columns, and windows as rows of it. Readers of the open table rely on these names."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from cloud_hub.lake.rows import PARTITION, WHENCE, Row, maps, table_of, time_type
from fleet_contract.histogram import latency_quantile
from fleet_contract.telemetry import Window

TABLE = "windows"

_count = pa.int64()
_labelled = pa.map_(pa.string(), _count)
_buckets = pa.map_(pa.int32(), _count)
_features = pa.map_(pa.string(), pa.list_(_count))

SCHEMA = pa.schema(
    [
        *WHENCE,
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


def rows_table(rows: Sequence[Row[Window]], ingested_at: datetime) -> pa.Table:
    """`rows` as a table of `SCHEMA`, all of the ingest day of `ingested_at`."""
    windows = [row.record for row in rows]
    quantiles = [_quantiles(window.latency) for window in windows]
    columns: dict[str, Any] = {
        "model": [window.model for window in windows],
        "version": [window.version for window in windows],
        "digest": [window.digest for window in windows],
        "started_at": [window.started_at_ms * 1000 for window in windows],
        "ended_at": [window.ended_at_ms * 1000 for window in windows],
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
        "slot": [window.slot for window in windows],
        "compared": [window.compared for window in windows],
        "agreed": [window.agreed for window in windows],
        # 0 is "nobody knows", which an average must not take for a size.
        "memory_bytes": [window.memory_bytes or None for window in windows],
        "temperature_c": [window.temperature_c for window in windows],
        "labelled": [window.labelled for window in windows],
        "correct": [window.correct for window in windows],
    }
    return table_of(SCHEMA, rows, ingested_at, columns)


def _quantiles(latency: Mapping[int, int]) -> tuple[float | None, float | None, float | None]:
    return latency_quantile(latency, 0.5), latency_quantile(latency, 0.95), latency_quantile(latency, 0.99)
