"""Rollouts, decisions, offers and orders as they are stored."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, LargeBinary
from sqlmodel import Field, SQLModel

from cloud_hub.database import UtcDateTime


class RolloutRow(SQLModel, table=True):
    """One rollout. `revision` rises with every decision that changes it, and guards each write."""

    __tablename__ = "rollouts"
    __table_args__ = (
        Index("ix_rollouts_model_number", "model", "number"),
        Index("ix_rollouts_manifest", "manifest", "manifest_generation", unique=True),
    )

    number: int | None = Field(default=None, primary_key=True)
    """Rises with every rollout of this hub: of two of one model, the higher is the newer."""
    id: str = Field(unique=True)
    model: str = Field(foreign_key="models.name")
    slot: str = "default"
    """What the version is for: to answer ("default"), or to run beside what answers and be compared ("shadow")."""
    version: int
    salt: str
    state: str = Field(index=True)
    wave: int = -1
    """The newest wave that is open, from 0; -1 before the first."""
    exposed: int = Field(default=0, sa_type=BigInteger)
    """How many waves are open to devices: who stands below the line of the last of them is offered the version."""
    lines: list[dict[str, Any]] = Field(default_factory=list, sa_type=JSON)
    """The waves' lines (`waves.Line`), once there was a device to draw them for."""
    owed: bool = Field(default=False, index=True)
    """The exposure has changed, and perhaps not every order yet."""
    held: dict[str, int] = Field(default_factory=dict, sa_type=JSON)
    """Exposed devices that have no order yet, by what they wait for (`admission.Held`)."""
    approved: int = 0
    """So many waves have been approved by a person, where the policy asks for it."""
    aborted: bool = False
    in_force: bool = Field(default=True, index=True)
    """False once nothing can depend on it: it exposes nobody, or a newer one has taken all of its devices."""
    wave_started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    soaking_since: datetime | None = Field(default=None, sa_type=UtcDateTime)
    rate_lifted: bool = False
    """Its rate holds nobody now: every gate is passed."""
    asked: list[str] = Field(default_factory=list, sa_type=JSON)
    """What only a person can answer of the open wave: names of gates, or "success"."""
    accepted: list[str] = Field(default_factory=list, sa_type=JSON)
    """What of that a person has approved as it is."""
    because_code: str
    because_sentence: str
    cause: dict[str, str] | None = Field(default=None, sa_type=JSON)
    """Why it was stopped, aborted or reverted, once it is: a code and a sentence."""
    policy: dict[str, Any] = Field(sa_type=JSON)
    cohorts: dict[str, str] = Field(default_factory=dict, sa_type=JSON)
    """What the cohorts that its policy refers to said when it was created."""
    seen: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    """The counts, evidence and gates that were looked at last."""
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    revision: int = 1
    created_by: str
    manifest: str | None = None
    """The name of the manifest that it was made from, or None. Of one name, the highest generation is the newest."""
    manifest_generation: int | None = None
    request_key: str | None = Field(default=None, unique=True, index=True)
    """What the caller named the request by, to send it again without starting a second rollout."""
    request_digest: str | None = None


class DecisionRow(SQLModel, table=True):
    """One decision on a rollout, with all that it rested on. Never changed."""

    __tablename__ = "decisions"

    rollout: str = Field(primary_key=True, foreign_key="rollouts.id")
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    at: datetime = Field(sa_type=UtcDateTime, index=True)
    state: str
    wave: int
    because_code: str
    because_sentence: str
    made_by: str | None = None
    """Who made it; None for the hub itself."""
    evidence: dict[str, Any] = Field(sa_type=JSON)


class GateReading(SQLModel, table=True):
    """What the gates of one rollout said at one look. `slot` counts periods since it was created (`readings.py`)."""

    __tablename__ = "gate_readings"

    rollout: str = Field(primary_key=True, foreign_key="rollouts.id")
    slot: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    at: datetime = Field(sa_type=UtcDateTime)
    gates: list[dict[str, Any]] = Field(sa_type=JSON)


class DevicePast(SQLModel, table=True):
    """What one of the devices that are weighed did before a rollout that is not over: a `Tally`, as MessagePack."""

    __tablename__ = "device_pasts"

    rollout: str = Field(primary_key=True, foreign_key="rollouts.id")
    device: str = Field(primary_key=True)
    tally: bytes = Field(sa_type=LargeBinary)


class Offer(SQLModel, table=True):
    """What one device should run in one slot of one model, since which generation, and which wave of which rollout
    says so."""

    __tablename__ = "offers"
    __table_args__ = (
        # With these alone a rollout's devices are counted.
        Index("ix_offers_progress", "rollout", "outcome", "wave", "tries", "offered_at"),
        Index("ix_offers_model", "model"),
    )

    device: str = Field(primary_key=True, foreign_key="devices.id", ondelete="CASCADE")
    model: str = Field(primary_key=True)
    slot: str = Field(default="default", primary_key=True)
    version: int
    digest: str
    rollout: str
    wave: int
    generation: int
    before: list[str] = Field(default_factory=list, sa_type=JSON)
    """The rollouts that it followed before, the newest first, as far as they could be followed again."""
    retry: int = 0
    """The generation in which an operator last asked to try again what the device rejected; 0 when nobody has."""
    tries: int = 0
    """How often the hub itself has asked for that."""
    undoes: bool = False
    """It is a way back to what the device ran before."""
    outcome: str = "unheard"
    """What became of it, as `outcomes.Outcome`; kept by the transaction that takes reports in."""
    offered_at: datetime = Field(sa_type=UtcDateTime)


class FreezeRow(SQLModel, table=True):
    """One freeze of the whole fleet. It lasts until `until`, unless somebody ended it before."""

    __tablename__ = "freezes"

    id: int | None = Field(default=None, primary_key=True)
    reason: str
    by: str
    since: datetime = Field(sa_type=UtcDateTime)
    until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    ended_by: str | None = None


class PinRow(SQLModel, table=True):
    """A device, or those that a selector means, that rollouts do not move until `until`, unless somebody ends it."""

    __tablename__ = "pins"

    id: str = Field(primary_key=True)
    device: str | None = Field(default=None, foreign_key="devices.id", ondelete="CASCADE", index=True)
    selector: str | None = None
    model: str | None = None
    version: int | None = None
    reason: str
    by: str
    since: datetime = Field(sa_type=UtcDateTime)
    until: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    ended_by: str | None = None
    owed: bool = True
    """It began or ended, and perhaps not all of its devices have been looked at since."""


class Order(SQLModel, table=True):
    """The newest desired state of one device, as it was signed."""

    __tablename__ = "orders"

    device: str = Field(primary_key=True, foreign_key="devices.id", ondelete="CASCADE")
    generation: int
    issued_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime, index=True)
    signed: bytes = Field(sa_type=LargeBinary)
