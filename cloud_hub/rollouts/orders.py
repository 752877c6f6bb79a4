"""Tells each device what it should run: signed, numbered, published, and told again until the device follows it.

What a device should run is derived (`wanted.py`) and compared with what it was ordered; only where the two differ is
there a new order, with a higher generation. So it does not matter who notices a difference, how often, or whether an
earlier attempt was killed half-way. Orders are committed before they are published; a device whose reports name
another generation gets its order again.
"""

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice

from sqlmodel import Session

from cloud_hub.blobs.store import Blobs
from cloud_hub.broker.link import Link
from cloud_hub.database import Database
from cloud_hub.errors import NotFound
from cloud_hub.releases import store as releases
from cloud_hub.releases.tables import Artifact
from cloud_hub.rollouts import freeze, offers, pins, store, turns
from cloud_hub.rollouts.admission import Held, Waiting, admit, limited, room
from cloud_hub.rollouts.engine import AWAY
from cloud_hub.rollouts.offers import Standing, Written
from cloud_hub.rollouts.outcomes import IN_FLIGHT, Outcome
from cloud_hub.rollouts.pinned import PIN, Pin, under_pins
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.queues import Queues
from cloud_hub.rollouts.states import State
from cloud_hub.rollouts.tables import Offer, Order, RolloutRow
from cloud_hub.rollouts.wanted import Claim, Place, kept, wanted
from cloud_hub.rollouts.waves import place as place_of
from fleet_contract.because import Because
from fleet_contract.desired import SHADOW_SLOT, Assignment, Desired, sign_desired
from fleet_contract.encoding import MAX_MESSAGE_BYTES, decode, encode
from fleet_contract.signing import PrivateKey, Signed
from fleet_contract.topics import Address, Channel
from fleet_contract.window import MaintenanceWindow

logger = logging.getLogger(__name__)

#: How long an order may be followed. It is renewed at half of that, so a device may be away for the other half.
VALID = timedelta(days=7)
#: A device is not told the same again within this: it says so several times while it takes up a new order.
TOLD_AGAIN_AFTER = timedelta(seconds=2)
_BATCH = 500
_TOLD_KEPT = 10_000


@dataclass(frozen=True)
class _Change:
    """What a device should be told instead of what it was."""

    standing: Standing
    claims: dict[Place, Claim]
    all_claims: Sequence[Claim]
    """Of all rollouts that a device can follow."""
    holding: Sequence[Pin] = ()
    retry: Place | None = None
    """What to try again although the device has rejected it; `by_hub` and not by an operator."""
    by_hub: bool = False


class Orders:
    """Thread-safe. `now` gives aware UTC datetimes; `hub_key` signs desired states."""

    def __init__(
        self,
        database: Database,
        link: Link,
        blobs: Blobs,
        hub_key: PrivateKey,
        now: Callable[[], datetime],
        *,
        silent_after: timedelta,
    ) -> None:
        self._database = database
        self._link = link
        self._blobs = blobs
        self._hub_key = hub_key
        self._now = now
        self._silent_after = silent_after
        self._queues = Queues()
        self._lock = threading.Lock()
        self._touched: set[str] = set()
        self._heard: dict[str, int] = {}
        self._told: dict[str, tuple[int, datetime]] = {}
        self._too_large: dict[str, Because] = {}
        self._swept_to: str | None = ""
        self._frozen = False
        self._newest_freeze = 0
        self._artifact = lru_cache(maxsize=1024)(self._read_artifact)

    def touch(self, device: str) -> None:
        """What `device` should run may have changed."""
        with self._lock:
            self._touched.add(device)

    def hear(self, device: str, generation: int) -> None:
        """`device` says that it follows `generation`."""
        with self._lock:
            self._heard[device] = generation

    def sweep(self) -> None:
        """From now on every device is looked at once more, a batch at each `work`: what a crash left is found."""
        with self._lock:
            self._swept_to = ""
            self._told.clear()

    def troubles(self) -> list[Because]:
        """What keeps devices from being ordered what they should be."""
        with self._lock:
            return list(self._too_large.values())

    def work(self) -> None:
        """Does all that is owed now, and some of what is not urgent."""
        with self._database.reading() as session:
            frozen, newest = freeze.active(session, self._now()) is not None, freeze.newest(session)
        if not frozen and (self._frozen or newest != self._newest_freeze):
            # What changed meanwhile was looked at, and left.
            self._queues.forget_all()
            self.sweep()
        self._frozen, self._newest_freeze = frozen, newest
        if not frozen:
            self._carry_pins()
            self._carry_out()
            self._retry_rejected()
        with self._lock:
            touched, self._touched = self._touched, set()
            heard, self._heard = self._heard, {}
        for batch in _batches(sorted(touched)):
            self.bring(batch)
        for batch in _batches(sorted(heard)):
            self._answer(batch, heard)
        self._renew()
        self._sweep_on()
        if changed := self._queues.changed():
            with self._database.session() as session:
                for rollout, held in changed.items():
                    store.set_held(session, rollout, held)

    def retry(self, device: str, place: Place, *, by_hub: bool = False) -> Offer | None:
        """Asks `device` to try again what it has rejected. None when it is offered nothing there. Raises
        `FleetFrozen`."""
        with self._database.session() as session:
            turns.ordering(session)
            if by_hub and freeze.active(session, self._now()):
                return None
            freeze.refuse_if_frozen(session, self._now())
            standing = next(iter(offers.standings(session, [device], lock=True)), None)
            if standing is None or place not in standing.offers:
                return None
            if by_hub and standing.offers[place].outcome != Outcome.REJECTED:
                # Another hub was quicker.
                return None
            claims = store.claims(session)
            holding = pins.active(session, self._now(), [device])
            want = _wanted(standing, claims, holding)
            change = _Change(standing, want, claims, holding, place, by_hub)
            # With what it tries again it is told all that it should run: nothing that is to wait comes along.
            (change,), _ = self._admitted(session, [change], renew=True)
            written = self._written(change) if place in change.claims else None
            if written is None:
                return None
            offers.save(session, [written])
        self._tell(Address(written.fleet, device), written.order)
        return next(offer for offer in written.offers if (offer.model, offer.slot) == place)

    def bring(self, devices: Sequence[str], *, renew: bool = False) -> set[str]:
        """Orders `devices` to what they should run, where they are not; with `renew`, where they are, too.

        Gives those that have a new order.
        """
        with self._database.reading() as session:
            if not _changes(session, devices, self._now(), renew, lock=False):
                self._looked_at(devices, {})
                return set()
        held: dict[str, dict[str, Held | None]] = {}
        with self._database.session() as session:
            turns.ordering(session)
            changes = _changes(session, devices, self._now(), renew, lock=True)
            changes, held = self._admitted(session, changes, renew=renew)
            written = [one for one in map(self._written, changes) if one is not None]
            offers.save(session, written)
            for rollout, of in held.items():
                if any(why not in (None, AWAY) for why in of.values()):
                    store.set_owed(session, rollout)
        for rollout, of in held.items():
            self._queues.note(rollout, of)
        self._looked_at(devices, held)
        for one in written:
            self._tell(Address(one.fleet, one.order.device), one.order)
        return {one.order.device for one in written}

    def _looked_at(self, devices: Sequence[str], held: Mapping[str, Mapping[str, Held | None]]) -> None:
        # While nothing may move nobody is asked for anything, and waits all the same.
        if not self._frozen:
            self._queues.look_at(devices, held)

    def _admitted(
        self, session: Session, changes: list[_Change], *, renew: bool
    ) -> tuple[list[_Change], dict[str, dict[str, Held | None]]]:
        """`changes` without what devices must wait for, and of each rollout that has them wait: what for."""
        now = self._now()
        asked: dict[str, tuple[Claim, list[_Change]]] = {}
        for change in changes:
            for place, claim in change.claims.items():
                new = claim.running and claim.rollout not in change.standing.followed.get(place, ())
                if new and limited(claim.policy):
                    asked.setdefault(claim.rollout, (claim, []))[1].append(change)
        held: dict[str, dict[str, Held | None]] = {}
        waits = {change.standing.device.id for _, those in asked.values() for change in those}
        # Who waits for nobody moves for certain, and so does who is let go where no group has a cap: before all others.
        moving = {
            change.standing.device.id: _in_flight(change.standing)
            for change in changes
            if change.standing.device.id not in waits and _differs(change.standing, change.claims)
        }
        for rollout, (claim, those) in sorted(
            asked.items(), key=lambda one: (one[1][0].policy.group is not None, one[0])
        ):
            flow = offers.flow(session, rollout, claim.policy, now, lock=True)
            names = [change.standing.device.id for change in those]
            label = claim.policy.group.label if claim.policy.group else None
            groups, busy = (
                offers.busy(session, label, [*names, *moving], rollout, claim.policy, now) if label else ({}, {})
            )
            for device, counted in moving.items():
                if device in groups and not counted:
                    busy[groups[device]] = busy.get(groups[device], 0) + 1
            waiting = [
                Waiting(
                    change.standing.device.id,
                    self._connected(change.standing, now),
                    groups.get(change.standing.device.id),
                    change.standing.device.id in moving or _in_flight(change.standing),
                )
                for change in those
            ]
            held[rollout] = admit(claim.policy, flow, busy, waiting, claim.salt, claim.wave_started_at or now, now)
            for change in those:
                if held[rollout][change.standing.device.id] is None:
                    moving.setdefault(change.standing.device.id, _in_flight(change.standing))
        if not asked:
            return changes, held
        allowed = []
        for change in changes:
            device = change.standing.device.id
            if any(of.get(device) is not None for of in held.values()):
                # An older one with limits of its own was not asked for this device, and does not let it go either.
                let_go = {rollout for rollout, of in held.items() if device in of and of[device] is None}
                not_yet = [
                    claim.rollout
                    for claim in change.all_claims
                    if claim.running and limited(claim.policy) and claim.rollout not in let_go
                ]
                want = _wanted(change.standing, change.all_claims, change.holding, not_yet)
                if not renew and not _differs(change.standing, want):
                    continue
                allowed.append(replace(change, claims=want))
            else:
                allowed.append(change)
        return allowed, held

    def _connected(self, standing: Standing, now: datetime) -> bool:
        return standing.heard_at is not None and standing.heard_at >= now - self._silent_after

    def _carry_out(self) -> None:
        with self._database.reading() as session:
            owed = store.owed(session)
        for row in owed:
            if limited(store.policy_of(row)) and row.exposed and State(row.state) is State.RUNNING:
                self._let_go(row)
                continue
            with self._database.reading() as session:
                devices = _moved(session, row, self._now())
            for batch in _batches(devices):
                self.bring(batch)
            self._queues.forget(row.id)
            self._carried_out(row, {})

    def _carried_out(self, row: RolloutRow, held: Mapping[str, int]) -> None:
        """Notes that nothing more is owed for `row`, and what devices still wait for."""
        # Only once all are committed: killed before this, the same devices are compared again. So are they when it, or
        # the fleet, stood still while some of them were looked at.
        with self._database.session() as session:
            if freeze.newest(session) != self._newest_freeze:
                return
            store.set_ordered(session, row.id, row.revision)
            if row.held != held:
                store.set_held(session, row.id, held)

    def _let_go(self, row: RolloutRow) -> None:
        """Orders as many of the exposed devices of `row` as may go now; the others stay in its queue."""
        policy, now = store.policy_of(row), self._now()
        queue = self._queues.of(row.id, row.revision)
        if queue is None:
            with self._database.reading() as session:
                queue = self._queues.fill(row.id, row.revision, _moved(session, row, self._now()))
        with self._database.reading() as session:
            left, why = room(policy, offers.flow(session, row.id, policy, now))
        for batch in _batches(queue.waiting()):
            if left is not None and left <= 0:
                queue.hold(batch, why)
                continue
            gone = self.bring(batch)
            queue.settle(batch)
            left = None if left is None else left - len(gone)
        if not queue.waiting():
            # At once: who is away is no longer owed an order, and must not be forgotten by who decides.
            self._carried_out(row, queue.held())

    def _carry_pins(self) -> None:
        now = self._now()
        with self._database.reading() as session:
            owed = [(row, pins.held_by(session, row)) for row in pins.due(session, now)]
        for row, devices in owed:
            for batch in _batches(devices):
                self.bring(batch)
            with self._database.session() as session:
                pins.settle(session, row, now)

    def _retry_rejected(self) -> None:
        with self._database.reading() as session:
            asked = [(row, store.policy_of(row).retries) for row in store.unfinished(session)]
            again = [
                (device, Place(row.model, row.slot))
                for row, retries in asked
                if retries and State(row.state) is State.RUNNING
                for device in offers.to_retry(session, row.id, retries, _BATCH)
            ]
        for device, place in again:
            self.retry(device, place, by_hub=True)

    def _answer(self, devices: Sequence[str], heard: dict[str, int]) -> None:
        with self._database.reading() as session:
            found = offers.standings(session, devices)
        # What they said of their versions may have changed who selects them, and who comes back may be exposed to what
        # it could not be offered while it was away.
        brought = self.bring(devices)
        astray = []
        for standing in found:
            if standing.device.id in brought:
                continue
            order, said = standing.order, heard[standing.device.id]
            if said > (order.generation if order else 0):
                # It follows an order that this database does not know: it was restored from a copy.
                astray.append(standing.device.id)
            elif order is not None and said < order.generation:
                self._tell(Address(standing.fleet, order.device), order)
        if astray:
            self.bring(astray, renew=True)

    def _renew(self) -> None:
        with self._database.reading() as session:
            expiring = offers.expiring_ids(session, self._now() + VALID / 2, _BATCH)
        if expiring:
            self.bring(expiring, renew=True)

    def _sweep_on(self) -> None:
        with self._lock:
            after = self._swept_to
        if after is None:
            return
        if not after:
            # What devices wait for was in the memory of a hub: it is found again.
            with self._database.session() as session:
                store.set_held_owed(session)
        with self._database.reading() as session:
            batch = offers.ids_after(session, after, _BATCH)
            found = offers.standings(session, batch)
        ordered = self.bring(batch)
        for standing in found:
            order = standing.order
            if order is not None and order.device not in ordered and standing.reported != order.generation:
                self._tell(Address(standing.fleet, order.device), order)
        with self._lock:
            if self._swept_to == after:
                self._swept_to = batch[-1] if batch else None

    def _written(self, change: _Change) -> Written | None:
        standing, now = change.standing, self._now()
        device = standing.device
        if any(not self._has_artifact(claim, device.target) for claim in change.claims.values()):
            # It joined again on other hardware while nothing may move: what it was told cannot be told anew.
            return None
        generation = max(standing.order.generation if standing.order else 0, standing.reported) + 1
        expires_at = now + VALID
        assignments, given = [], []
        for place, claim in sorted(change.claims.items()):
            artifact, manifest = self._artifact(place.model, claim.version, device.target)
            before = standing.offers.get(place)
            same = _same(before, claim, device.target)
            # What undoes is never kept waiting, and does not become a new order by being said again.
            followed = standing.followed.get(place, ())
            undoes = before.undoes if before and same else claim.rollout in followed
            # As a generation it rises for ever, whatever is offered in between.
            retry = generation if place == change.retry else before.retry if before and same else 0
            assignments.append(
                Assignment(
                    model=place.model,
                    slot=place.slot,
                    version=claim.version,
                    manifest=manifest,
                    artifact_url=self._blobs.url(artifact.digest, expires_at),
                    golden_url=self._blobs.url(artifact.golden_digest, expires_at),
                    because=_because(claim),
                    rollout=claim.rollout,
                    retry=retry,
                    window=None if undoes else _window(claim.policy),
                )
            )
            if not same or place == change.retry:
                tries = before.tries if before and same else 0
                outcome = Outcome.AWAITED if self._connected(standing, now) else Outcome.UNHEARD
                given.append(
                    Offer(
                        device=device.id,
                        model=claim.model,
                        slot=claim.slot,
                        version=claim.version,
                        digest=artifact.digest,
                        rollout=claim.rollout,
                        wave=claim.wave,
                        generation=generation,
                        before=_before(change, place),
                        retry=retry,
                        tries=tries + change.by_hub,
                        undoes=undoes,
                        outcome=outcome.value,
                        offered_at=now,
                    )
                )
        desired = Desired(standing.fleet, device.id, generation, now, expires_at, tuple(assignments))
        signed = encode(sign_desired(desired, self._hub_key))
        if not self._fits(device.id, signed):
            return None
        order = Order(device=device.id, generation=generation, issued_at=now, expires_at=expires_at, signed=signed)
        return Written(standing.fleet, order, given, standing.offers.keys() - change.claims.keys())

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

    def _tell(self, address: Address, order: Order) -> None:
        now = self._now()
        with self._lock:
            generation, at = self._told.get(order.device, (0, now - VALID))
            if generation == order.generation and now - at < TOLD_AGAIN_AFTER:
                return
            if len(self._told) > _TOLD_KEPT:
                self._told = {device: told for device, told in self._told.items() if now - told[1] < TOLD_AGAIN_AFTER}
            self._told[order.device] = (order.generation, now)
        self._link.publish(address, Channel.DESIRED, order.signed, retain=True)

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


def _changes(session: Session, devices: Sequence[str], now: datetime, renew: bool, *, lock: bool) -> list[_Change]:
    # Devices first, then claims: what is read under the lock is at least as new as what was decided before it.
    found = offers.standings(session, devices, lock=lock)
    claims = store.claims(session)
    frozen, holding = freeze.active(session, now) is not None, pins.active(session, now, devices)
    changes = []
    for standing in found:
        want = kept(standing.device, standing.given, claims) if frozen else _wanted(standing, claims, holding)
        if renew or _differs(standing, want):
            changes.append(_Change(standing, want, claims, holding))
    return changes


def _wanted(
    standing: Standing, claims: Sequence[Claim], holding: Sequence[Pin], held: Collection[str] = ()
) -> dict[Place, Claim]:
    want = wanted(standing.device, claims, standing.followed, held)
    return under_pins(want, standing.device, standing.given, claims, holding)


def _in_flight(standing: Standing) -> bool:
    return any(Outcome(offer.outcome) in IN_FLIGHT for offer in standing.offers.values())


def _differs(standing: Standing, want: dict[Place, Claim]) -> bool:
    target, given = standing.device.target, standing.offers
    same = want.keys() == given.keys() and all(_same(given[place], want[place], target) for place in want)
    return not same or (bool(want) and standing.order is None)


def _moved(session: Session, row: RolloutRow, now: datetime) -> list[str]:
    """The devices that are not where the exposure of `row` is."""
    if row.exposed == 0:
        return offers.offered_ids(session, row.id)
    line = store.lines_of(row)[row.exposed - 1]
    targets = releases.targets(session, row.model, row.version)
    selector, pinned = store.selector_of(row), pins.outside(session, row.model, now)
    waiting = offers.standing(session, selector, targets, store.lab_of(row), but=pinned, without=row.id)
    return [one.id for one in waiting if line.covers(one.target, place_of(row.salt, one.id, lab=one.lab))]


def _same(offer: Offer | None, claim: Claim, target: str) -> bool:
    return offer is not None and (offer.rollout, offer.digest) == (claim.rollout, claim.artifacts[target])


def _before(change: _Change, place: Place) -> list[str]:
    followed = change.standing.followed.get(place, ())
    claim = change.claims[place]
    if claim.rollout in followed:
        # It goes back to that one, or stays there.
        followed = followed[followed.index(claim.rollout) + 1 :]
    in_force = {claim.rollout for claim in change.all_claims}
    return [rollout for rollout in followed if rollout in in_force]


def _window(policy: Policy) -> MaintenanceWindow | None:
    asked = policy.window
    return None if asked is None else MaintenanceWindow(asked.days, asked.start, asked.end)


def _because(claim: Claim) -> Because:
    if claim.rollout.startswith(PIN):
        sentence = f"This device is pinned to version {claim.version} of {claim.model} ({claim.rollout})."
        return Because("pinned", sentence)
    shadow = " as a shadow" if claim.slot == SHADOW_SLOT else ""
    sentence = (
        f"Rollout {claim.rollout} offers version {claim.version} of {claim.model}{shadow} to this device, which is "
        f"among the {claim.wave + 1}. wave."
    )
    return Because("rollout-offers", sentence)


def _batches(devices: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(devices)
    while batch := list(islice(iterator, _BATCH)):
        yield batch
