"""Two hubs decide the same rollout at once, each killed wherever it is: no decision is lost, none is applied twice.

A hub is interrupted where it turns to the database, for there alone can another hub come between. All is in one
thread and by one seed, so what is found is found again.
"""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event, select
from sqlmodel import Session, col

from cloud_hub.database import Database
from cloud_hub.page import PageRequest
from cloud_hub.rollouts.orders import Orders
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.service import RolloutService
from cloud_hub.rollouts.states import UNFINISHED
from cloud_hub.rollouts.tables import Offer
from cloud_hub.rollouts.views import RolloutIn
from fleet_contract.topics import Channel
from tests.fakes.paper_gateways import NO_GATES, PaperGateways

THREE = tuple(f"gw-{number}" for number in range(3))
#: The figure is for 1,000, which take longer than a test should: VEDETTE_INTERLEAVINGS=1000.
SEEDS = int(os.environ.get("VEDETTE_INTERLEAVINGS", "200"))
#: A kill, or the other hub's turn, comes at so many of the moments at which one can.
_KILLED, _INTERRUPTED = 0.05, 0.2
POLICY = Policy.model_validate(
    {
        "waves": [{"devices": 1}, {"percent": 100}],
        "soak_seconds": 0,
        "minimum_records": 0,
        "max_in_flight": 2,
        "gates": NO_GATES,
    }
)


class Killed(BaseException):
    """The process is gone."""


class StepByStep(Database):
    """A database before whose every transaction something may happen."""

    def __init__(self, url: str, world: "TwoHubs") -> None:
        super().__init__(url)
        self._world = world

    @contextmanager
    def session(self) -> Iterator[Session]:
        self._world.moment()
        with self._world.writing(), super().session() as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        self._world.moment()
        with super().reading() as session:
            yield session


class TwoHubs:
    def __init__(self, fleet: PaperGateways) -> None:
        self.fleet = fleet
        self.random = random.Random(0)
        self.calm = False
        self._inside: list[int] = []
        self._writing = 0
        url = fleet.database.url.render_as_string(hide_password=False)
        self._databases = [StepByStep(url, self) for _ in range(2)]
        for database in self._databases if fleet.database.is_sqlite else []:
            # The process dies here, and not the machine.
            event.listen(database.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
        self.hubs: list[tuple[Orders, RolloutService]] = [self._started(0), self._started(1)]

    def _started(self, number: int) -> tuple[Orders, RolloutService]:
        database, fleet = self._databases[number], self.fleet
        orders = fleet.orders_of(database)
        orders.sweep()
        return orders, RolloutService(database, orders, fleet.changes, fleet.clock, silent_after_seconds=90)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Whoever else wants to write must wait meanwhile, which one thread cannot."""
        self._writing += 1
        try:
            yield
        finally:
            self._writing -= 1

    def moment(self) -> None:
        if self.calm or not self._inside:
            return
        chance = self.random.random()
        if chance < _KILLED:
            raise Killed
        if chance < _KILLED + _INTERRUPTED and len(self._inside) == 1 and not self._writing:
            self.tick(1 - self._inside[-1])

    def tick(self, number: int) -> None:
        self._inside.append(number)
        try:
            self.hubs[number][1].tick()
        except Killed:
            self.hubs[number] = self._started(number)
        finally:
            self._inside.pop()

    def play(self, seed: int, version: int) -> str:
        """One rollout from start to end; every third is aborted on its way."""
        self.random, fleet = random.Random(seed), self.fleet
        asked = RolloutIn(model="digits", version=version, policy=POLICY, salt=f"{seed:08x}")
        rollout = fleet.rollouts.create(asked).id
        for turn in range(200):
            if fleet.rollouts.get(rollout).state not in {state.value for state in UNFINISHED}:
                break
            # At last somebody leaves them alone: what is owed is then done.
            self.calm = turn > 15
            fleet.orders = self.hubs[self.random.randrange(2)][0]
            if seed % 3 == 0 and turn == seed % 7:
                fleet.rollouts.abort(rollout)
            self.tick(self.random.randrange(2))
            fleet.obey(*(name for name in THREE if self.random.random() < 0.7))
            fleet.clock.pass_seconds(3)
        self.calm = True
        for number in (0, 1, 0, 1):
            self.tick(number)
        self.calm = False
        return rollout

    def close(self) -> None:
        for database in self._databases:
            database.dispose()


def checked(world: TwoHubs, rollout: str, version: int, before: int) -> int:
    """The version that all run once `rollout` is over; that what was decided was decided once."""
    fleet = world.fleet
    found = fleet.rollouts.get(rollout)
    decisions = fleet.rollouts.decisions(rollout, PageRequest(limit=500)).items[::-1]
    assert [one.number for one in decisions] == list(range(1, found.revision + 1))
    opened = [one.wave for one in decisions if one.because.code == "wave-opened"]
    assert opened == sorted(set(opened))
    assert found.state in ("completed", "aborted"), found.because.sentence
    now = version if found.state == "completed" else before
    assert set(fleet.versions().values()) == {now}
    with fleet.database.reading() as session:
        offers = session.execute(select(col(Offer.device), col(Offer.version))).all()
    assert sorted(offers) == [(name, now) for name in THREE]
    return now


def the_same_generation_always_said_the_same(world: TwoHubs) -> None:
    said: dict[tuple[str, int], bytes] = {}
    for address, channel, payload in world.fleet.link.published:
        if channel is Channel.DESIRED:
            generation = world.fleet.generation_in(payload)
            assert said.setdefault((address.device, generation), payload) == payload


def interleaved(fleet: PaperGateways, seeds: range) -> None:
    fleet.join(*THREE)
    fleet.register()
    fleet.register()
    world = TwoHubs(fleet)
    world.calm = True
    fleet.rollouts.tick()
    fleet.clock.pass_seconds(1)
    fleet.report(*THREE)
    try:
        world.play(1, 1)
        now = 1
        for seed in seeds:
            version = 3 - now
            now = checked(world, world.play(seed, version), version, now)
        the_same_generation_always_said_the_same(world)
    finally:
        world.close()


def test_two_hubs_decide_once_whatever_is_killed_when(fleet: PaperGateways) -> None:
    interleaved(fleet, range(10, 13))


@pytest.mark.slow
@pytest.mark.timeout(max(600, 5 * SEEDS))
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_in_no_interleaving_a_decision_is_lost_or_applied_twice(fleet: PaperGateways) -> None:
    interleaved(fleet, range(1_000, 1_000 + SEEDS))
