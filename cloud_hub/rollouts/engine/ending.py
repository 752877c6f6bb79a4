"""How a rollout is stopped and taken back. Pure."""

from dataclasses import replace
from typing import assert_never

from cloud_hub.rollouts.engine.known import Decision, LeftOver, Rollout, Snapshot
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.states import FOLLOWING, State
from fleet_contract.because import Because


def stop(rollout: Rollout, policy: Policy, cause: Because) -> Decision:
    match policy.on_stop:
        case "revert":
            return revert(rollout, cause)
        case "pause":
            sentence = (
                f"{cause.sentence} Stopped: devices that have version {rollout.version} keep it, no other gets it. "
                "Resume it, or abort it to revert."
            )
            stopped = replace(rollout, cause=cause, soaking_since=None)
            return become(stopped, State.STOPPED, Because(cause.code, sentence))
        case _ as never:
            assert_never(never)


def revert(rollout: Rollout, cause: Because) -> Decision:
    sentence = f"{cause.sentence} Reverting: each device is ordered back to what it ran before."
    reverting = replace(rollout, cause=cause, exposed=0, soaking_since=None)
    return become(reverting, State.REVERTING, Because(cause.code, sentence))


def reverting(rollout: Rollout, snapshot: Snapshot) -> Decision:
    cause = rollout.cause or rollout.because
    if snapshot.frozen is not None:
        sentence = f"{cause.sentence} It goes back once the fleet may move again: {snapshot.frozen}"
        return Decision(replace(rollout, because=Because(cause.code, sentence)))
    left = snapshot.left_over
    away = f" {left.unreachable:,} not heard from will be, when they come back." if left.unreachable else ""
    if left.returning or not snapshot.carried_out:
        sentence = f"{cause.sentence} Reverting: {left.returning:,} devices still have version {rollout.version}."
        return Decision(replace(rollout, because=Because(cause.code, sentence + away)))
    gone = f"Reverted: {_keepers(left)}no device heard from has version {rollout.version} any more."
    because = Because(cause.code, f"{cause.sentence} {gone}{away}")
    return become(rollout, State.ABORTED if rollout.aborted else State.REVERTED, because)


def _keepers(left: LeftOver) -> str:
    kept = [f"{left.pinned:,} that pins hold"] if left.pinned else []
    kept += [f"{left.elsewhere:,} that have it by another rollout"] if left.elsewhere else []
    return f"but for {' and '.join(kept)}, " if kept else ""


def become(rollout: Rollout, state: State, because: Because) -> Decision:
    assert state in FOLLOWING[rollout.state], f"{rollout.state} cannot become {state}"
    return Decision(replace(rollout, state=state, because=because))
