"""Devices as they are stored. Phases and presences are plain text: a new one then needs no migration."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, String
from sqlmodel import Field, SQLModel

from cloud_hub.database import UtcDateTime

# Without it None would be stored as the JSON text "null", which IS NULL does not find.
_Json = JSON(none_as_null=True)
# PostgreSQL would sort by the rules of some language; SQLite goes by bytes as it is.
_Bytewise = String().with_variant(String(collation="C"), "postgresql")


class Device(SQLModel, table=True):
    """One device: what joining gave it, and what its newest report said."""

    __tablename__ = "devices"

    id: str = Field(primary_key=True)
    fleet: str
    target: str = Field(index=True)
    key: str
    """Fingerprint of the public key that its newest certificate is for."""
    hostname: str = ""
    agent_version: str = ""
    agent_order: str | None = Field(default=None, sa_type=_Bytewise)
    """What sorts as the agent's version does (`versions.order_of`); None where that is no version."""
    joined_at: datetime = Field(sa_type=UtcDateTime)
    presence: str = Field(default="never", index=True)
    """What it or the broker said last: online, closing, lost; or never. Silence is seen on reading."""
    last_heard_at: datetime | None = Field(default=None, sa_type=UtcDateTime, index=True)
    """The hub's clock when the device itself, not its last will, last spoke: the time it is proven at."""
    boot: str | None = None
    boot_before: str | None = None
    boot_started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    number: int = Field(default=0, sa_type=BigInteger)
    generation: int = 0
    """The generation of the desired state that the device says it follows; 0 for none."""
    refused: dict[str, Any] | None = Field(default=None, sa_type=_Json)
    spool: dict[str, Any] | None = Field(default=None, sa_type=_Json)
    captures: dict[str, Any] | None = Field(default=None, sa_type=_Json)
    troubles: list[dict[str, Any]] = Field(default_factory=list, sa_type=_Json)
    troubled: bool = Field(default=False, index=True)
    """Whether `refused` or `troubles` say something."""
    inventory: dict[str, Any] | None = Field(default=None, sa_type=_Json)


class DeviceLabel(SQLModel, table=True):
    """One label of one device."""

    __tablename__ = "device_labels"
    __table_args__ = (Index("ix_device_labels_key_value", "key", "value"),)

    device: str = Field(primary_key=True, foreign_key="devices.id", ondelete="CASCADE")
    key: str = Field(primary_key=True)
    value: str


class DeviceModel(SQLModel, table=True):
    """One slot of one model on one device, as the device reported it."""

    __tablename__ = "device_models"
    __table_args__ = (
        Index("ix_device_models_model_version", "model", "running_version"),
        Index("ix_device_models_model_wanted", "model", "wanted_version"),
        Index("ix_device_models_rollout_phase", "rollout", "phase"),
    )

    device: str = Field(primary_key=True, foreign_key="devices.id", ondelete="CASCADE")
    model: str = Field(primary_key=True)
    slot: str = Field(default="default", primary_key=True)
    phase: str
    because_code: str
    because_sentence: str
    since: datetime = Field(sa_type=UtcDateTime)
    wanted_version: int | None = None
    wanted_digest: str | None = None
    running_version: int | None = None
    running_digest: str | None = None
    previous_version: int | None = None
    previous_digest: str | None = None
    rollout: str | None = None
    heard_at: datetime = Field(sa_type=UtcDateTime)
    """The hub's clock when the report that says this came."""


class DeviceRun(SQLModel, table=True):
    """What one device ran in one slot of one model, from when to when (None: still), and which rollout put it there,
    if one did."""

    __tablename__ = "device_runs"
    __table_args__ = (
        Index("ix_device_runs_device_since", "device", "since"),
        Index("ix_device_runs_rollout_since", "rollout", "since"),
    )

    id: int | None = Field(default=None, primary_key=True)
    device: str = Field(foreign_key="devices.id", ondelete="CASCADE")
    model: str
    slot: str = "default"
    version: int
    digest: str
    rollout: str | None = None
    since: datetime = Field(sa_type=UtcDateTime)
    until: datetime | None = Field(default=None, sa_type=UtcDateTime, index=True)


class CohortRow(SQLModel, table=True):
    """A saved selector. `revision` rises with every change, and guards each."""

    __tablename__ = "cohorts"

    name: str = Field(primary_key=True)
    selector: str
    revision: int = 1
    changed_by: str
    changed_at: datetime = Field(sa_type=UtcDateTime)


class DeviceEvent(SQLModel, table=True):
    """Something that changed on a device: what its page shows as history."""

    __tablename__ = "device_events"
    __table_args__ = (Index("ix_device_events_device_id", "device", "id"),)

    id: int | None = Field(default=None, primary_key=True)
    device: str = Field(foreign_key="devices.id", ondelete="CASCADE")
    at: datetime = Field(sa_type=UtcDateTime, index=True)
    kind: str
    """joined, presence, phase or refused."""
    model: str | None = None
    slot: str | None = None
    phase: str | None = None
    version: int | None = None
    code: str
    sentence: str
