"""The table `events`: what changed on devices and why. Readers of the open table rely on these names."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from cloud_hub.lake.rows import PARTITION, WHENCE, Row, table_of, time_type
from fleet_contract.telemetry import Event

EVENTS_TABLE = "events"

EVENTS_SCHEMA = pa.schema(
    [
        *WHENCE,
        pa.field("at", time_type, nullable=False),
        pa.field("ingested_at", time_type, nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("code", pa.string(), nullable=False),
        pa.field("sentence", pa.string(), nullable=False),
        pa.field("model", pa.string()),
        pa.field("slot", pa.string()),
        pa.field("version", pa.int32()),
        pa.field("phase", pa.string()),
        pa.field("rollout", pa.string()),
        pa.field(PARTITION, pa.date32(), nullable=False),
    ]
)


def event_rows(rows: Sequence[Row[Event]], ingested_at: datetime) -> pa.Table:
    """`rows` as a table of `EVENTS_SCHEMA`, all of the ingest day of `ingested_at`. What says nothing is null."""
    events = [row.record for row in rows]
    columns: dict[str, Any] = {
        "at": [event.at_ms * 1000 for event in events],
        "kind": [event.kind for event in events],
        "code": [event.code for event in events],
        "sentence": [event.sentence for event in events],
        "model": [event.model or None for event in events],
        "slot": [event.slot or None for event in events],
        "version": [event.version or None for event in events],
        "phase": [event.phase or None for event in events],
        "rollout": [event.rollout or None for event in events],
    }
    return table_of(EVENTS_SCHEMA, rows, ingested_at, columns)
