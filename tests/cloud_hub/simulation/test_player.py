"""Rollouts that are only played: what the real engine and gates make of good, bad and changing worlds."""

from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest

from cloud_hub.rollouts.policy import Group, MaintenanceWindow, Policy, Rate, Wave
from cloud_hub.rollouts.states import State
from cloud_hub.simulation.player import Played, play
from cloud_hub.simulation.scenario import Scenario, ScenarioWrong, complaints

POLICY = Policy(
    waves=tuple(Wave(percent=percent) for percent in (1, 5, 25, 100)), soak_seconds=60, rate=None, stop_failed_percent=5
)
FLEET = Scenario(devices=4_000, install_seconds=60)


@cache
def played(scenario: Scenario = FLEET, policy: Policy = POLICY, seed: int = 1) -> Played:
    return play(policy, scenario, seed)


def test_a_good_version_reaches_every_device() -> None:
    result = played(seed=1)
    assert (result.state, result.exposed, result.stopped) == (State.COMPLETED, 4_000, False)
    assert [one.because.code for one in result.moments].count("wave-opened") >= 1


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (replace(FLEET, error_rate=0.05), "gate-errors-failed"),
        (replace(FLEET, prediction_shift=0.25), "gate-predictions-failed"),
        (replace(FLEET, failure_rate=0.4), "gate-installs-failed"),
    ],
    ids=["errors", "predictions", "failures"],
)
def test_a_bad_version_is_stopped_among_the_first_and_taken_back(bad: Scenario, code: str) -> None:
    result = played(bad)
    assert result.state is State.REVERTED
    assert result.because.code == code
    assert result.exposed_share <= 0.05
    assert complaints(bad, POLICY)
    assert result.points[-1].running == 0


@pytest.mark.parametrize("rate", [Policy().rate, None], ids=["bit by bit", "at once"])
@pytest.mark.parametrize("seed", range(2))
def test_what_the_world_does_to_every_version_stops_none(seed: int, rate: Rate | None) -> None:
    world = replace(FLEET, drift=0.3, world_error_rate=0.05, drift_hours=0.2)
    assert played(world, Policy(rate=rate), seed).completed
    assert not complaints(world, Policy())


ALL_AT_ONCE = Policy(waves=(Wave(percent=100),), rate=None)


@pytest.mark.parametrize("policy", [Policy(waves=(Wave(percent=100),)), ALL_AT_ONCE], ids=["bit by bit", "at once"])
@pytest.mark.parametrize("devices", [2, 30])
def test_a_good_version_needs_no_person_in_a_single_wave(policy: Policy, devices: int) -> None:
    assert played(Scenario(devices=devices, targets=1, absent=0, hours=4), policy).completed


def test_a_world_that_changes_after_a_single_wave_waits_for_a_person_and_stops_nothing() -> None:
    world = Scenario(devices=4, targets=1, absent=0, hours=4, drift=0.3, world_error_rate=0.05, drift_hours=0.2)
    result = played(world, ALL_AT_ONCE)
    assert (result.state, result.because.code) == (State.RUNNING, "verdict-wanted")
    many = played(replace(world, devices=30), ALL_AT_ONCE)
    assert many.state in (State.COMPLETED, State.RUNNING)


def test_what_a_version_does_at_once_stops_it_in_a_single_wave() -> None:
    bad = Scenario(devices=30, targets=1, absent=0, hours=4, error_rate=0.1)
    assert played(bad, ALL_AT_ONCE).because.code == "gate-errors-failed"


def test_a_leak_shows_only_to_a_policy_that_waits_long_enough() -> None:
    leaking = replace(FLEET, leak_hours=3)
    assert played(leaking).completed
    patient = played(leaking, POLICY.model_copy(update={"soak_seconds": 6 * 3600}))
    assert (patient.state, patient.because.code) == (State.REVERTED, "gate-memory-failed")
    assert patient.exposed_share <= 0.05


def test_who_pauses_on_a_stop_leaves_the_version_where_it_is() -> None:
    result = played(replace(FLEET, error_rate=0.05), POLICY.model_copy(update={"on_stop": "pause"}))
    assert result.state is State.STOPPED
    assert result.points[-1].running > 0


def test_devices_that_are_never_there_hold_up_nothing_and_count_for_nothing() -> None:
    result = played(replace(FLEET, absent=0.4))
    assert result.completed
    assert result.points[-1].running < 0.65 * 4_000


def test_a_wave_that_mostly_keeps_silent_is_waited_for() -> None:
    result = played(replace(FLEET, absent=0.7, hours=3))
    assert (result.state, result.because.code) == (State.RUNNING, "quorum-wanted")
    assert result.exposed == 40


def test_devices_of_the_day_get_it_in_the_morning() -> None:
    night = replace(FLEET, by_day=1.0, absent=0.0, start_hour=20)
    result = played(night)
    assert result.completed
    first = next(point.seconds for point in result.points if point.running)
    assert 12 * 3600 < first < 13 * 3600


def test_a_fleet_that_nobody_hears_from_gets_no_further_than_the_first_wave() -> None:
    result = played(replace(FLEET, absent=0.9999, devices=2_000, targets=1, hours=2))
    assert result.state is State.RUNNING
    assert result.because.code == "nobody-heard"
    assert result.exposed == 20


def test_the_same_seed_plays_the_same_rollout_and_another_one_another() -> None:
    assert play(POLICY, FLEET, 1) == played(seed=1)
    assert played(seed=1).points != played(seed=2).points


@pytest.mark.parametrize("seed", [1, 2])
def test_exposure_rises_until_it_is_taken_back_and_covers_exactly_what_a_wave_says(seed: int) -> None:
    result = played(seed=seed)
    offered = [point.offered for point in result.points]
    assert offered == sorted(offered)
    assert {40, 200, 1_000, 4_000} <= set(offered)


def test_what_is_bad_on_one_target_is_bad_on_no_other() -> None:
    result = played(
        replace(FLEET, failure_rate=1.0, bad_target=2), POLICY.model_copy(update={"stop_failed_percent": 99})
    )
    assert 0.1 < result.points[-1].failed / 40 < 0.5


def test_a_version_that_fails_on_one_target_only_is_stopped_before_it_gets_far_there() -> None:
    spoilt = replace(FLEET, targets=6, bad_target=2, error_rate=0.08)
    result = played(spoilt)
    offered, devices = result.exposed_by_target[1]
    assert result.because.code == "gate-errors-failed"
    assert offered / devices < 0.05


@pytest.mark.parametrize("seed", [1, 7])
def test_in_a_small_fleet_it_stays_with_the_canaries_of_its_target(seed: int) -> None:
    small = Scenario(devices=1_000, targets=6, bad_target=2, error_rate=0.05)
    result = played(small, Policy(), seed)
    assert not result.completed
    offered, devices = result.exposed_by_target[1]
    assert offered / devices < 0.02


def test_a_rate_is_kept_in_any_minute() -> None:
    result = played(replace(FLEET, devices=200), POLICY.model_copy(update={"rate": Rate(devices_per_minute=12)}))
    assert result.completed
    for point in result.points:
        minute_ago = max(one.offered for one in result.points if one.seconds <= max(0.0, point.seconds - 60))
        assert point.offered - minute_ago <= 12


def test_never_more_are_in_flight_than_the_cap() -> None:
    result = played(replace(FLEET, devices=100, absent=0.0), POLICY.model_copy(update={"max_in_flight": 5}))
    assert result.completed
    assert max(point.offered - point.running - point.failed for point in result.points) == 5


def test_devices_switch_inside_their_window_only() -> None:
    night = POLICY.model_copy(update={"window": MaintenanceWindow(start="22:00", end="23:00")})
    result = played(replace(FLEET, devices=300, hours=96), night)
    assert result.completed
    changed = [b.seconds for a, b in pairwise(result.points) if b.running > a.running]
    assert changed
    assert all(22 <= (9 + seconds / 3600) % 24 <= 23.1 for seconds in changed)


def test_what_is_not_done_by_its_deadline_has_failed() -> None:
    slow = replace(FLEET, install_seconds=3_000, devices=300)
    result = played(slow, POLICY.model_copy(update={"deadline_seconds": 600}))
    assert result.because.code == "too-many-failed"


def test_a_pair_never_switches_at_once() -> None:
    pairs = POLICY.model_copy(update={"group": Group(label="pair")})
    result = played(replace(FLEET, devices=30, absent=0.0, group_size=30), pairs)
    assert max(point.offered - point.running - point.failed for point in result.points) == 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"devices": 0}, "1 to"),
        ({"targets": 51}, "targets"),
        ({"bad_target": 4, "error_rate": 0.1}, "no target 4"),
        ({"bad_target": 1}, "not what is bad"),
        ({"absent": 0.6, "by_day": 0.6}, "than there are"),
        ({"absent": 1.0}, "ever be heard"),
        ({"prediction_shift": 0.5, "drift": 0.5}, "at most 0.8"),
        ({"error_rate": 0.6, "world_error_rate": 0.6}, "More than all"),
    ],
)
def test_a_scenario_that_cannot_be_is_refused(wrong: dict[str, float], says: str) -> None:
    with pytest.raises(ScenarioWrong, match=says):
        Scenario(**wrong)  # type: ignore[arg-type]
