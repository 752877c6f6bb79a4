"""The state that the hub wants a device to be in: signed, numbered, for one device, with an expiry."""

from datetime import datetime

import msgspec

from fleet_contract.because import Because
from fleet_contract.bounds import Moment, Number
from fleet_contract.encoding import decode
from fleet_contract.errors import DeviceWrong, Expired, GenerationStale
from fleet_contract.signing import Check, PrivateKey, PublicKey, Signed, envelope, sign, verify
from fleet_contract.topics import Address
from fleet_contract.window import MaintenanceWindow

DEFAULT_SLOT = "default"
SHADOW_SLOT = "shadow"
SLOTS = (DEFAULT_SLOT, SHADOW_SLOT)


class Assignment(msgspec.Struct, frozen=True):
    """One model that the device should run. URLs may be relative to the hub's address, and are good until expiry."""

    model: str
    version: Number
    manifest: Signed
    artifact_url: str
    golden_url: str
    because: Because
    rollout: str | None = None
    slot: str = DEFAULT_SLOT
    """What the model is for: "default" answers, "shadow" is fed the same inputs and compared, and never answers."""
    retry: Number = 0
    """Rises when an operator asks to try again what was rejected here."""
    window: MaintenanceWindow | None = None
    """When the device may switch to it; it fetches, verifies and pre-flights it before. None is at once, and so is
    every way back to what ran before: an order that undoes carries no window."""


class Desired(msgspec.Struct, frozen=True):
    """All that the device should run. A model that is not listed should not run."""

    fleet: str
    device: str
    generation: Number
    issued_at: Moment
    expires_at: Moment
    assignments: tuple[Assignment, ...]


def sign_desired(desired: Desired, hub_key: PrivateKey) -> Signed:
    return sign("desired", desired, hub_key)


def open_desired(
    data: bytes,
    trusted: tuple[PublicKey, ...],
    address: Address,
    generation: int,
    now: datetime,
    check: Check = verify,
) -> Desired:
    """The desired state in `data`, if this device may follow it.

    `generation` is the newest that the device has accepted; the same one again is fine, since a message may be
    repeated. Raises `Undecodable`, `SignatureWrong`, `DeviceWrong`, `GenerationStale` or `Expired`.
    """
    desired = decode(check("desired", envelope(data), trusted), Desired)
    if (desired.fleet, desired.device) != address:
        raise DeviceWrong(
            f"Desired state {desired.generation} is for {desired.fleet}/{desired.device}, and this is "
            f"{address.fleet}/{address.device}."
        )
    if desired.generation < generation:
        raise GenerationStale(
            f"Desired state {desired.generation} is older than {generation}, which this device has accepted."
        )
    if now >= desired.expires_at:
        raise Expired(
            f"Desired state {desired.generation} expired at {desired.expires_at:%Y-%m-%d %H:%M:%S} UTC, and it is "
            f"{now:%Y-%m-%d %H:%M:%S} here.",
            "If that is wrong, set this device's clock.",
        )
    return desired
