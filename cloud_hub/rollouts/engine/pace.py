"""When a rate that holds only until a version is proven holds nobody. Pure."""

from cloud_hub.monitoring.gates import Verdict
from cloud_hub.rollouts.engine.harm import enough_done
from cloud_hub.rollouts.engine.known import Snapshot
from cloud_hub.rollouts.policy import Policy
from fleet_contract.because import Because


def proven(policy: Policy, snapshot: Snapshot) -> bool:
    """Whether so much is, that a rate which holds only until then protects nobody: every gate is passed, by as many
    devices as say something."""
    if policy.rate is None or not policy.rate.until_proven or not snapshot.counts.succeeded:
        return False
    passed = bool(snapshot.gates) and all(gate.verdict is Verdict.PASS for gate in snapshot.gates)
    return passed and enough_done(snapshot.counts, policy, snapshot)


def held_by_rate(snapshot: Snapshot) -> int:
    return snapshot.held.get("rate", 0)


def lifted(snapshot: Snapshot) -> Because:
    return Because(
        "rate-lifted",
        f"Every gate is passed on the {snapshot.counts.succeeded:,} devices that run it: the "
        f"{held_by_rate(snapshot):,} of this wave that wait for the rate need not, as long as that is so.",
    )
