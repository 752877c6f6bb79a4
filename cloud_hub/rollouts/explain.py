"""Why a rollout is where it is: each condition of its next step, with what there is and what is asked for. Pure.

The conditions are those of `engine`, all at once, where a decision names the first that is not met.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from cloud_hub.monitoring.gates import Verdict
from cloud_hub.rollouts.engine import (
    AWAY,
    Counts,
    Rollout,
    Snapshot,
    accepted,
    enough_done,
    few_accepted,
    following,
    minimum,
    records_wanted,
)
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.states import State


@dataclass(frozen=True)
class Condition:
    """One condition: what there is (`have`), what is asked for (`want`), and what would meet it (`moves`)."""

    name: str
    have: str
    want: str
    met: bool
    moves: str = ""


def conditions(rollout: Rollout, policy: Policy, snapshot: Snapshot, now: datetime) -> tuple[Condition, ...]:
    """Of a rollout that runs or is paused: all that it goes on, and stops, by. Of any other: none."""
    if rollout.state not in (State.RUNNING, State.PAUSED):
        return ()
    running = Condition(
        "running", rollout.state.value, "running", rollout.state is State.RUNNING, "A person resumes or aborts it."
    )
    moving = Condition(
        "fleet", "frozen" if snapshot.frozen else "free", "free", snapshot.frozen is None, snapshot.frozen or ""
    )
    if rollout.wave < 0:
        there = Condition(
            "eligible",
            _devices(snapshot.eligible),
            "at least 1 device",
            bool(snapshot.waves),
            "A device that it selects joins.",
        )
        return (running, moving, there, *_approval(rollout, policy, snapshot))
    return (
        running,
        moving,
        *_of_devices(rollout, policy, snapshot),
        *_of_evidence(rollout, policy, snapshot, now),
        *_approval(rollout, policy, snapshot),
    )


def earliest(rollout: Rollout, policy: Policy, snapshot: Snapshot, now: datetime) -> datetime | None:
    """When time alone could move it at the soonest: the end of its soak. None where something else must come first."""
    found = conditions(rollout, policy, snapshot, now)
    others = [one for one in found if not one.met and one.name != "soak"]
    if not found or others or rollout.soaking_since is None:
        return None
    return max(now, rollout.soaking_since + timedelta(seconds=policy.soak_seconds))


def _of_devices(rollout: Rollout, policy: Policy, snapshot: Snapshot) -> Iterator[Condition]:
    fresh, counts = snapshot.fresh, snapshot.counts
    waiting = sum(count for why, count in snapshot.held.items() if why != AWAY)
    have = "all have theirs" if snapshot.carried_out else f"{waiting:,} wait" if waiting else "some wait"
    yield Condition(
        "orders", have, "every exposed device", snapshot.carried_out, "The rate, the cap or a group lets go."
    )
    asked = fresh.offered + snapshot.held.get(AWAY, 0)
    heard = 100 * fresh.heard / asked if asked else 0.0
    yield Condition(
        "heard",
        f"{fresh.heard:,} of {asked:,} devices ({heard:.1f} %)",
        f"{policy.heard_percent:g} %, and at least 1",
        fresh.heard > 0 and heard >= policy.heard_percent,
        "Devices of this wave report.",
    )
    few = few_accepted(rollout, policy, snapshot)
    worse = min((fresh, counts), key=lambda one: one.success_percent)
    yield Condition(
        "success",
        f"{worse.succeeded:,} of {worse.heard:,} devices ({worse.success_percent:.1f} %)",
        f"{policy.success_percent:g} %",
        few or worse.success_percent >= policy.success_percent,
        "Devices that are on their way come to run it.",
    )
    least = minimum(policy, snapshot)
    yield Condition(
        "devices",
        _devices(fresh.succeeded),
        f"at least {_devices(least)}",
        few or fresh.succeeded >= least,
        "More devices of this wave come to run it.",
    )
    yield _failures(policy, snapshot, counts if counts.failed_percent >= fresh.failed_percent else fresh)


def _failures(policy: Policy, snapshot: Snapshot, counts: Counts) -> Condition:
    return Condition(
        "failures",
        f"{counts.failed:,} of {counts.heard:,} devices ({counts.failed_percent:.1f} %)",
        f"at most {policy.stop_failed_percent:g} %, once {policy.stop_failed_after} or all are done",
        not enough_done(counts, policy, snapshot) or counts.failed_percent <= policy.stop_failed_percent,
        "It is stopped by it.",
    )


def _of_evidence(rollout: Rollout, policy: Policy, snapshot: Snapshot, now: datetime) -> Iterator[Condition]:
    soaked = (now - rollout.soaking_since).total_seconds() if rollout.soaking_since else 0.0
    yield Condition(
        "soak",
        f"{soaked:.0f} s",
        f"{policy.soak_seconds:g} s",
        rollout.soaking_since is not None and soaked >= policy.soak_seconds,
        "Time passes while its devices run it.",
    )
    yield Condition(
        "records",
        f"{snapshot.wave_records:,}",
        f"{policy.minimum_records:,}",
        not records_wanted(rollout, policy, snapshot),
        "Devices of it answer, and their telemetry comes in.",
    )
    for gate in snapshot.gates:
        met = gate.verdict is Verdict.PASS or accepted(rollout, snapshot, gate)
        yield Condition(f"gate {gate.name}", gate.verdict.value, Verdict.PASS.value, met, gate.sentence)


def _approval(rollout: Rollout, policy: Policy, snapshot: Snapshot) -> Iterator[Condition]:
    wave = following(rollout, snapshot)
    other = f" who is not {rollout.created_by}" if policy.approval.second_person else ""
    approved = rollout.approved >= rollout.wave + 2
    if rollout.asked or rollout.accepted:
        yield Condition(
            "approval",
            f"given, of {', '.join(rollout.accepted)}" if rollout.accepted else "none",
            f"of {', '.join((*rollout.accepted, *rollout.asked))}, which nothing else has answered",
            not rollout.asked,
            f"Somebody{other} approves it as it is, or aborts it.",
        )
    if wave is not None and policy.approval.asked_for(wave):
        yield Condition(
            "approval",
            "given" if approved else "none",
            f"of wave {wave + 1}",
            approved,
            f"Somebody{other} approves it, once all else is there.",
        )


def _devices(count: int) -> str:
    return f"{count:,} device{'' if count == 1 else 's'}"
