"""Whatever holds a rollout is among the conditions that are not met."""

from datetime import UTC, datetime

from cloud_hub.rollouts.engine import Rollout, Snapshot
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
