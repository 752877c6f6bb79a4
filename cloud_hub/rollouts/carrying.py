"""Brings the devices of each rollout to where its exposure is: all at once, or as its limits let them go."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice

from sqlmodel import Session

from cloud_hub.database import Database
from cloud_hub.releases import store as releases
from cloud_hub.rollouts import freeze, offers, pins, store
from cloud_hub.rollouts.admission import all_ripe_at, ripe_at, room, with_room
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.queues import Moment, Queue, Queues
from cloud_hub.rollouts.states import State
from cloud_hub.rollouts.tables import RolloutRow
from cloud_hub.rollouts.waves import place

#: So many devices are looked at in one transaction.
BATCH = 500
#: So many are let go before all is looked at and decided anew: harm does not wait until a wave is carried out.
_A_TURN = 4 * BATCH
#: Orders devices to what they should run, and gives those that have a new order.
Bring = Callable[[Sequence[str]], set[str]]


class Carrier:
    """Used by the one thread that orders; `queues` are what it keeps in memory."""

    def __init__(
        self, database: Database, queues: Queues, now: Callable[[], datetime], *, silent_after: timedelta
    ) -> None:
        self._database = database
        self._queues = queues
        self._now = now
        self._silent_after = silent_after

    def carry_out(self, bring: Bring, newest_freeze: int) -> None:
        """Does what is owed. `newest_freeze` is the number of the last before this was begun (`freeze.newest`)."""
        with self._database.reading() as session:
            owed = store.owed(session)
        # Another hub has let go who waited here.
        self._queues.keep({row.id for row in owed})
        for row in owed:
            if row.exposed and State(row.state) is State.RUNNING:
                self._let_go(row, bring, newest_freeze)
                continue
            with self._database.reading() as session:
                devices = _moved(session, row, self._now())
            for batch in batches(devices):
                bring(batch)
            self._queues.forget(row.id)
            self._carried_out(row, {}, newest_freeze)

    def _let_go(self, row: RolloutRow, bring: Bring, newest_freeze: int) -> None:
        """Orders as many of the exposed devices of `row` as may go now; the others stay in its queue."""
        policy = store.policy_of(row)
        queue = self._queues.of(row.id, row.revision) or self._filled(row, policy)
        with self._database.reading() as session:
            left, why = room(policy, offers.flow(session, row.id, policy, self._now()))
        if left is None or left > _A_TURN:
            left, why = _A_TURN, "turn"
        for batch in batches(self._to_ask(row, policy, queue)):
            if left <= 0:
                queue.hold(batch, why)
                continue
            queue.ask(batch)
            gone = bring(batch)
            queue.settle(batch)
            left -= len(gone)
        if queue.idle:
            # At once: who is away is no longer owed an order, and must not be forgotten by who decides.
            self._carried_out(row, queue.held(), newest_freeze)

    def _filled(self, row: RolloutRow, policy: Policy) -> Queue:
        with self._database.reading() as session:
            devices = _moved(session, row, self._now())
            groups = offers.groups(session, policy.group.label) if policy.group else {}
        moment = _moment(row, policy, self._now())
        return self._queues.fill(row.id, Queue(row.revision, devices, groups, moment))

    def _to_ask(self, row: RolloutRow, policy: Policy, queue: Queue) -> list[str]:
        """Those that wait, but for those whose moment is to come, and those whose group is full: each would ask for all
        of its group."""
        now = self._now()
        waiting = queue.waiting(now)
        if policy.group is None:
            return waiting
        label = policy.group.label
        with self._database.reading() as session:
            switching = offers.switching(session, label, row.id, policy, now)
            connected = offers.connected(session, label, now - self._silent_after)
        asked = with_room(waiting, connected, queue.groups, switching, policy.group.max_in_flight)
        queue.hold(set(waiting).difference(asked), "group")
        return asked

    def _carried_out(self, row: RolloutRow, held: Mapping[str, int], newest_freeze: int) -> None:
        """Notes that nothing more is owed for `row`, and what devices still wait for."""
        # Only once all are committed: killed before this, the same devices are compared again. So are they when it, or
        # the fleet, stood still while some of them were looked at.
        with self._database.session() as session:
            if freeze.newest(session) != newest_freeze:
                return
            store.set_ordered(session, row.id, row.revision)
            if row.held != held:
                store.set_held(session, row.id, held)


def _moment(row: RolloutRow, policy: Policy, now: datetime) -> Moment | None:
    """When each device may have its order; None where all may."""
    started_at = row.wave_started_at
    if started_at is None or now >= all_ripe_at(policy, started_at):
        return None
    return lambda device: ripe_at(policy, row.salt, device, started_at)


def batches(devices: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(devices)
    while batch := list(islice(iterator, BATCH)):
        yield batch


def _moved(session: Session, row: RolloutRow, now: datetime) -> list[str]:
    """The devices that are not where the exposure of `row` is."""
    if row.exposed == 0:
        return offers.offered_ids(session, row.id)
    line = store.lines_of(row)[row.exposed - 1]
    targets = releases.targets(session, row.model, row.version)
    selector, pinned = store.selector_of(row), pins.outside(session, row.model, now)
    waiting = offers.standing(session, selector, targets, store.lab_of(row), but=pinned, without=row.id)
    return [one.id for one in waiting if line.covers(one.target, place(row.salt, one.id, lab=one.lab))]
