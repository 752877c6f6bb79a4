"""What of an open wave only a person can answer any more. Pure."""

from cloud_hub.monitoring.gates import Gate, Verdict
from cloud_hub.rollouts.engine.known import SUCCESS, Rollout, Snapshot
from cloud_hub.rollouts.engine.progress import following, nobody_on_the_way, short
from cloud_hub.rollouts.policy import Policy


def questions(rollout: Rollout, policy: Policy, snapshot: Snapshot) -> tuple[str, ...]:
    """What `VERDICT_WANTED` is about."""
    if short(policy, snapshot) is not None and SUCCESS not in rollout.accepted:
        return (SUCCESS,)
    return tuple(gate.name for gate in unanswerable(rollout, snapshot) if gate.name not in rollout.accepted)


def unanswerable(rollout: Rollout, snapshot: Snapshot) -> tuple[Gate, ...]:
    """The gates that only a person can answer any more; none while another may still pass or fail. They do not end by
    themselves: who completes a rollout stops watching it, and who opens a wave exposes more."""
    undecided = tuple(gate for gate in snapshot.gates if gate.verdict is not Verdict.PASS)
    last, all_done = following(rollout, snapshot) is None, nobody_on_the_way(snapshot, snapshot.counts)
    if all((gate.exhausted and last) or (gate.clear and all_done) for gate in undecided):
        return undecided
    return ()


def names_of(gates: tuple[Gate, ...]) -> str:
    return " and ".join(gate.name for gate in gates)
