"""Why a rollout must stop, if it must. Pure."""

from cloud_hub.monitoring.gates import Verdict
from cloud_hub.rollouts.engine.known import Counts, Snapshot
from cloud_hub.rollouts.policy import Policy
from fleet_contract.because import Because


def harm(policy: Policy, snapshot: Snapshot) -> Because | None:
    """Why it must stop, if it must."""
    for counts in (snapshot.counts, snapshot.fresh):
        if enough_done(counts, policy, snapshot) and counts.failed_percent > policy.stop_failed_percent:
            return Because(
                "too-many-failed",
                f"{counts.failed:,} of {counts.heard:,} devices heard from failed ({counts.failed_percent:.1f} %), and "
                f"at most {policy.stop_failed_percent:g} % may.",
            )
    for gate in snapshot.gates:
        if gate.verdict is Verdict.FAIL:
            return Because(f"gate-{gate.name}-failed", f"The gate on {gate.name} failed. {gate.sentence}")
    return None


def enough_done(counts: Counts, policy: Policy, snapshot: Snapshot) -> bool:
    """Whether so many are done that the share of failed ones says something: the minimum, or all that there are."""
    all_done = snapshot.carried_out and not counts.pending
    return all_done or counts.succeeded + counts.failed >= policy.stop_failed_after
