"""A wave is carried out turn by turn, and what a turn could not do the next one does."""

import pytest

from fleet_contract.report import Presence
from tests.cloud_hub.rollouts.limited_rollout import TEN, ordered, shown, start, ten_connected
from tests.fakes.paper_gateways import PaperGateways


def test_a_wave_is_carried_out_turn_by_turn_so_that_harm_does_not_wait_for_its_end(
    fleet: PaperGateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_hub.rollouts.carrying.BATCH", 2)
    monkeypatch.setattr("cloud_hub.rollouts.carrying._A_TURN", 4)
    ten_connected(fleet)
    fleet.rollouts.tick()
    rollout = start(fleet, max_in_flight=100)
    fleet.rollouts.tick()
    assert len(ordered(fleet)) == 4
    fleet.rollouts.tick()
    assert len(ordered(fleet)) == 8
    assert shown(fleet, rollout).counts.held == {"turn": 6}
    fleet.rollouts.tick()
    assert ordered(fleet) == set(TEN)
    fleet.rollouts.tick()
    assert shown(fleet, rollout).counts.held == {}


def test_a_wave_that_nothing_limits_is_carried_out_turn_by_turn_too(
    fleet: PaperGateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_hub.rollouts.carrying.BATCH", 2)
    monkeypatch.setattr("cloud_hub.rollouts.carrying._A_TURN", 4)
    ten_connected(fleet)
    fleet.report("gw-0", "gw-1", presence=Presence.LOST)
    fleet.rollouts.tick()
    rollout = start(fleet)
    for ready in (4, 8, 10):
        fleet.rollouts.tick()
        assert len(ordered(fleet)) == ready
    fleet.rollouts.tick()
    assert shown(fleet, rollout).counts.held == {}
    assert shown(fleet, rollout).because.code != "orders-owed"


def test_who_was_heard_while_the_database_was_away_is_looked_at_afterwards(
    fleet: PaperGateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    ten_connected(fleet)
    start(fleet)
    fleet.play(3)
    fleet.join("late")
    with monkeypatch.context() as away:
        away.setattr("cloud_hub.rollouts.orders.moves", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fleet.rollouts.tick()
    fleet.rollouts.tick()
    assert fleet.version("late") == 1
