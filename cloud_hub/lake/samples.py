"""The table `samples`: what inputs devices have kept, and why. Readers of the open table rely on these names.

The inputs themselves are on the device, in the file that `capture` names.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from cloud_hub.lake.rows import PARTITION, WHENCE, Row, table_of, time_type
from fleet_contract.telemetry import Sample

SAMPLES_TABLE = "samples"

SAMPLES_SCHEMA = pa.schema(
    [
        *WHENCE,
        pa.field("captured_at", time_type, nullable=False),
        pa.field("ingested_at", time_type, nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("version", pa.int32(), nullable=False),
        pa.field("digest", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("capture", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("confidence", pa.float64()),
        pa.field("margin", pa.float64()),
        pa.field("beside", pa.string()),
        pa.field("beside_version", pa.int32()),
        pa.field(PARTITION, pa.date32(), nullable=False),
    ]
)


def sample_rows(rows: Sequence[Row[Sample]], ingested_at: datetime) -> pa.Table:
    """`rows` as a table of `SAMPLES_SCHEMA`, all of the ingest day of `ingested_at`. What says nothing is null."""
    samples = [row.record for row in rows]
    columns: dict[str, Any] = {
        "captured_at": [sample.at_ms * 1000 for sample in samples],
        "model": [sample.model for sample in samples],
        "version": [sample.version for sample in samples],
        "digest": [sample.digest for sample in samples],
        "reason": [sample.reason for sample in samples],
        "capture": [sample.capture for sample in samples],
        "size_bytes": [sample.size_bytes for sample in samples],
        "label": [sample.label or None for sample in samples],
        # 0 of no label is no doubt, which whoever looks for doubtful records would take it for.
        "confidence": [sample.confidence if sample.label else None for sample in samples],
        "margin": [sample.margin if sample.label else None for sample in samples],
        "beside": [sample.beside or None for sample in samples],
        "beside_version": [sample.beside_version or None for sample in samples],
    }
    return table_of(SAMPLES_SCHEMA, rows, ingested_at, columns)
