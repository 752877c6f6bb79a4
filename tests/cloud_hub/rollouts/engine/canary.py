"""A rollout whose canary is out and well, what is known of it, and what the engine makes of that. What holds for all
decisions together is in `tests/cloud_hub/rollouts/laws`.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from cloud_hub.monitoring.gates import Gate, Verdict
from cloud_hub.rollouts.engine import Counts, Rollout, Snapshot, decide
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.states import State
from fleet_contract.because import Because

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
POLICY = Policy.model_validate({"waves": [{"devices": 1}, {"percent": 50}, {"percent": 100}], "stop_failed_percent": 5})
BORN = Rollout("digits-v2-abc", "digits", 2, State.RUNNING, Because("created", "Created."))
CANARY = replace(BORN, wave=0, exposed=1, wave_started_at=NOW, because=Because("wave-opened", "Wave 1 is open."))
PASSED = Gate("errors", Verdict.PASS, "Fine.", 0.0, -0.01, 0.01, 0.02)
UNDECIDED = replace(PASSED, name="predictions", verdict=Verdict.NOT_ENOUGH_EVIDENCE, sentence="Who knows.")
FAILED = replace(PASSED, name="predictions", verdict=Verdict.FAIL, sentence="All predictions are 3.")
DONE = Counts(offered=1, heard=1, succeeded=1)
#: A canary with which all is well, of six devices.
GOOD = Snapshot(
    eligible=6, waves=(1, 3, 6), counts=DONE, fresh=DONE, wave_records=500, gates=(PASSED,)
)  # fmt: skip
SOAKED = replace(CANARY, soaking_since=NOW - timedelta(seconds=60))
EAGER = POLICY.model_copy(update={"soak_seconds": 0})


def after(rollout: Rollout, snapshot: Snapshot, policy: Policy = POLICY) -> Rollout:
    return decide(rollout, policy, snapshot, NOW).rollout
