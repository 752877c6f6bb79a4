"""How a rollout ends: harm takes it back, a newer one takes over, and what is over stays as it is."""

from dataclasses import replace
from typing import Any

import pytest

from cloud_hub.rollouts.engine import Counts, LeftOver, Snapshot
from cloud_hub.rollouts.states import State
from tests.cloud_hub.rollouts.engine.canary import FAILED, GOOD, PASSED, POLICY, SOAKED, after


@pytest.mark.parametrize("state", [State.RUNNING, State.PAUSED])
@pytest.mark.parametrize(
    ("snapshot", "code"),
    [
        (replace(GOOD, gates=(PASSED, FAILED)), "gate-predictions-failed"),
        (replace(GOOD, counts=Counts(20, 18, 17, 1)), "too-many-failed"),
        (replace(GOOD, fresh=Counts(2, 2, 1, 1)), "too-many-failed"),
    ],
)
def test_harm_reverts_whether_it_runs_or_is_paused(state: State, snapshot: Snapshot, code: str) -> None:
    rollout = after(replace(SOAKED, state=state), snapshot)
    assert (rollout.state, rollout.exposed, rollout.because.code) == (State.REVERTING, 0, code)
    assert "Reverting" in rollout.because.sentence


def test_harm_only_stops_where_the_policy_says_so() -> None:
    policy = POLICY.model_copy(update={"on_stop": "pause"})
    rollout = after(SOAKED, replace(GOOD, gates=(FAILED,)), policy)
    assert (rollout.state, rollout.exposed) == (State.STOPPED, 1)
    assert rollout.because.sentence.startswith("The gate on predictions failed. All predictions are 3.")
    assert after(rollout, GOOD, policy) == rollout


def test_few_failures_among_many_do_not_stop_it() -> None:
    assert after(SOAKED, replace(GOOD, counts=Counts(40, 40, 38, 2))).state is State.RUNNING


def test_failures_stop_it_only_after_as_many_devices_as_the_policy_says() -> None:
    patient = POLICY.model_copy(update={"stop_failed_after": 10})
    for counts, state in ((Counts(40, 30, 6, 3), State.RUNNING), (Counts(40, 30, 7, 3), State.REVERTING)):
        assert after(SOAKED, replace(GOOD, counts=counts, fresh=counts), patient).state is state


def test_reverting_ends_when_no_device_heard_from_has_the_version_and_says_why_it_began() -> None:
    reverting = after(SOAKED, replace(GOOD, gates=(FAILED,)))
    still = after(reverting, Snapshot(left_over=LeftOver(returning=2, unreachable=1)))
    assert (still.state, still.because.code) == (State.REVERTING, "gate-predictions-failed")
    assert "2 devices still have version 2" in still.because.sentence
    assert after(reverting, Snapshot(carried_out=False)).state is State.REVERTING
    over = after(still, Snapshot(left_over=LeftOver(unreachable=1)))
    assert over.state is State.REVERTED
    assert "All predictions are 3" in over.because.sentence
    assert "1 not heard from" in over.because.sentence


def test_a_revert_that_leaves_devices_the_version_says_how_many_and_by_what() -> None:
    reverting = after(SOAKED, replace(GOOD, gates=(FAILED,)))
    said = after(reverting, Snapshot(left_over=LeftOver(pinned=3, elsewhere=2))).because.sentence
    assert said.endswith(
        "Reverted: but for 3 that pins hold and 2 that have it by another rollout, no device heard from has version 2 "
        "any more."
    )


def test_a_newer_rollout_takes_over_and_leaves_devices_what_they_have() -> None:
    for state in (State.RUNNING, State.PAUSED, State.STOPPED):
        rollout = after(replace(SOAKED, state=state), replace(GOOD, newer="digits-v3-def", gates=(FAILED,)))
        assert (rollout.state, rollout.exposed) == (State.SUPERSEDED, 1)
        assert "digits-v3-def" in rollout.because.sentence
    reverting = after(SOAKED, replace(GOOD, gates=(FAILED,)))
    assert after(reverting, Snapshot(newer="digits-v3-def")).state is State.REVERTED


@pytest.mark.parametrize("state", [State.COMPLETED, State.REVERTED, State.ABORTED, State.SUPERSEDED])
@pytest.mark.parametrize("snapshot", [GOOD, replace(GOOD, gates=(FAILED,)), replace(GOOD, newer="digits-v3-def")])
def test_what_is_over_stays_as_it_is(state: State, snapshot: Any) -> None:
    rollout = replace(SOAKED, state=state)
    assert after(rollout, snapshot) == rollout
