"""What of an open wave only a person can answer any more, or may. Pure."""

from datetime import timedelta

from cloud_hub.monitoring.gates import Gate, Verdict
from cloud_hub.rollouts.engine.known import RECORDS, SUCCESS, UNTOLD, Rollout, Snapshot
from cloud_hub.rollouts.engine.progress import following, nobody_on_the_way, short
from cloud_hub.rollouts.policy import Policy

#: So long after its soak a person is asked about a wave, whatever it lacks: its canaries may have fallen silent for
#: good, or have nothing that they can be compared with.
_PATIENCE = timedelta(hours=1)


def questions(rollout: Rollout, policy: Policy, snapshot: Snapshot, soaked: timedelta) -> tuple[str, ...]:
    """What `VERDICT_WANTED` is about, of a wave that has `soaked` so long."""
    if short(policy, snapshot) is not None and SUCCESS not in rollout.accepted:
        return (SUCCESS,)
    records = (RECORDS,) if records_wanted(rollout, policy, snapshot) and waited_for(policy, soaked) else ()
    left = unanswerable(rollout, policy, snapshot, soaked)
    return records + tuple(_question(rollout, snapshot, gate) for gate in left)


def unanswerable(rollout: Rollout, policy: Policy, snapshot: Snapshot, soaked: timedelta) -> tuple[Gate, ...]:
    """The gates that only a person can answer any more, or that have not told for so long that one may; none while
    another may still pass or fail. They do not end by themselves: who completes a rollout stops watching it, and who
    opens a wave exposes more."""
    left = undecided(rollout, snapshot)
    nothing_more = all(_answerless(rollout, snapshot, gate) for gate in left)
    return left if nothing_more or waited_for(policy, soaked) else ()


def undecided(rollout: Rollout, snapshot: Snapshot) -> tuple[Gate, ...]:
    """The gates that hold the open wave: neither passed nor accepted by a person."""
    return tuple(
        gate for gate in snapshot.gates if gate.verdict is not Verdict.PASS and not accepted(rollout, snapshot, gate)
    )


def accepted(rollout: Rollout, snapshot: Snapshot, gate: Gate) -> bool:
    """Whether a person has approved what `gate` says now: who approved that it could not tell has not seen it look bad,
    and who approved what nothing would answer leaves to it what it may tell again."""
    return _question(rollout, snapshot, gate) in rollout.accepted


def records_wanted(rollout: Rollout, policy: Policy, snapshot: Snapshot) -> bool:
    """Whether too little telemetry came in, and no person has approved that."""
    return snapshot.wave_records < policy.minimum_records and RECORDS not in rollout.accepted


def waited_for(policy: Policy, soaked: timedelta) -> bool:
    """Whether a wave that has `soaked` so long has been waited for long enough for a person to be asked."""
    return soaked >= timedelta(seconds=policy.soak_seconds) + _PATIENCE


def names_of(gates: tuple[Gate, ...]) -> str:
    return " and ".join(gate.name for gate in gates)


def _question(rollout: Rollout, snapshot: Snapshot, gate: Gate) -> str:
    # What looks bad while others are on their way may still tell, and is no less bad for that.
    return gate.name if gate.clear or _answerless(rollout, snapshot, gate) else gate.name + UNTOLD


def _answerless(rollout: Rollout, snapshot: Snapshot, gate: Gate) -> bool:
    """Whether nothing that is still to come in this wave answers `gate`."""
    last, all_done = following(rollout, snapshot) is None, nobody_on_the_way(snapshot, snapshot.counts)
    return (gate.exhausted and last) or (gate.clear and all_done)
