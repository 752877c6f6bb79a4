"""What devices should be told instead of what they were, and who of them must wait for it: read under locks, decided by
`wanted.py`, `pinned.py` and `admission.py`."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlmodel import Session

from cloud_hub.errors import Conflict
from cloud_hub.rollouts import freeze, offers, pins, store
from cloud_hub.rollouts.admission import Held, Limits, Mover, admit, barred, limited
from cloud_hub.rollouts.offers import Standing
from cloud_hub.rollouts.pinned import Pin, under_pins
from cloud_hub.rollouts.tables import Offer
from cloud_hub.rollouts.wanted import Claim, Place, kept, wanted

#: By rollout, what was said of each device that asked it: None, or what it waits for.
Said = Mapping[str, Mapping[str, Held | None]]


class GroupBusy(Conflict):
    """One device more of a group would switch than may."""

    code = "group-busy"


@dataclass(frozen=True)
class Move:
    """What a device should be told instead of what it was."""

    standing: Standing
    claims: dict[Place, Claim]
    all_claims: Sequence[Claim]
    """Of all rollouts that a device can follow."""
    holding: Sequence[Pin] = ()
    retry: Place | None = None
    """What to try again although the device has rejected it; `by_hub` and not by an operator."""
    by_hub: bool = False

    @property
    def device(self) -> str:
        return self.standing.device.id

    @property
    def differs(self) -> bool:
        """Whether it is told anything else than before."""
        target, given = self.standing.device.target, self.standing.offers
        unlike = self.claims.keys() != given.keys()
        return (
            unlike
            or any(not same(given[place], claim, target) for place, claim in self.claims.items())
            or (bool(self.claims) and self.standing.order is None)
        )

    @property
    def asks(self) -> list[Claim]:
        """Those of its claims that may have it wait."""
        followed = self.standing.followed
        return [
            claim
            for place, claim in self.claims.items()
            if claim.running and claim.rollout not in followed.get(place, ()) and limited(claim.policy)
        ]


def same(offer: Offer | None, claim: Claim, target: str) -> bool:
    return offer is not None and (offer.rollout, offer.digest) == (claim.rollout, claim.artifacts[target])


def moves(session: Session, devices: Sequence[str], now: datetime, *, renew: bool, lock: bool) -> list[Move]:
    """Of `devices` those that are not told what they should be; with `renew`, those that are, too."""
    # Devices first, then claims: what is read under the lock is at least as new as what was decided before it.
    found = offers.standings(session, devices, lock=lock)
    claims = store.claims(session)
    frozen, holding = freeze.active(session, now) is not None, pins.active(session, now, devices)
    should = [
        Move(
            standing,
            kept(standing.device, standing.given, claims) if frozen else wants(standing, claims, holding),
            claims,
            holding,
        )
        for standing in found
    ]
    return [move for move in should if renew or move.differs]


def wants(
    standing: Standing, claims: Sequence[Claim], holding: Sequence[Pin], held: Collection[str] = ()
) -> dict[Place, Claim]:
    """What a device should run, by slot of each model, as long as it may not follow the rollouts that are `held`."""
    want = wanted(standing.device, claims, standing.followed, held)
    return under_pins(want, standing.device, standing.given, claims, holding)


def admitted(
    session: Session, asking: Sequence[Move], now: datetime, silent_before: datetime, *, renew: bool
) -> tuple[list[Move], Said]:
    """`asking` without what devices must wait for, and what was said of those that asked."""
    claims = {claim.rollout: claim for move in asking for claim in move.asks}
    if not claims:
        return list(asking), {}
    movers = [
        Mover(
            move.device,
            move.standing.connected(silent_before),
            move.standing.in_flight,
            {claim.rollout for claim in move.asks},
        )
        for move in asking
        if move.asks or move.differs
    ]
    devices = [mover.device for mover in movers]
    # In one order in every hub, for each locks its rollout.
    limits = {rollout: _limits(session, claims[rollout], devices, now) for rollout in sorted(claims)}
    said = admit(movers, limits, now)
    allowed = []
    for move in asking:
        waits = {claims[rollout].place for rollout, of in said.items() if of.get(move.device) is not None}
        # Nor does an older one of the same slot that has no limits have it meanwhile: it would switch twice, and beside
        # another of its group.
        running = (
            claim.rollout
            for claim in move.all_claims
            if claim.running and (limited(claim.policy) or claim.place in waits)
        )
        if not_yet := barred(move.device, said, running):
            without = replace(move, claims=wants(move.standing, move.all_claims, move.holding, not_yet))
            if renew or without.differs:
                allowed.append(without)
        else:
            allowed.append(move)
    return allowed, said


def group_is_full(session: Session, move: Move, now: datetime) -> bool:
    """Whether the device of `move`, in trying again, would switch beside more of its group than may."""
    claim = None if move.retry is None else move.claims.get(move.retry)
    if claim is None or claim.policy.group is None or move.standing.in_flight:
        return False
    label, most = claim.policy.group.label, claim.policy.group.max_in_flight
    # Nobody is let go meanwhile.
    offers.lock_offers(session, claim.rollout)
    # Those that wait for a try themselves would wait for each other.
    policy = claim.policy.model_copy(update={"retries": 0})
    found = offers.groups(session, label, [move.device])
    busy = offers.busy(session, label, set(found.values()), claim.rollout, policy, now)
    return any(count >= most for count in busy.values())


def _limits(session: Session, claim: Claim, devices: Sequence[str], now: datetime) -> Limits:
    flow = offers.flow(session, claim.rollout, claim.policy, now, lock=True)
    groups, busy = dict[str, str](), dict[str, int]()
    if claim.policy.group is not None:
        label = claim.policy.group.label
        groups = offers.groups(session, label, devices)
        busy = offers.busy(session, label, set(groups.values()), claim.rollout, claim.policy, now)
    return Limits(claim.policy, claim.salt, claim.wave_started_at or now, flow, groups, busy)
