"""Join tokens as REST shows them."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class TokenOrder(BaseModel):
    """A token to make: for any device, or for the one that is to be called `device`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str | None = Field(default=None, description="The id that the device gets; made from its key if null")
    labels: dict[str, str] = {}
    target: str | None = Field(default=None, description="Its hardware target; the agent's own finding if null")
    expires_in_seconds: int = Field(default=86400, ge=10, le=30 * 86400)


class TokenView(BaseModel):
    """A token, shown this once."""

    model_config = ConfigDict(frozen=True)

    token: str
    device: str | None
    expires_at: datetime


class AuditView(BaseModel):
    """One write that was done: by whom, by their own account; and what was asked for, cut at 4,000 characters."""

    model_config = ConfigDict(frozen=True)

    number: int
    at: datetime
    by: str
    method: str
    path: str
    status: int
    body: str | None
