"""What a person makes of a rollout. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

from cloud_hub.errors import Conflict
from cloud_hub.rollouts.engine.ending import become, revert
from cloud_hub.rollouts.engine.known import APPROVAL_WANTED, VERDICT_WANTED, Decision, Rollout, Verb
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.states import State
from fleet_contract.because import Because


class VerbRefused(Conflict):
    """This rollout's state has no such way out."""

    code = "rollout-state"


class SamePerson(Conflict):
    """Who created a rollout cannot be the second person who approves it."""

    code = "same-person"


def command(rollout: Rollout, verb: Verb, reason: str = "", by: str = "a person") -> Decision:
    """What the `verb` of `by` makes of `rollout`. Raises `VerbRefused` where its state does not allow it."""
    said = f": {reason.rstrip('.')}." if reason else "."
    match verb:
        case "pause" if rollout.state is State.RUNNING:
            sentence = f"Paused by {by}{said} Devices that have version {rollout.version} keep it, no other gets it."
            return become(rollout, State.PAUSED, Because("paused", sentence))
        case "resume" if rollout.state in (State.PAUSED, State.STOPPED):
            because = Because("resumed", f"Resumed by {by}{said}")
            # What soaked before was perhaps left to itself for long: it soaks, and is proven, anew.
            again = replace(rollout, soaking_since=None, rate_lifted=False, asked=(), accepted=(), cause=None)
            return become(again, State.RUNNING, because)
        case "abort" if rollout.state in (State.RUNNING, State.PAUSED, State.STOPPED):
            return revert(replace(rollout, aborted=True), Because("aborted", f"Aborted by {by}{said}"))
        case "approve" if rollout.state is State.RUNNING and rollout.because.code == APPROVAL_WANTED:
            because = Because("approved", f"The next wave is approved by {by}{said}")
            return Decision(replace(rollout, approved=rollout.wave + 2, because=because))
        case "approve" if rollout.state is State.RUNNING and rollout.because.code == VERDICT_WANTED:
            # What was asked, and nothing that may come to be asked later.
            because = Because("approved", f"Approved as it is by {by}{said}")
            return Decision(replace(rollout, asked=(), accepted=(*rollout.accepted, *rollout.asked), because=because))
        case "approve" if rollout.state is State.RUNNING:
            raise VerbRefused(
                f"Rollout {rollout.id} waits for no approval: {rollout.because.sentence}",
                "Approve a wave once all else is there for it.",
            )
        case "pause" | "resume" | "abort" | "approve":
            raise VerbRefused(
                f"Rollout {rollout.id} is {rollout.state}, and cannot {verb}.", _REMEDIES.get(rollout.state, "")
            )
        case _ as never:
            assert_never(never)


def check_second_person(rollout: Rollout, policy: Policy, by: str | None) -> None:
    """Raises `SamePerson` where `policy` wants another than who created `rollout`, and `by` is not, or (None) does not
    say who it is."""
    if not policy.approval.second_person:
        return
    if by is None:
        raise SamePerson(
            f"The policy of rollout {rollout.id} asks for a second person, and who approves does not say who it is.",
            "Say who you are: Vedette-Actor over HTTP, VEDETTE_ACTOR for the command line.",
        )
    if by.casefold() == rollout.created_by.casefold():
        raise SamePerson(
            f"{by} created rollout {rollout.id}, and its policy asks for a second person.", "Have another approve it."
        )


_REMEDIES: Mapping[State, str] = {
    State.PAUSED: "Resume it first.",
    State.STOPPED: "Resume it first, or abort it.",
    State.COMPLETED: "To go back, roll out the version that was there before.",
    State.REVERTING: "It is on its way back already; a new rollout may start at any time.",
    State.REVERTED: "Start a new rollout.",
    State.ABORTED: "Start a new rollout.",
    State.SUPERSEDED: "Act on the rollout that took over.",
}
