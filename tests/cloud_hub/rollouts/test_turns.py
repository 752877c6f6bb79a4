"""Once somebody was told that a rollout is aborted, or the fleet frozen, no hub orders anything by what held before."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlmodel import Session, col

from cloud_hub.database import Database
from cloud_hub.rollouts import offers
from cloud_hub.rollouts.freeze import FreezeService
from cloud_hub.rollouts.pins import PinService
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.service import RolloutService
from cloud_hub.rollouts.tables import Order
from cloud_hub.rollouts.views import FreezeIn, PinIn, RolloutIn
from tests.fakes.paper_gateways import NO_GATES, PaperGateways

ONE_WAVE = Policy.model_validate({"waves": [{"percent": 100}], "rate": None, "gates": NO_GATES})


class OtherHub:
    """A second hub on the same database, by connections of its own."""

    def __init__(self, fleet: PaperGateways, database: Database) -> None:
        orders = fleet.orders_of(database)
        self.rollouts = RolloutService(database, orders, fleet.changes, fleet.clock, silent_after_seconds=90)
        self.freeze = FreezeService(database, fleet.changes, fleet.clock)
        self.pins = PinService(database, fleet.changes, fleet.clock)
        self.until = fleet.clock() + timedelta(days=1)
        self._database = database

    def pause(self, rollout: str) -> None:
        self.rollouts.pause(rollout)

    def abort(self, rollout: str) -> None:
        self.rollouts.abort(rollout)
        # It may be that nothing is left to be undone.
        for _ in range(2):
            self.rollouts.tick()

    def freeze_all(self, _: str) -> None:
        self.freeze.begin(FreezeIn(reason="An audit"))

    def pin_it(self, _: str) -> None:
        self.pins.pin(PinIn(selector="target = cpu-vnni", reason="Under repair", until=self.until))

    def ordered(self) -> dict[str, int]:
        with self._database.reading() as session:
            return dict(session.execute(select(col(Order.device), col(Order.generation))).all())


def waits(database: Database) -> bool:
    """Whether a connection waits for another to be done."""
    with database.reading() as session:
        return bool(session.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar())


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("act", [OtherHub.pause, OtherHub.abort, OtherHub.freeze_all, OtherHub.pin_it])
def test_what_another_hub_says_while_an_order_is_written_is_told_once_it_holds(
    fleet: PaperGateways, monkeypatch: pytest.MonkeyPatch, act: Callable[[OtherHub, str], None]
) -> None:
    fleet.join("gw-0")
    fleet.register()
    fleet.rollouts.tick()
    rollout = fleet.rollouts.create(RolloutIn(model="digits", version=1, policy=ONE_WAVE)).id
    second = Database(fleet.database.url.render_as_string(hide_password=False))
    other, save = OtherHub(fleet, second), offers.save
    told: list[Future[dict[str, int]]] = []

    def act_meanwhile() -> dict[str, int]:
        act(other, rollout)
        return other.ordered()

    def saved_late(session: Session, written: Any) -> None:
        # The first that is written, by what held a moment ago.
        if written and not told:
            told.append(threads.submit(act_meanwhile))
            while not told[0].done() and not waits(second):
                time.sleep(0.002)
        save(session, written)

    monkeypatch.setattr(offers, "save", saved_late)
    with ThreadPoolExecutor(1) as threads:
        fleet.rollouts.tick()
        when_told = told[0].result(timeout=30)
    assert other.ordered() == when_told
    second.dispose()
