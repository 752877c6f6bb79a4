"""Models, versions and artifacts as they are stored. A version never changes once it is here."""

from datetime import datetime

from sqlalchemy import JSON, BigInteger, ForeignKeyConstraint, Text
from sqlmodel import Field, SQLModel

from cloud_hub.database import UtcDateTime


class Model(SQLModel, table=True):
    """One model by name; `newest` is its highest version."""

    __tablename__ = "models"

    name: str = Field(primary_key=True)
    created_at: datetime = Field(sa_type=UtcDateTime)
    newest: int


class Version(SQLModel, table=True):
    """One version of a model: the same task and labels on every hardware target."""

    __tablename__ = "versions"

    model: str = Field(primary_key=True, foreign_key="models.name")
    version: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    created_at: datetime = Field(sa_type=UtcDateTime)
    notes: str = ""
    task: str
    labels: list[str] = Field(sa_type=JSON)
    content: str
    """SHA-256 of what was registered, by which the same registration again is recognised."""


class Artifact(SQLModel, table=True):
    """What runs on one hardware target, with the manifest that the release key signed."""

    __tablename__ = "artifacts"
    __table_args__ = (ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"]),)

    model: str = Field(primary_key=True)
    version: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    target: str = Field(primary_key=True)
    runtime: str
    digest: str
    size_bytes: int = Field(sa_type=BigInteger)
    golden_digest: str
    accuracy: float
    source_accuracy: float
    golden_agreement: float
    """The share of golden samples, 0 to 1, that the hub's own check found to agree."""
    signed: str = Field(sa_type=Text)
    """The signed manifest, in JSON."""
