"""Names on the wire: device ids, shards and MQTT topics."""

import hashlib
import re
from enum import StrEnum
from typing import NamedTuple

from fleet_contract.errors import ContractError

SHARDS = 64
_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class Channel(StrEnum):
    """The last two levels of a topic: which way, and what."""

    REPORT = "up/report"
    TELEMETRY = "up/telemetry"
    SAMPLES = "up/samples"
    DESIRED = "down/desired"
    ACK = "down/ack"
    COMMAND = "down/command"


class Address(NamedTuple):
    """Whom a topic is about."""

    fleet: str
    device: str


def check_id(text: str, what: str = "device id") -> str:
    """`text` if it may name a device, fleet or model: a DNS label. Raises `ContractError`."""
    if not _ID.fullmatch(text):
        raise ContractError(
            f"{text!r} cannot be a {what}.",
            "Use 1 to 63 lower-case letters, digits and hyphens, not starting or ending with a hyphen.",
            code="id-wrong",
        )
    return text


def shard_of(device: str) -> int:
    """The shard, 0 to 63, that `device` belongs to for ever."""
    return int.from_bytes(hashlib.blake2b(device.encode(), digest_size=8).digest(), "big") % SHARDS


def topic(address: Address, channel: Channel) -> str:
    """The topic of `channel` for one device."""
    return f"v1/{address.fleet}/{shard_of(address.device)}/{address.device}/{channel}"


def parse(text: str) -> tuple[Address, Channel]:
    """The device and channel that a topic names. Raises `ContractError` for any other topic."""
    parts = text.split("/")
    if len(parts) == 6 and parts[0] == "v1":
        _, fleet, shard, device, way, what = parts
        try:
            channel = Channel(f"{way}/{what}")
        except ValueError:
            pass
        else:
            address = Address(check_id(fleet, "fleet"), check_id(device))
            if shard == str(shard_of(device)):
                return address, channel
            raise ContractError(f"Topic {text!r} puts {device!r} in a shard that is not its own.", code="topic-wrong")
    raise ContractError(f"{text!r} is not a topic of this contract.", code="topic-wrong")


def upward(fleet: str, shard: int | None = None) -> str:
    """The filter for everything that devices of `fleet` (in `shard`, or all) send to the hub."""
    return f"v1/{fleet}/{'+' if shard is None else shard}/+/up/#"
