"""What a desired state asks of this device, once all its signatures have been checked."""

from datetime import UTC, datetime

import msgspec

from edge_agent.core.journal import Order, Refused, key
from edge_agent.store.orders import Kept
from fleet_contract.desired import SLOTS, Assignment, Desired, open_desired
from fleet_contract.encoding import canonical, decode
from fleet_contract.errors import ContractError, ManifestWrong, Undecodable
from fleet_contract.manifest import Manifest, open_manifest
from fleet_contract.report import Release
from fleet_contract.signing import Check, PublicKey, envelope, recognize, verify
from fleet_contract.topics import Address, check_id

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Trust(msgspec.Struct, frozen=True):
    """Who this device is, and whose signatures it follows: the hub's for orders, the release key's for models."""

    address: Address
    target: str
    hub_keys: tuple[PublicKey, ...]
    release_keys: tuple[PublicKey, ...]


class GenerationReused(ContractError):
    """Another content under a generation that this device has accepted."""

    code = "generation-reused"


class SlotUnknown(ContractError):
    """A slot that this agent does not have: it is of an older version than the hub expects."""

    code = "slot-unknown"


class TargetWrong(ContractError):
    """Built for other hardware."""

    code = "target-wrong"


class Accepted(msgspec.Struct, frozen=True):
    """A desired state that this device follows. `payload` is how it came, `text` what was signed, and `wanted` what it
    asks for, by the key of the slot."""

    generation: int
    payload: bytes
    text: bytes
    wanted: dict[str, Order | Refused]
    issued_at: datetime

    @property
    def kept(self) -> Kept:
        """What the next start needs of it."""
        return Kept(self.payload, not any(isinstance(one, Refused) for one in self.wanted.values()))


def accept(payload: bytes, trust: Trust, before: Accepted | None, now: datetime) -> Accepted:
    """The desired state in `payload`, if this device may follow it after `before`.

    An assignment that cannot be followed is `Refused` by itself: it must not keep the others from being followed.
    Raises `ContractError`.
    """
    generation = 0 if before is None else before.generation
    desired = open_desired(payload, trust.hub_keys, trust.address, generation, now)
    text = canonical(envelope(payload).signed)
    if before is not None and desired.generation == before.generation and text != before.text:
        raise GenerationReused(
            f"Desired state {desired.generation} came again with another content.",
            "The hub must count on for a new content.",
        )
    return Accepted(desired.generation, payload, text, _wanted(desired, trust, verify), desired.issued_at)


def recall(kept: Kept, trust: Trust) -> Accepted:
    """What `accept` made of `kept`, however long ago, if its signers are still trusted. Raises `ContractError`.

    Their signatures are not computed again, which would cost a start more than all else that it does with an order:
    whoever can change it where it lies can change the journals beside it. But what was refused is refused again: an
    order is followed although a manifest in it may be forged.
    """
    check = recognize if kept.vouched else verify
    desired = open_desired(kept.payload, trust.hub_keys, trust.address, 0, _LONG_AGO, check)
    text = canonical(envelope(kept.payload).signed)
    return Accepted(desired.generation, kept.payload, text, _wanted(desired, trust, check), desired.issued_at)


def _wanted(desired: Desired, trust: Trust, check: Check) -> dict[str, Order | Refused]:
    wanted: dict[str, Order | Refused] = {}
    for assignment in desired.assignments:
        # It names files on this device.
        check_id(assignment.model, "model name")
        check_id(assignment.slot, "slot name")
        name = key(assignment.model, assignment.slot)
        if name in wanted:
            raise ContractError(f"Desired state {desired.generation} lists {name} twice.", code="model-repeated")
        wanted[name] = _order(assignment, trust, check)
    return wanted


def _order(assignment: Assignment, trust: Trust, check: Check) -> Order | Refused:
    try:
        if assignment.slot not in SLOTS:
            raise SlotUnknown(
                f"This agent has the slots {', '.join(SLOTS)}, and not {assignment.slot!r}.",
                "Bring the agent to the hub's version, or leave this device out.",
            )
        manifest = open_manifest(assignment.manifest, trust.release_keys, check)
        if (manifest.model, manifest.version) != (assignment.model, assignment.version):
            raise ManifestWrong(
                f"The manifest is of {manifest.model} version {manifest.version}, and was assigned as "
                f"{assignment.model} version {assignment.version}.",
                "Register the version again.",
            )
        if manifest.target != trust.target:
            raise TargetWrong(
                f"Version {manifest.version} is built for {manifest.target}, and this device is {trust.target}.",
                "Build the version for this target, or leave this device out of the rollout.",
            )
    except ContractError as error:
        return Refused(Release(assignment.version, _claimed_digest(assignment)), error.because, assignment.rollout)
    return Order(
        manifest,
        assignment.artifact_url,
        assignment.golden_url,
        assignment.because,
        assignment.rollout,
        assignment.retry,
        assignment.window,
    )


def _claimed_digest(assignment: Assignment) -> str:
    """The digest that a manifest which nobody vouches for names: only to be shown."""
    try:
        return decode(assignment.manifest.signed, Manifest).artifact.digest
    except Undecodable:
        return ""
