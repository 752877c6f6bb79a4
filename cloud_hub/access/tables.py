"""Join tokens as they are stored, never the secret itself; the audit; and requests that are done once."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON
from sqlmodel import Field, SQLModel

from cloud_hub.database import UtcDateTime


class JoinTokenRow(SQLModel, table=True):
    """One join token. Once `key` is set it is used up, for every key but that one."""

    __tablename__ = "join_tokens"

    secret_hash: str = Field(primary_key=True)
    """SHA-256 of the secret, in hexadecimal; the secret has 256 random bits, so no salt is needed."""
    device: str | None = None
    target: str | None = None
    labels: dict[str, str] = Field(default_factory=dict, sa_type=JSON)
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime, index=True)
    used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    key: str | None = None
    answer: str | None = None
    """The signed identity that was given, in JSON: given again when the first answer was lost."""


class AuditRow(SQLModel, table=True):
    """One write that was done. Never changed, and deleted when it was kept long enough."""

    __tablename__ = "audit"

    number: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(sa_type=UtcDateTime)
    by: str = Field(index=True)
    method: str
    path: str
    status: int
    body: str | None = None
    """What was asked for, cut where it is long; None for what is no text."""


class KeyedRequest(SQLModel, table=True):
    """A request that its caller named, and what was done for it."""

    __tablename__ = "keyed_requests"

    key: str = Field(primary_key=True)
    digest: str
    """SHA-256 of what it asked for, in hexadecimal."""
    done: dict[str, Any] = Field(sa_type=JSON)
    at: datetime = Field(sa_type=UtcDateTime, index=True)
