"""What an open wave must show before the next one opens, and when the last one is done."""

from dataclasses import replace
from datetime import timedelta

import pytest

from cloud_hub.rollouts.engine import Counts, Snapshot
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.states import State
from tests.cloud_hub.rollouts.engine.canary import (
    BORN,
    CANARY,
    FAILED,
    GOOD,
    NOW,
    PASSED,
    POLICY,
    SOAKED,
    UNDECIDED,
    after,
)


def test_the_first_wave_opens_at_once() -> None:
    rollout = after(BORN, replace(GOOD, counts=Counts(), fresh=Counts(), wave_records=0, gates=()))
    assert (rollout.wave, rollout.exposed, rollout.wave_started_at) == (0, 1, NOW)
    assert rollout.because.sentence == "Wave 1 of 3 (1 device) is open: 1 of 6 eligible devices are offered version 2."


def test_a_rollout_for_nobody_waits() -> None:
    rollout = after(BORN, Snapshot())
    assert (rollout.state, rollout.exposed, rollout.because.code) == (State.RUNNING, 0, "nobody-eligible")


def test_a_wave_that_proved_itself_opens_the_next() -> None:
    rollout = after(SOAKED, GOOD)
    assert (rollout.wave, rollout.exposed, rollout.wave_started_at) == (1, 2, NOW)
    assert rollout.soaking_since is None
    assert "3 of 6 eligible" in rollout.because.sentence
    assert "1 of 1 devices heard from run it" in rollout.because.sentence


@pytest.mark.parametrize(
    ("snapshot", "code", "number"),
    [
        (replace(GOOD, carried_out=False), "orders-owed", "1"),
        (replace(GOOD, fresh=Counts(offered=2)), "nobody-heard", "2"),
        (replace(GOOD, fresh=Counts(5, 2, 2)), "quorum-wanted", "2 of the 5"),
        (replace(GOOD, fresh=Counts(3, 2, 1)), "devices-pending", "1 of 2"),
        (replace(GOOD, counts=Counts(30, 20, 18)), "devices-pending", "18 of 20"),
        (replace(GOOD, wave_records=199), "records-wanted", "199"),
        (replace(GOOD, gates=(PASSED, UNDECIDED)), "gate-predictions-undecided", "Who knows"),
    ],
)
def test_what_is_missing_holds_a_wave_back_and_is_named(snapshot: Snapshot, code: str, number: str) -> None:
    rollout = after(SOAKED, snapshot)
    assert (rollout.state, rollout.exposed, rollout.because.code) == (State.RUNNING, 1, code)
    assert number in rollout.because.sentence


def test_a_wave_soaks_from_when_its_devices_run_the_version_and_anew_when_they_do_not() -> None:
    soaking = after(CANARY, GOOD)
    assert (soaking.because.code, soaking.soaking_since) == ("soaking", NOW)
    assert after(soaking, replace(GOOD, fresh=Counts(1, 1))).soaking_since is None
    # Who has no order yet only holds it, as long as it does not go on without.
    waits = replace(GOOD, carried_out=False, held={"rate": 1})
    waiting = after(SOAKED, waits)
    assert (waiting.because.code, waiting.soaking_since) == ("orders-owed", SOAKED.soaking_since)
    assert after(CANARY, waits).soaking_since is None
    assert after(CANARY, replace(waits, fresh=Counts(1, 1))).because.code == "orders-owed"
    assert after(SOAKED, replace(waits, fresh=Counts(1, 1))).soaking_since is None
    half = replace(GOOD, fresh=Counts(6, 6, 3))
    assert (after(CANARY, half).because.code, after(CANARY, half).soaking_since) == ("devices-pending", NOW)
    assert after(SOAKED, replace(half, fresh=Counts(6, 6, 2))).soaking_since is None
    few = POLICY.model_copy(update={"success_percent": 30})
    assert after(CANARY, replace(half, fresh=Counts(6, 6, 2)), few).soaking_since == NOW
    almost = replace(CANARY, soaking_since=NOW - timedelta(seconds=59))
    assert after(almost, GOOD).because.code == "soaking"


def test_a_wave_needs_as_many_devices_as_the_policy_says_or_all_that_it_has() -> None:
    many = POLICY.model_copy(update={"minimum_devices": 3})
    for counts, code in ((Counts(6, 3, 2), "devices-pending"), (Counts(4, 2, 2), "verdict-wanted")):
        found = after(SOAKED, replace(GOOD, fresh=counts), many)
        assert found.because.code == code
    assert after(SOAKED, replace(GOOD, fresh=Counts(2, 2, 2)), many).wave == 1


def test_devices_never_heard_from_hold_nothing_back() -> None:
    counts = Counts(offered=10, heard=5, succeeded=5)
    assert after(SOAKED, replace(GOOD, counts=counts, fresh=counts)).wave == 1


def test_the_last_wave_completes_the_rollout_for_those_that_join_later_too() -> None:
    last = replace(SOAKED, wave=2, exposed=3)
    rollout = after(last, replace(GOOD, counts=Counts(6, 5, 5)))
    assert (rollout.state, rollout.because.code) == (State.COMPLETED, "completed")
    assert "5 of the 5 devices" in rollout.because.sentence
    assert "1 more were not heard from" in rollout.because.sentence


def test_waves_that_would_add_nobody_are_done_with_the_one_before() -> None:
    alone = after(SOAKED, replace(GOOD, eligible=1, waves=(1, 1, 1)))
    assert (alone.state, alone.wave, alone.exposed) == (State.COMPLETED, 2, 3)
    opened = after(SOAKED, replace(GOOD, waves=(1, 1, 2, 6)), Policy())
    assert (opened.wave, opened.exposed) == (2, 3)


def test_while_the_fleet_is_frozen_no_wave_opens_and_nothing_goes_back() -> None:
    frozen = replace(GOOD, frozen="Ann froze it until Monday.")
    for rollout in (BORN, SOAKED):
        held = after(rollout, frozen)
        assert (held.exposed, held.because.code) == (rollout.exposed, "frozen")
        assert "Ann froze it until Monday." in held.because.sentence
    # The later waves add nobody who is here: the end would expose who comes.
    alone = after(SOAKED, replace(frozen, waves=(1, 1, 1)))
    assert (alone.state, alone.exposed, alone.because.code) == (State.RUNNING, 1, "frozen")
    reverting = after(SOAKED, replace(frozen, gates=(FAILED,)))
    assert reverting.state is State.REVERTING
    assert "goes back once the fleet may move again" in after(reverting, frozen).because.sentence


def test_large_numbers_are_told_so_that_they_can_be_read() -> None:
    large = Counts(offered=73_562, heard=71_204, succeeded=30_358)
    pending = after(SOAKED, replace(GOOD, counts=large, fresh=large)).because.sentence
    assert "30,358 of 71,204 devices heard from run it (42.6 %), 0 failed and 40,846 are on their way" in pending
    owed = after(SOAKED, replace(GOOD, carried_out=False, held={"rate": 73_220})).because.sentence
    assert owed.endswith("others wait: 73,220 for the rate.")
