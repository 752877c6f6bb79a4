"""Whatever holds a rollout is among the conditions that are not met."""

from dataclasses import replace
from datetime import UTC, datetime

from cloud_hub.monitoring.gates import Gate, Verdict
from cloud_hub.rollouts.engine import Counts, Rollout, Snapshot
from cloud_hub.rollouts.explain import conditions
from cloud_hub.rollouts.policy import Approval, Policy
from cloud_hub.rollouts.states import State
from fleet_contract.because import Because

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


def test_the_approval_that_is_wanted_is_of_the_next_wave_that_adds_somebody() -> None:
    rollout = Rollout("r1", "digits", 2, State.RUNNING, Because("approval-wanted", "It waits."))
    policy = Policy(approval=Approval(waves="after-first"))
    # Nobody is in the lab, and the first wave to open is the second.
    found = conditions(rollout, policy, Snapshot(eligible=2, waves=(0, 1, 2)), NOW)
    assert [(one.name, one.want) for one in found if not one.met] == [("approval", "of wave 2")]


def test_what_no_gate_can_tell_any_more_waits_for_a_person() -> None:
    rollout = Rollout(
        "r1",
        "digits",
        2,
        State.RUNNING,
        Because("verdict-wanted", "It waits."),
        wave=0,
        soaking_since=NOW,
        asked=("errors",),
    )
    gate = Gate("errors", Verdict.NOT_ENOUGH_EVIDENCE, "Who knows.", 0.1, 0.0, 0.2, 0.02, exhausted=True)
    done = Counts(offered=1, heard=1, succeeded=1)
    snapshot = Snapshot(1, (1,), done, done, 500, (gate,))
    found = conditions(rollout, Policy(soak_seconds=0), snapshot, NOW)
    assert [(one.name, one.have) for one in found if not one.met] == [
        ("gate errors", "not-enough-evidence"),
        ("approval", "none"),
    ]
    approved = conditions(replace(rollout, asked=(), accepted=("errors",)), Policy(soak_seconds=0), snapshot, NOW)
    assert all(one.met for one in approved)


def test_a_wave_of_which_too_few_run_it_waits_for_a_person_and_for_nothing_once_one_has_approved_that() -> None:
    because = Because("verdict-wanted", "It waits.")
    rollout = Rollout("r1", "digits", 2, State.RUNNING, because, wave=0, soaking_since=NOW, asked=("success",))
    some = Counts(offered=10, heard=10, succeeded=9, failed=1)
    snapshot, policy = Snapshot(20, (10, 20), some, some, 500, ()), Policy(soak_seconds=0, minimum_devices=10)
    found = conditions(rollout, policy, snapshot, NOW)
    assert [one.name for one in found if not one.met] == ["success", "devices", "approval"]
    approved = conditions(replace(rollout, asked=(), accepted=("success",)), policy, snapshot, NOW)
    assert all(one.met for one in approved)
