"""What the demo was and what came of it: shown at its end, and as JSON for programs."""

from typing import Any

import msgspec


class Claim(msgspec.Struct, frozen=True):
    """One thing that the story says, whether it is so, and what was found."""

    claim: str
    holds: bool
    found: str


class DeviceLine(msgspec.Struct, frozen=True):
    """What one device ran, and what it has in the lake."""

    device: str
    labels: dict[str, str]
    target: str
    presence: str
    running: int | None
    records: dict[str, int]
    """Version to records."""


class RolloutLine(msgspec.Struct, frozen=True):
    """How one rollout ended, and why."""

    id: str
    version: int
    state: str
    because: str
    sentence: str
    reached: int
    """The most devices that it was ever offered to."""


class Summary(msgspec.Struct, frozen=True):
    """The whole of it. `seconds` is from the start to here."""

    ok: bool
    seconds: float
    hub: str
    data: str
    devices: tuple[DeviceLine, ...]
    rollouts: tuple[RolloutLine, ...]
    sql: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    claims: tuple[Claim, ...]
