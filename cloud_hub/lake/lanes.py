"""Where each lane's records go: its table, and how records become rows of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from cloud_hub.lake.events import EVENTS_SCHEMA, EVENTS_TABLE, event_rows
from cloud_hub.lake.ledger import Ledger
from cloud_hub.lake.location import Location
from cloud_hub.lake.marks import Boot
from cloud_hub.lake.rows import PARTITION, Origin, Row
from cloud_hub.lake.samples import SAMPLES_SCHEMA, SAMPLES_TABLE, sample_rows
from cloud_hub.lake.schema import SCHEMA, TABLE, rows_table
from cloud_hub.lake.table import LakeTable
from fleet_contract.telemetry import Event, Lane, Record, Sample, Window
from fleet_contract.topics import Address

#: The name and columns of each lane's table.
TABLES: Mapping[Lane, tuple[str, pa.Schema]] = {
    Lane.WINDOWS: (TABLE, SCHEMA),
    Lane.EVENTS: (EVENTS_TABLE, EVENTS_SCHEMA),
    Lane.SAMPLES: (SAMPLES_TABLE, SAMPLES_SCHEMA),
}


@dataclass(frozen=True)
class Source:
    """Where a record comes from."""

    address: Address
    boot: Boot
    origin: Origin


@dataclass(frozen=True)
class LaneTable:
    """One lane's way into the lake."""

    ledger: Ledger
    rows: Callable[[Sequence[tuple[Source, Record]], datetime], pa.Table]


def lane_tables(windows: Location) -> Mapping[Lane, LaneTable]:
    """All lanes, in order of `Lane`. The other lanes' tables lie beside `windows`."""
    makers = {Lane.WINDOWS: _windows, Lane.EVENTS: _events, Lane.SAMPLES: _samples}
    return {
        lane: LaneTable(Ledger(LakeTable(windows.beside(name), schema, PARTITION)), makers[lane])
        for lane, (name, schema) in TABLES.items()
    }


def began(record: Record) -> datetime:
    """When what `record` tells of began, by its device's clock."""
    at_ms = record.started_at_ms if isinstance(record, Window) else record.at_ms
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _windows(records: Sequence[tuple[Source, Record]], now: datetime) -> pa.Table:
    rows = [Row(of.address.fleet, *of.boot, of.origin, record) for of, record in records if isinstance(record, Window)]
    return rows_table(rows, now)


def _events(records: Sequence[tuple[Source, Record]], now: datetime) -> pa.Table:
    rows = [Row(of.address.fleet, *of.boot, of.origin, record) for of, record in records if isinstance(record, Event)]
    return event_rows(rows, now)


def _samples(records: Sequence[tuple[Source, Record]], now: datetime) -> pa.Table:
    rows = [Row(of.address.fleet, *of.boot, of.origin, record) for of, record in records if isinstance(record, Sample)]
    return sample_rows(rows, now)
