"""What a person may do to a rollout now, each with what comes of it, in numbers."""

from dataclasses import dataclass

from cloud_hub.console import words
from cloud_hub.console.progress import following
from cloud_hub.rollouts.engine import APPROVAL_WANTED, VERDICT_WANTED
from cloud_hub.rollouts.states import State
from cloud_hub.rollouts.views import RolloutView


@dataclass(frozen=True)
class Action:
    """Something a person may do now. `touches` is how many devices get another order by it."""

    name: str
    text: str
    consequence: str
    button: str
    tone: str = ""
    touches: int = 0


def waits_for_approval(rollout: RolloutView) -> bool:
    """Whether it goes on only when somebody approves its next wave, or what no gate can tell any more."""
    return State(rollout.state) is State.RUNNING and rollout.because.code in (APPROVAL_WANTED, VERDICT_WANTED)


def actions(rollout: RolloutView) -> tuple[Action, ...]:
    """What may be done to `rollout` now."""
    match State(rollout.state):
        case State.RUNNING if waits_for_approval(rollout):
            return _approve(rollout), _pause(rollout), _abort(rollout)
        case State.RUNNING:
            return _pause(rollout), _abort(rollout)
        case State.PAUSED | State.STOPPED:
            return _resume(rollout), _abort(rollout)
        case _:
            return ()


def _approve(rollout: RolloutView) -> Action:
    if rollout.because.code == VERDICT_WANTED:
        return _accept(rollout)
    number = following(rollout) or rollout.wave + 1
    wave, before = rollout.waves[number], rollout.waves[rollout.wave].covers if rollout.wave >= 0 else 0
    other = f" It must be another than {rollout.created_by}." if rollout.policy.approval.second_person else ""
    return Action(
        "approve",
        f"Approve wave {number + 1}",
        f"Wave {number + 1} ({wave.name}) opens at once: {words.plural(wave.covers - before, 'more device')} are "
        f"offered v{rollout.version}, {words.count(wave.covers)} of {words.count(rollout.counts.eligible)} in all. The "
        f"gates keep watching.{other}",
        f"Approve wave {number + 1}",
        "primary",
    )


def _accept(rollout: RolloutView) -> Action:
    number = following(rollout)
    if number is not None:
        return _go_on(rollout, number)
    other = f" It must be another than {rollout.created_by}." if rollout.policy.approval.second_person else ""
    return Action(
        "approve",
        "Approve it as it is",
        f"No device gets another order: all that are here have v{rollout.version}. The rollout is completed with what "
        f"its gates could not tell, and they watch it no longer.{other}",
        "Approve it as it is",
        "primary",
    )


def _go_on(rollout: RolloutView, number: int) -> Action:
    wave, before = rollout.waves[number], rollout.waves[rollout.wave].covers
    other = f" It must be another than {rollout.created_by}." if rollout.policy.approval.second_person else ""
    return Action(
        "approve",
        "Go on as it is",
        f"What it waits for is held against it no longer. Once all else is there, wave {number + 1} ({wave.name}) "
        f"opens: {words.plural(wave.covers - before, 'more device')} are offered v{rollout.version}. The gates keep "
        f"watching, and what else they come to ask is asked again.{other}",
        "Go on as it is",
        "primary",
    )


def _pause(rollout: RolloutView) -> Action:
    counts = rollout.counts
    left = counts.left
    return Action(
        "pause",
        "Pause",
        f"Devices that keep v{rollout.version}: {words.count(counts.offered)}. Devices that it is for, and that are "
        f"not offered it: {words.count(left)}. The gates keep watching, and still stop it if they must. It can be "
        "resumed at any time.",
        "Pause the rollout",
    )


def _resume(rollout: RolloutView) -> Action:
    stopped = State(rollout.state) is State.STOPPED
    left = rollout.counts.left
    again = (
        "What it was stopped for is looked at again at once, and stops it again if it still holds. " if stopped else ""
    )
    return Action(
        "resume",
        "Resume",
        f"{again}The rollout goes on from wave {max(1, rollout.wave + 1)} of {len(rollout.waves)}, which soaks anew. "
        f"In the end {words.plural(left, 'more device')} are offered v{rollout.version}, as far as the gates let it.",
        "Resume the rollout",
    )


def _abort(rollout: RolloutView) -> Action:
    counts = rollout.counts
    return Action(
        "abort",
        "Abort",
        f"Devices that are ordered back to what each ran before: {words.count(counts.offered)}, of which "
        f"{words.count(counts.succeeded)} run v{rollout.version} now. Nobody else is offered it. This cannot be "
        "undone; a new rollout can be started.",
        "Abort the rollout and go back",
        "danger",
        counts.offered,
    )
