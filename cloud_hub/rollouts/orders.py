"""Tells each device what it should run: signed, numbered, published, and told again until the device follows it.

What a device should run is derived (`wanted.py`) and compared with what it was ordered; only where the two differ is
there a new order, with a higher generation. So it does not matter who notices a difference, how often, or whether an
earlier attempt was killed half-way. Orders are committed before they are published; a device whose reports name
another generation gets its order again.
"""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlmodel import Session

from cloud_hub.blobs.store import Blobs
from cloud_hub.broker.link import Link
from cloud_hub.database import Database
from cloud_hub.rollouts import freeze, offers, pins, store, turns
from cloud_hub.rollouts.carrying import BATCH, Carrier, batches
from cloud_hub.rollouts.engine import AWAY
from cloud_hub.rollouts.moves import GroupBusy, Move, Said, admitted, group_is_full, moves, wants
from cloud_hub.rollouts.offers import Written
from cloud_hub.rollouts.outcomes import Outcome
from cloud_hub.rollouts.queues import Queues
from cloud_hub.rollouts.states import State
from cloud_hub.rollouts.tables import Offer, Order
from cloud_hub.rollouts.wanted import Place
from cloud_hub.rollouts.writing import VALID, Writer
from fleet_contract.because import Because
from fleet_contract.signing import PrivateKey
from fleet_contract.topics import Address, Channel

#: A device is not told the same again within this: it says so several times while it takes up a new order.
TOLD_AGAIN_AFTER = timedelta(seconds=2)
_TOLD_KEPT = 10_000


class Orders:
    """Thread-safe. `now` gives aware UTC datetimes; `hub_key` signs desired states. `silent_after` is how long a device
    that has said nothing counts as connected."""

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
        self._writer = Writer(database, blobs, hub_key)
        self._now = now
        self._silent_after = silent_after
        self._queues = Queues()
        self._carrier = Carrier(database, self._queues, now, silent_after=silent_after)
        self._lock = threading.Lock()
        self._touched: set[str] = set()
        self._heard: dict[str, int] = {}
        self._told: dict[str, tuple[int, datetime]] = {}
        self._swept_to: str | None = ""
        self._frozen = False
        self._newest_freeze = 0

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
        return self._writer.troubles()

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
            self._carrier.carry_out(self.bring, newest)
            self._retry_rejected()
        with self._lock:
            touched, self._touched = self._touched, set()
            heard, self._heard = self._heard, {}
        try:
            for batch in batches(sorted(touched)):
                self.bring(batch)
            for batch in batches(sorted(heard)):
                self._answer(batch, heard)
        except Exception:
            # The database was away: they are looked at the next time, by what they said last.
            with self._lock:
                self._touched |= touched
                self._heard = heard | self._heard
            raise
        self._renew()
        self._sweep_on()
        if changed := self._queues.changed():
            with self._database.session() as session:
                # As whoever orders locks them: in the same order, and while nobody decides.
                turns.ordering(session)
                for rollout, held in sorted(changed.items()):
                    store.set_held(session, rollout, held)

    def retry(self, device: str, place: Place, *, by_hub: bool = False) -> Offer | None:
        """Asks `device` to try again what it has rejected. None when it is offered nothing there, or
        by the hub while its group is full. Raises `FleetFrozen`, `GroupBusy`."""
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
            move = Move(standing, wants(standing, claims, holding), claims, holding, place, by_hub)
            if group_is_full(session, move, self._now()):
                if by_hub:
                    return None
                raise GroupBusy(
                    f"As many of the group of {device} as may switch at once are at it.",
                    "Try again when they are done.",
                )
            # With what it tries again it is told all that it should run: nothing that is to wait comes along.
            (move,), _ = self._admitted(session, [move], renew=True)
            written = self._written(move) if place in move.claims else None
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
            if not moves(session, devices, self._now(), renew=renew, lock=False):
                self._looked_at(devices, {})
                return set()
        with self._database.session() as session:
            turns.ordering(session)
            owed = moves(session, devices, self._now(), renew=renew, lock=True)
            let_go, said = self._admitted(session, owed, renew=renew)
            written = [one for one in map(self._written, let_go) if one is not None]
            offers.save(session, written)
            for rollout, of in said.items():
                if any(why not in (None, AWAY) for why in of.values()):
                    store.set_owed(session, rollout)
        for rollout, of in said.items():
            self._queues.note(rollout, of)
        self._looked_at(devices, said)
        for one in written:
            self._tell(Address(one.fleet, one.order.device), one.order)
        return {one.order.device for one in written}

    def _admitted(self, session: Session, asking: Sequence[Move], *, renew: bool) -> tuple[list[Move], Said]:
        now = self._now()
        return admitted(session, asking, now, now - self._silent_after, renew=renew)

    def _written(self, move: Move) -> Written | None:
        now = self._now()
        return self._writer.written(move, now, now - self._silent_after)

    def _looked_at(self, devices: Sequence[str], said: Said) -> None:
        # While nothing may move nobody is asked for anything, and waits all the same.
        if not self._frozen:
            self._queues.look_at(devices, said)

    def _carry_pins(self) -> None:
        now = self._now()
        with self._database.reading() as session:
            owed = [(row, pins.held_by(session, row)) for row in pins.due(session, now)]
        for row, devices in owed:
            for batch in batches(devices):
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
                for device in offers.to_retry(session, row.id, retries, BATCH)
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
            expiring = offers.expiring_ids(session, self._now() + VALID / 2, BATCH)
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
                turns.ordering(session)
                store.set_held_owed(session)
        with self._database.reading() as session:
            batch = offers.ids_after(session, after, BATCH)
            found = offers.standings(session, batch)
        ordered = self.bring(batch)
        for standing in found:
            order = standing.order
            if order is not None and order.device not in ordered and standing.reported != order.generation:
                self._tell(Address(standing.fleet, order.device), order)
        with self._lock:
            if self._swept_to == after:
                self._swept_to = batch[-1] if batch else None

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
