"""How far an open wave is: which comes next, who is on the way, and whether enough run it. Pure."""

from cloud_hub.rollouts.engine.known import SUCCESS, Counts, Rollout, Snapshot
from cloud_hub.rollouts.policy import Policy


def following(rollout: Rollout, snapshot: Snapshot) -> int | None:
    """The next wave that adds somebody: in a small fleet, 1 % and 5 % are the same device, which proves nothing new."""
    covered = snapshot.waves[rollout.wave] if rollout.wave >= 0 else 0
    return next((wave for wave in range(rollout.wave + 1, len(snapshot.waves)) if snapshot.waves[wave] > covered), None)


def nobody_on_the_way(snapshot: Snapshot, counts: Counts) -> bool:
    """Whether nobody of `counts` is on the way, or about to be."""
    return snapshot.carried_out and not counts.pending


def short(policy: Policy, snapshot: Snapshot) -> Counts | None:
    """The counts in which too few devices run it, of the open wave or of all; None where enough do."""
    fresh = snapshot.fresh
    for counts in (fresh, snapshot.counts):
        if counts.success_percent < policy.success_percent:
            return counts
    return fresh if fresh.succeeded < minimum(policy, snapshot) else None


def few_accepted(rollout: Rollout, policy: Policy, snapshot: Snapshot) -> bool:
    """Whether too few devices run it, no more will, and a person has approved that."""
    counts = short(policy, snapshot)
    return counts is not None and nobody_on_the_way(snapshot, counts) and SUCCESS in rollout.accepted


def minimum(policy: Policy, snapshot: Snapshot) -> int:
    """So many devices of the open wave must run it. One that is smaller must succeed as a whole: it has no more to
    show."""
    return min(policy.minimum_devices, snapshot.fresh.offered)
