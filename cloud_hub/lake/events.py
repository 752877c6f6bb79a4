"""The table `events`: what changed on devices and why. Readers of the open table rely on these names."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from cloud_hub.lake.schema import PARTITION, Origin, maps, text_map, time_type
from fleet_contract.telemetry import Event

EVENTS_TABLE = "events"

EVENTS_SCHEMA = pa.schema(
    [
        pa.field("device", pa.string(), nullable=False),
        pa.field("boot", pa.string(), nullable=False),
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("fleet", pa.string(), nullable=False),
        pa.field("target", pa.string()),
        pa.field("labels", text_map),
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


@dataclass(frozen=True)
class EventRow:
    """An event and where it comes from."""

    fleet: str
    device: str
    boot: str
    origin: Origin
    event: Event


def event_rows(rows: Sequence[EventRow], ingested_at: datetime) -> pa.Table:
    """`rows` as a table of `EVENTS_SCHEMA`, all of the ingest day of `ingested_at`. What says nothing is null."""
    events = [row.event for row in rows]
    columns: dict[str, Any] = {
        "device": [row.device for row in rows],
        "boot": [row.boot for row in rows],
        "sequence": [event.sequence for event in events],
        "fleet": [row.fleet for row in rows],
        "target": [row.origin.target for row in rows],
        "labels": maps([row.origin.labels for row in rows], text_map),
        "at": [event.at_ms * 1000 for event in events],
        "ingested_at": pa.repeat(pa.scalar(ingested_at, time_type), len(rows)),
        "kind": [event.kind for event in events],
        "code": [event.code for event in events],
        "sentence": [event.sentence for event in events],
        "model": [event.model or None for event in events],
        "slot": [event.slot or None for event in events],
        "version": [event.version or None for event in events],
        "phase": [event.phase or None for event in events],
        "rollout": [event.rollout or None for event in events],
        PARTITION: pa.repeat(pa.scalar(ingested_at.astimezone(UTC).date(), pa.date32()), len(rows)),
    }
    return pa.table(
        [
            pa.array(column, field.type) if isinstance(column := columns[field.name], list) else column
            for field in EVENTS_SCHEMA
        ],
        schema=EVENTS_SCHEMA,
    )
