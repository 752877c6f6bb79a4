"""Writes what a device should run: the order, signed and numbered, and what it is offered with it."""

import logging
import threading
from datetime import datetime, timedelta
from functools import lru_cache

from cloud_hub.blobs.store import Blobs
from cloud_hub.database import Database
from cloud_hub.errors import NotFound
from cloud_hub.releases import store as releases
from cloud_hub.releases.tables import Artifact
from cloud_hub.rollouts.moves import Move, same
from cloud_hub.rollouts.offers import Written
from cloud_hub.rollouts.outcomes import Outcome
from cloud_hub.rollouts.pinned import is_pin
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.tables import Offer, Order
from cloud_hub.rollouts.wanted import Claim, Place
from fleet_contract.because import Because
from fleet_contract.desired import SHADOW_SLOT, Assignment, Desired, sign_desired
from fleet_contract.encoding import MAX_MESSAGE_BYTES, decode, encode
from fleet_contract.signing import PrivateKey, Signed
from fleet_contract.window import MaintenanceWindow

logger = logging.getLogger(__name__)

#: How long an order may be followed. It is renewed at half of that, so a device may be away for the other half.
VALID = timedelta(days=7)


class Writer:
    """Thread-safe. `hub_key` signs desired states."""

    def __init__(self, database: Database, blobs: Blobs, hub_key: PrivateKey) -> None:
        self._database = database
        self._blobs = blobs
        self._hub_key = hub_key
        self._lock = threading.Lock()
        self._too_large: dict[str, Because] = {}
        self._artifact = lru_cache(maxsize=1024)(self._read_artifact)

    def troubles(self) -> list[Because]:
        """What keeps devices from being ordered what they should be."""
        with self._lock:
            return list(self._too_large.values())

    def written(self, move: Move, now: datetime, silent_before: datetime) -> Written | None:
        """What `move` makes of a device's order and offers. None where it cannot be told so: it keeps its order."""
        standing, device = move.standing, move.standing.device
        if any(not self._has_artifact(claim, device.target) for claim in move.claims.values()):
            # It joined again on other hardware while nothing may move: what it was told cannot be told anew.
            return None
        generation = max(standing.order.generation if standing.order else 0, standing.reported) + 1
        expires_at = now + VALID
        outcome = Outcome.AWAITED if standing.connected(silent_before) else Outcome.UNHEARD
        assignments, given = [], []
        for place, claim in sorted(move.claims.items()):
            offer = _offer(move, place, generation, outcome, now)
            assignments.append(self._assignment(claim, offer, device.target, expires_at))
            if offer.generation == generation:
                given.append(offer)
        desired = Desired(standing.fleet, device.id, generation, now, expires_at, tuple(assignments))
        signed = encode(sign_desired(desired, self._hub_key))
        if not self._fits(device.id, signed):
            return None
        order = Order(device=device.id, generation=generation, issued_at=now, expires_at=expires_at, signed=signed)
        return Written(standing.fleet, order, given, standing.offers.keys() - move.claims.keys())

    def _assignment(self, claim: Claim, offer: Offer, target: str, expires_at: datetime) -> Assignment:
        artifact, manifest = self._artifact(claim.model, claim.version, target)
        return Assignment(
            model=claim.model,
            slot=claim.slot,
            version=claim.version,
            manifest=manifest,
            artifact_url=self._blobs.url(artifact.digest, expires_at),
            golden_url=self._blobs.url(artifact.golden_digest, expires_at),
            because=_because(claim),
            rollout=claim.rollout,
            retry=offer.retry,
            # What undoes is never kept waiting.
            window=None if offer.undoes else _window(claim.policy),
        )

    def _fits(self, device: str, signed: bytes) -> bool:
        with self._lock:
            self._too_large.pop(device, None)
            if len(signed) <= MAX_MESSAGE_BYTES:
                return True
            self._too_large[device] = Because(
                "order-too-large",
                f"What device {device} should run takes {len(signed):,} bytes to say, and a message has at most "
                f"{MAX_MESSAGE_BYTES:,}: it keeps its order. Roll out fewer models to it.",
            )
        logger.error("%s", self._too_large[device])
        return False

    def _has_artifact(self, claim: Claim, target: str) -> bool:
        try:
            artifact, _ = self._artifact(claim.model, claim.version, target)
        except NotFound:
            return False
        return artifact.digest == claim.artifacts[target]

    def _read_artifact(self, model: str, version: int, target: str) -> tuple[Artifact, Signed]:
        with self._database.reading() as session:
            artifact = releases.artifact(session, model, version, target)
        return artifact, decode(artifact.signed.encode(), Signed)


def _offer(move: Move, place: Place, generation: int, outcome: Outcome, now: datetime) -> Offer:
    """What a device is offered in `place` from now on: what it was, where that is the same and not tried again."""
    claim, standing = move.claims[place], move.standing
    before = standing.offers.get(place)
    again = before if before is not None and same(before, claim, standing.device.target) else None
    if again is not None and place != move.retry:
        return again
    return Offer(
        device=standing.device.id,
        model=claim.model,
        slot=claim.slot,
        version=claim.version,
        digest=claim.artifacts[standing.device.target],
        rollout=claim.rollout,
        wave=claim.wave,
        generation=generation,
        before=_before(move, place),
        # As a generation it rises for ever, whatever is offered in between.
        retry=generation if place == move.retry else 0,
        tries=(again.tries if again else 0) + (move.by_hub and place == move.retry),
        # It does not become a new order by being said again.
        undoes=again.undoes if again else claim.rollout in standing.followed.get(place, ()),
        outcome=outcome.value,
        offered_at=now,
    )


def _before(move: Move, place: Place) -> list[str]:
    followed = move.standing.followed.get(place, ())
    claim = move.claims[place]
    if claim.rollout in followed:
        # It goes back to that one, or stays there.
        followed = followed[followed.index(claim.rollout) + 1 :]
    in_force = {claim.rollout for claim in move.all_claims}
    return [rollout for rollout in followed if rollout in in_force]


def _window(policy: Policy) -> MaintenanceWindow | None:
    asked = policy.window
    return None if asked is None else MaintenanceWindow(asked.days, asked.start, asked.end)


def _because(claim: Claim) -> Because:
    if is_pin(claim.rollout):
        sentence = f"This device is pinned to version {claim.version} of {claim.model} ({claim.rollout})."
        return Because("pinned", sentence)
    shadow = " as a shadow" if claim.slot == SHADOW_SLOT else ""
    sentence = (
        f"Rollout {claim.rollout} offers version {claim.version} of {claim.model}{shadow} to this device, which is "
        f"among the {claim.wave + 1}. wave."
    )
    return Because("rollout-offers", sentence)
