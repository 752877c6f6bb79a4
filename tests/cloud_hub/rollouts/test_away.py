"""Who is away gets its order when it comes back, holds nobody up meanwhile, and proves nothing."""

from fleet_contract.report import Presence
from tests.cloud_hub.rollouts.limited_rollout import TEN, connected, ordered, shown, start, ten_connected
from tests.fakes.paper_gateways import PaperGateways


def test_who_is_away_gets_its_order_when_it_comes_back_and_holds_nobody(fleet: PaperGateways) -> None:
    ten_connected(fleet)
    fleet.report("gw-0", presence=Presence.LOST)
    rollout = start(fleet, max_in_flight=5)
    for _ in range(6):
        fleet.rollouts.tick()
        fleet.obey(*ordered(fleet))
        connected(fleet, *TEN[1:])
    found = shown(fleet, rollout)
    assert (found.state, found.counts.held) == ("completed", {"away": 1})
    connected(fleet, "gw-0")
    fleet.rollouts.tick()
    assert ordered(fleet) == set(TEN)


def test_who_comes_back_and_waits_does_not_start_the_soak_anew(fleet: PaperGateways) -> None:
    ten_connected(fleet)
    fleet.report("gw-0", "gw-1", presence=Presence.LOST)
    rollout = start(fleet, max_in_flight=1, soak_seconds=600, success_percent=50)
    for _ in range(9):
        fleet.rollouts.tick()
        fleet.obey(*ordered(fleet))
        connected(fleet, *TEN[2:])
    fleet.rollouts.tick()
    assert (shown(fleet, rollout).because.code, shown(fleet, rollout).counts.held) == ("soaking", {"away": 2})
    fleet.clock.pass_seconds(590)
    connected(fleet)
    for _ in range(2):
        fleet.rollouts.tick()
    assert (shown(fleet, rollout).because.code, shown(fleet, rollout).counts.held) == ("orders-owed", {"cap": 1})
    for _ in range(3):
        fleet.obey(*ordered(fleet))
        fleet.clock.pass_seconds(5)
        fleet.rollouts.tick()
    assert ordered(fleet) == set(TEN)
    assert shown(fleet, rollout).state == "completed"


def test_a_wave_whose_devices_are_all_away_is_not_proven_by_those_before_it(fleet: PaperGateways) -> None:
    ten_connected(fleet)
    rollout = start(fleet, max_in_flight=10, waves=[{"devices": 3}, {"devices": 6}, {"percent": 100}])
    fleet.rollouts.tick()
    first = ordered(fleet)
    fleet.report(*(set(TEN) - first), presence=Presence.LOST)
    for _ in range(8):
        fleet.obey(*first)
        fleet.rollouts.tick()
    found = shown(fleet, rollout)
    assert (found.wave, found.because.code, found.counts.held) == (1, "nobody-heard", {"away": 3})
    assert found.because.sentence.startswith("None of the 3 devices that this wave adds")


def test_who_is_away_and_no_longer_meant_is_waited_for_no_more(fleet: PaperGateways) -> None:
    ten_connected(fleet)
    fleet.report("gw-0", presence=Presence.LOST)
    rollout = start(fleet, max_in_flight=10, selector="not has broken")
    fleet.rollouts.tick()
    fleet.rollouts.tick()
    assert shown(fleet, rollout).counts.held == {"away": 1}
    fleet.join("gw-0", broken="yes")
    fleet.rollouts.tick()
    fleet.rollouts.tick()
    assert shown(fleet, rollout).counts.held == {}


def test_silent_devices_are_outside_the_counts_once_they_are_silent(fleet: PaperGateways) -> None:
    ten_connected(fleet)
    rollout = start(fleet)
    fleet.rollouts.tick()
    fleet.rollouts.tick()
    assert shown(fleet, rollout).counts.pending == 10
    fleet.clock.pass_seconds(91)
    fleet.rollouts.tick()
    assert (shown(fleet, rollout).counts.unheard, shown(fleet, rollout).because.code) == (10, "nobody-heard")
