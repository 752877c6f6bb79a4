"""Telemetry as the hub keeps it for a while: windows for gates, slices of the fleet for charts.

The lake has all of it for good. Histograms are JSON text that `store.py` reads with msgspec, some 20 times faster
than a JSON column would be.
"""

from datetime import datetime

from sqlalchemy import BigInteger, Index, Integer, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from cloud_hub.database import UtcDateTime


class TelemetryWindow(SQLModel, table=True):
    """One window of one device; (device, boot, sequence) names it. `number` rises with every window that comes in."""

    __tablename__ = "windows"
    __table_args__ = (
        UniqueConstraint("device", "boot", "sequence", name="uq_windows_device_boot_sequence"),
        Index("ix_windows_model_number", "model", "number"),
        Index("ix_windows_device_started", "device", "started_at_ms"),
    )

    number: int | None = Field(
        default=None,
        primary_key=True,
        sa_type=BigInteger().with_variant(Integer, "sqlite"),
    )
    device: str
    boot: str
    sequence: int = Field(sa_type=BigInteger)
    model: str
    slot: str = "default"
    version: int
    digest: str
    started_at_ms: int = Field(sa_type=BigInteger)
    ended_at_ms: int = Field(sa_type=BigInteger)
    ingested_at: datetime = Field(sa_type=UtcDateTime, index=True)
    records: int = Field(sa_type=BigInteger)
    """Answered; `errors` are not among them."""
    errors: int = Field(sa_type=BigInteger)
    latency: str = Field(sa_type=Text)
    predictions: str = Field(sa_type=Text)
    confidence: str = Field(sa_type=Text)
    error_codes: str = Field(sa_type=Text)
    compared: int = Field(default=0, sa_type=BigInteger)
    """Of a shadow: records whose label was compared with the live version's; of those, as many `agreed`."""
    agreed: int = Field(default=0, sa_type=BigInteger)
    features: str = Field(default="{}", sa_type=Text)
    memory_bytes: int = Field(default=0, sa_type=BigInteger)
    """The agent's peak in the window; 0 where nobody knows."""
    temperature_c: float | None = None
    """Of the hottest sensor; null on a device that has none."""
    labelled: int = Field(default=0, sa_type=BigInteger)
    """Records whose true label is known; of those, as many were `correct`."""
    correct: int = Field(default=0, sa_type=BigInteger)


class TelemetrySlice(SQLModel, table=True):
    """What all devices together answered with one version in `store.SLICE_SECONDS` seconds from `started_at_ms` on.
    Shadows answer nobody."""

    __tablename__ = "window_slices"

    model: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    started_at_ms: int = Field(primary_key=True, sa_type=BigInteger, index=True)
    records: int = Field(sa_type=BigInteger)
    errors: int = Field(sa_type=BigInteger)
    latency: str = Field(sa_type=Text)
    predictions: str = Field(sa_type=Text)


class LabelReport(SQLModel, table=True):
    """A request that brought late labels, by its idempotency key; what it said is in `windows`."""

    __tablename__ = "label_reports"

    key: str = Field(primary_key=True)
    model: str
    digest: str
    """SHA-256 of its content."""
    rows: int
    by: str
    received_at: datetime = Field(sa_type=UtcDateTime, index=True)
