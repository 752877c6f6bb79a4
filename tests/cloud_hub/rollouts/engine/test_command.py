"""What a person can make of a rollout, in each of its states."""

from dataclasses import replace

import pytest

from cloud_hub.rollouts.engine import Snapshot, Verb, VerbRefused, command
from cloud_hub.rollouts.states import FOLLOWING, State
from tests.cloud_hub.rollouts.engine.canary import FAILED, GOOD, POLICY, SOAKED, after


def test_a_person_can_pause_and_resume() -> None:
    paused = command(SOAKED, "pause", "lunch").rollout
    assert (paused.state, paused.exposed) == (State.PAUSED, 1)
    assert "Paused by a person: lunch." in paused.because.sentence
    assert after(paused, GOOD) == paused
    resumed = command(replace(paused, rate_lifted=True), "resume").rollout
    assert (resumed.state, resumed.soaking_since, resumed.rate_lifted) == (State.RUNNING, None, False)


def test_a_person_can_resume_what_a_gate_stopped_and_the_gate_stops_it_again() -> None:
    policy = POLICY.model_copy(update={"on_stop": "pause"})
    stopped = after(SOAKED, replace(GOOD, gates=(FAILED,)), policy)
    resumed = command(stopped, "resume", "false alarm").rollout
    assert resumed.state is State.RUNNING
    assert after(resumed, replace(GOOD, gates=(FAILED,)), policy).state is State.STOPPED


def test_a_person_can_abort_and_it_ends_aborted() -> None:
    aborted = command(SOAKED, "abort", "wrong model").rollout
    assert (aborted.state, aborted.exposed, aborted.because.code) == (State.REVERTING, 0, "aborted")
    assert after(aborted, Snapshot()).state is State.ABORTED


VERBS: dict[State, set[str]] = {
    State.RUNNING: {"pause", "abort"},
    State.PAUSED: {"resume", "abort"},
    State.STOPPED: {"resume", "abort"},
}


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("verb", ["pause", "resume", "abort"])
def test_each_state_takes_its_verbs_and_refuses_the_others(state: State, verb: Verb) -> None:
    rollout = replace(SOAKED, state=state)
    if verb in VERBS.get(state, set()):
        assert command(rollout, verb).rollout.state in FOLLOWING[state]
    else:
        with pytest.raises(VerbRefused, match=f"is {state}, and cannot {verb}") as refused:
            command(rollout, verb)
        assert refused.value.remedy or state in (State.RUNNING, State.PAUSED, State.STOPPED)
