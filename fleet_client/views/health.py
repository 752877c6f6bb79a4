"""How the hub itself is."""

from datetime import datetime

import msgspec

from fleet_contract.because import Because


class BrokerAddress(msgspec.Struct, frozen=True):
    """Where the devices' MQTT broker listens."""

    host: str
    port: int


class Refusal(msgspec.Struct, frozen=True):
    """A message that the hub could not use; `device` is None when its topic named none."""

    at: datetime
    because: Because
    device: str | None = None


class Health(msgspec.Struct, frozen=True):
    """`status` is "ok", or "degraded" with what is wrong in `troubles`.

    `refused_messages` counts messages of devices that could not be used, by code, since the hub started.
    """

    status: str
    version: str
    troubles: tuple[Because, ...] = ()
    broker: BrokerAddress | None = None
    refused_messages: dict[str, int] = {}
    last_refused: Refusal | None = None
