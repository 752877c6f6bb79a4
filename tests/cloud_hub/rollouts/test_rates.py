"""So many devices a minute are ordered, each at a moment of its own where that is asked for, until it is proven."""

from datetime import datetime, timedelta

import pytest

from cloud_hub.rollouts.policy import Policy
from tests.cloud_hub.rollouts.limited_rollout import TEN, connected, ordered, shown, start, ten_connected
from tests.fakes.paper_gateways import NO_GATES, PaperGateways


def test_so_many_a_minute_are_ordered_and_more_as_they_succeed(fleet: PaperGateways) -> None:
    ten_connected(fleet)
    rollout = start(fleet, rate={"devices_per_minute": 2, "growth_factor": 2})
    fleet.rollouts.tick()
    assert len(ordered(fleet)) == 1
    fleet.clock.pass_seconds(31)
    connected(fleet)
    fleet.rollouts.tick()
    assert len(ordered(fleet)) == 2
    connected(fleet)
    fleet.rollouts.tick()
    assert len(ordered(fleet)) == 2
    fleet.rollouts.tick()
    assert shown(fleet, rollout).counts.held == {"rate": 8}
    fleet.obey(*ordered(fleet))
    fleet.clock.pass_seconds(61)
    connected(fleet)
    fleet.rollouts.tick()
    fleet.clock.pass_seconds(45)
    connected(fleet)
    fleet.rollouts.tick()
    assert len(ordered(fleet)) == 2 + 4


def test_half_a_device_a_minute_is_one_in_two_minutes(fleet: PaperGateways) -> None:
    ten_connected(fleet)
    start(fleet, rate={"devices_per_minute": 0.5})
    so_far = []
    for _ in range(5):
        fleet.rollouts.tick()
        so_far.append(len(ordered(fleet)))
        fleet.clock.pass_seconds(60)
        connected(fleet)
    assert so_far == [1, 1, 2, 2, 3]


def test_a_rate_that_holds_until_it_is_proven_lets_all_go_then_whatever_the_hub_forgets(fleet: PaperGateways) -> None:
    ten_connected(fleet)
    rollout = start(
        fleet,
        rate={"devices_per_minute": 2, "until_proven": True},
        gates={**NO_GATES, "installs": {}},
        stop_failed_after=2,
    )
    for _ in range(2):
        fleet.rollouts.tick()
        fleet.clock.pass_seconds(31)
        connected(fleet)
    assert len(ordered(fleet)) == 2
    assert "nobody waits for it once every gate is passed" in fleet.rollouts.explain(rollout).held[0].sentence
    fleet.obey(*ordered(fleet))
    fleet.start_hub()
    connected(fleet)
    fleet.rollouts.tick()
    assert ordered(fleet) == set(TEN)
    codes = [one.because.code for one in fleet.rollouts.decisions(rollout).items]
    assert codes.count("rate-lifted") == 1


def test_who_waits_for_a_moment_of_its_own_is_not_asked_about_before(
    fleet: PaperGateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    ten_connected(fleet)
    rollout = start(fleet, rate={"devices_per_minute": 100, "jitter_seconds": 86_400})
    fleet.rollouts.tick()
    asked: list[str] = []
    bring = fleet.orders.bring
    monkeypatch.setattr(fleet.orders, "bring", lambda devices: asked.extend(devices) or bring(devices))
    fleet.rollouts.tick()
    assert asked == []
    assert shown(fleet, rollout).counts.held == {"jitter": 10}


def test_the_moment_of_each_device_is_worked_out_once_and_not_at_each_look(
    fleet: PaperGateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    ten_connected(fleet)
    fleet.rollouts.tick()
    moments: list[str] = []

    def ripe_at(policy: Policy, salt: str, device: str, since: datetime) -> datetime:
        moments.append(device)
        return since + timedelta(hours=1 + int(device[3:]))

    monkeypatch.setattr("cloud_hub.rollouts.carrying.ripe_at", ripe_at)
    monkeypatch.setattr("cloud_hub.rollouts.admission.ripe_at", ripe_at)
    start(fleet, rate={"devices_per_minute": 10_000, "jitter_seconds": 86_400})
    for _ in range(3):
        fleet.rollouts.tick()
    assert set(moments) == set(TEN)
    moments.clear()
    for _ in range(5):
        fleet.rollouts.tick()
    assert moments == []
    # Who reports is looked at, and waits on.
    connected(fleet, "gw-7")
    fleet.rollouts.tick()
    moments.clear()
    fleet.clock.pass_seconds(3 * 3600)
    connected(fleet, "gw-0", "gw-1", "gw-2")
    fleet.rollouts.tick()
    assert ordered(fleet) == {"gw-0", "gw-1", "gw-2"}
    assert set(moments) == {"gw-0", "gw-1", "gw-2"}
