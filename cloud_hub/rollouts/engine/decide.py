"""What becomes of a rollout, given what is known now. Pure."""

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from cloud_hub.monitoring.gates import Verdict
from cloud_hub.rollouts.engine.ending import become, reverting, stop
from cloud_hub.rollouts.engine.harm import harm
from cloud_hub.rollouts.engine.known import APPROVAL_WANTED, VERDICT_WANTED, WAVE_OPENED, Decision, Rollout, Snapshot
from cloud_hub.rollouts.engine.pace import held_by_rate, lifted, proven
from cloud_hub.rollouts.engine.progress import following, nobody_on_the_way
from cloud_hub.rollouts.engine.verdict import names_of, questions
from cloud_hub.rollouts.engine.wave import not_heard, not_run, not_seen, orders_owed
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.states import State
from cloud_hub.rollouts.waves import names
from fleet_contract.because import Because

#: A wave soaks from when so many of its devices that were heard from run it, or as many as the policy asks for: the
#: slowest of a large fleet would add their own time to that of every wave.
_SOAKING_PERCENT = 50


def decide(rollout: Rollout, policy: Policy, snapshot: Snapshot, now: datetime) -> Decision:
    """What becomes of `rollout`, given what is known `now`. The same input always gives the same decision."""
    match rollout.state:
        case State.COMPLETED | State.REVERTED | State.ABORTED | State.SUPERSEDED:
            return Decision(rollout)
        case State.REVERTING:
            return reverting(rollout, snapshot)
        case State.RUNNING | State.PAUSED | State.STOPPED if snapshot.newer is not None:
            sentence = (
                f"Rollout {snapshot.newer} is newer, and takes over. The {snapshot.counts.offered:,} devices that have "
                f"version {rollout.version} keep it until the newer one reaches them; no further wave opens."
            )
            return become(rollout, State.SUPERSEDED, Because("superseded", sentence))
        case State.STOPPED:
            return Decision(rollout)
        case State.RUNNING | State.PAUSED:
            if cause := harm(policy, snapshot):
                return stop(rollout, policy, cause)
            return Decision(rollout) if rollout.state is State.PAUSED else _running(rollout, policy, snapshot, now)
        case _ as never:
            assert_never(never)


def _running(rollout: Rollout, policy: Policy, snapshot: Snapshot, now: datetime) -> Decision:
    soaking_since, rate_lifted = rollout.soaking_since, False
    if rollout.wave < 0:
        held = None if snapshot.waves else Because("nobody-eligible", "No device is eligible for it yet.")
    else:
        unheard, owed = not_heard(policy, snapshot), orders_owed(snapshot)
        rate_lifted = proven(policy, snapshot) and (rollout.rate_lifted or held_by_rate(snapshot) > 0)
        # Who is not ordered yet, as one that came back and waits for the rate, takes nothing from those who run it.
        few = snapshot.fresh.success_percent < min(_SOAKING_PERCENT, policy.success_percent)
        if unheard is not None or (few and not nobody_on_the_way(snapshot, snapshot.fresh)):
            soaking_since = None
        elif owed is None:
            soaking_since = rollout.soaking_since or now
        held = lifted(snapshot) if rate_lifted and not rollout.rate_lifted else owed or unheard
        held = held or not_run(rollout, policy, snapshot)
        held = held or not_seen(rollout, policy, snapshot, now - (soaking_since or now))
    wave, asked = following(rollout, snapshot), tuple[str, ...]()
    if held is not None and held.code == VERDICT_WANTED:
        asked = questions(rollout, policy, snapshot, now - (soaking_since or now))
    rollout = replace(rollout, soaking_since=soaking_since, rate_lifted=rate_lifted, asked=asked)
    if held is None:
        held = _frozen(rollout, snapshot)
    if held is None and wave is not None:
        held = _not_approved(rollout, policy, snapshot, wave)
    if held is not None:
        return Decision(replace(rollout, because=held))
    if wave is not None:
        return _open(rollout, policy, snapshot, wave, now)
    counts, last = snapshot.counts, len(snapshot.waves) - 1
    sentence = (
        f"All {len(snapshot.waves)} waves are done: version {rollout.version} runs on {counts.succeeded:,} of the "
        f"{counts.heard:,} devices heard from, and {_passed(snapshot, 'is')}."
    )
    if counts.unheard:
        sentence += f" {counts.unheard:,} more were not heard from, and get it when they come."
    # Later waves would add no device that is here, and so no evidence: they are done with this one.
    done = replace(rollout, wave=last, exposed=last + 1)
    return become(done, State.COMPLETED, Because("completed", sentence))


def _frozen(rollout: Rollout, snapshot: Snapshot) -> Because | None:
    """Why it may expose no more although all that is asked for was seen, if the fleet is frozen. Waves that add nobody
    who is here expose those that come."""
    if snapshot.frozen is None or rollout.exposed >= len(snapshot.waves):
        return None
    following = f"wave {rollout.wave + 2} of {len(snapshot.waves)} opens after that"
    return Because("frozen", f"Nothing in the fleet may move, and {following}: {snapshot.frozen}")


def _not_approved(rollout: Rollout, policy: Policy, snapshot: Snapshot, wave: int) -> Because | None:
    """What keeps `wave` from being opened although all that is asked for was seen, if a person must approve it."""
    # Waves that add nobody are passed over: who approves what comes after the open one approves `wave`.
    if policy.approval.asked_for(wave) and rollout.approved < rollout.wave + 2:
        other = f", and who is not {rollout.created_by}" if policy.approval.second_person else ""
        why = f" {_evidence(snapshot)}" if rollout.wave >= 0 else ""
        return Because(
            APPROVAL_WANTED,
            f"Wave {wave + 1} of {len(snapshot.waves)} ({snapshot.waves[wave]:,} devices) waits for somebody who "
            f"approves it{other}.{why}",
        )
    return None


def _open(rollout: Rollout, policy: Policy, snapshot: Snapshot, wave: int, now: datetime) -> Decision:
    why = f" {_evidence(snapshot)}" if rollout.wave >= 0 else ""
    because = Because(
        WAVE_OPENED,
        f"Wave {wave + 1} of {len(snapshot.waves)} ({names(policy)[wave]}) is open: {snapshot.waves[wave]:,} of "
        f"{snapshot.eligible:,} eligible devices are offered version {rollout.version}.{why}",
    )
    opened = replace(rollout, wave=wave, exposed=wave + 1, wave_started_at=now, soaking_since=None, because=because)
    # What a person accepted of one wave is asked again of the next, which shows more.
    return Decision(replace(opened, accepted=()))


def _evidence(snapshot: Snapshot) -> str:
    counts = snapshot.counts
    return (
        f"Before: {counts.succeeded:,} of {counts.heard:,} devices heard from run it, {counts.failed:,} failed, "
        f"{snapshot.wave_records:,} records, {_passed(snapshot)}."
    )


def _passed(snapshot: Snapshot, verb: str = "") -> str:
    # What is not passed and holds nothing was accepted.
    left = tuple(gate for gate in snapshot.gates if gate.verdict is not Verdict.PASS)
    is_passed = f"{verb} passed".strip()
    if not left:
        return f"every gate {is_passed}"
    return f"every other gate than {names_of(left)} {is_passed}, and a person approved it"
