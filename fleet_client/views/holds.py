"""What keeps rollouts from devices: pins, and a freeze of the whole fleet."""

from datetime import datetime

import msgspec


class Freeze(msgspec.Struct, frozen=True):
    """Whether the whole fleet is frozen; if so, why, by whom, since when and until when."""

    frozen: bool
    revision: int = 0
    reason: str = ""
    by: str = ""
    since: datetime | None = None
    until: datetime | None = None


class Pin(msgspec.Struct, frozen=True):
    """A device, or those that a selector means, that rollouts leave alone until `until`, unless it was ended before."""

    id: str
    reason: str
    by: str
    since: datetime
    until: datetime
    device: str | None = None
    selector: str | None = None
    model: str | None = None
    version: int | None = None
    ended_at: datetime | None = None
    revision: int = 0
