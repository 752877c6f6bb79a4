"""Decides how far a rollout may go. No I/O, no clock, no randomness.

`decide` looks at what is known now; `command` is what a person wants. Both give the rollout as it should be and why.
A decision is carried out by its exposure alone (`wanted.py`), so there is nothing to be lost between deciding and
doing: whoever finds orders that differ from the exposure brings them there.

What holds: exposure never rises on missing evidence; it falls only to 0, and then for good; every state has a reason;
nothing ever blocks a newer rollout.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, assert_never

from cloud_hub.errors import Conflict
from cloud_hub.monitoring.gates import Gate, Verdict
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.states import FOLLOWING, State
from cloud_hub.rollouts.waves import BUCKETS
from fleet_contract.because import Because

Verb = Literal["pause", "resume", "abort"]


@dataclass(frozen=True)
class Rollout:
    """One rollout, as far as deciding needs it; fields as in `tables.RolloutRow`."""

    id: str
    model: str
    version: int
    state: State
    because: Because
    wave: int = -1
    exposed: int = 0
    aborted: bool = False
    wave_started_at: datetime | None = None
    soaking_since: datetime | None = None
    cause: Because | None = None


@dataclass(frozen=True)
class Counts:
    """Devices. Heard from are those that spoke since they were offered the version, or that are connected now."""

    offered: int = 0
    heard: int = 0
    succeeded: int = 0
    failed: int = 0

    @property
    def pending(self) -> int:
        return self.heard - self.succeeded - self.failed

    @property
    def unheard(self) -> int:
        return self.offered - self.heard

    @property
    def heard_percent(self) -> float:
        return 100 * self.heard / self.offered if self.offered else 0.0

    @property
    def success_percent(self) -> float:
        return 100 * self.succeeded / self.heard if self.heard else 0.0

    @property
    def failed_percent(self) -> float:
        return 100 * self.failed / self.heard if self.heard else 0.0


@dataclass(frozen=True)
class Snapshot:
    """What is known now.

    `reach(n)` is the exposure that covers exactly n of the eligible devices; it is asked only when a wave opens.
    `counts` are of all devices that this rollout has offered its version to, `fresh` of those that the open wave
    added (of all, where it added none); `wave_records` came from the treated since it opened. `returning` are
    heard-from devices that still have the version after a revert, `unreachable` those not heard from.
    `carried_out`: orders are where exposure is.
    """

    eligible: int = 0
    reach: Callable[[int], int] = lambda _count: 0
    counts: Counts = Counts()
    fresh: Counts = Counts()
    wave_records: int = 0
    gates: tuple[Gate, ...] = ()
    newer: str | None = None
    carried_out: bool = True
    returning: int = 0
    unreachable: int = 0


@dataclass(frozen=True)
class Decision:
    """The rollout as it should be from now on; its reason is `rollout.because`."""

    rollout: Rollout

    @property
    def because(self) -> Because:
        return self.rollout.because


class VerbRefused(Conflict):
    """This rollout's state has no such way out."""

    code = "rollout-state"


def decide(rollout: Rollout, policy: Policy, snapshot: Snapshot, now: datetime) -> Decision:
    """What becomes of `rollout`, given what is known `now`. The same input always gives the same decision."""
    match rollout.state:
        case State.COMPLETED | State.REVERTED | State.ABORTED | State.SUPERSEDED:
            return Decision(rollout)
        case State.REVERTING:
            return _reverting(rollout, snapshot)
        case State.RUNNING | State.PAUSED | State.STOPPED if snapshot.newer is not None:
            sentence = (
                f"Rollout {snapshot.newer} is newer, and takes over. The {snapshot.counts.offered} devices that have "
                f"version {rollout.version} keep it until the newer one reaches them; no further wave opens."
            )
            return _to(rollout, State.SUPERSEDED, Because("superseded", sentence))
        case State.STOPPED:
            return Decision(rollout)
        case State.RUNNING | State.PAUSED:
            if cause := _harm(policy, snapshot):
                return _stop(rollout, policy, cause)
            return Decision(rollout) if rollout.state is State.PAUSED else _running(rollout, policy, snapshot, now)
        case _ as never:
            assert_never(never)


def command(rollout: Rollout, verb: Verb, reason: str = "") -> Decision:
    """What a person's `verb` makes of `rollout`. Raises `VerbRefused` where its state does not allow it."""
    said = f": {reason.rstrip('.')}." if reason else "."
    match verb:
        case "pause" if rollout.state is State.RUNNING:
            sentence = (
                f"Paused by a person{said} Devices that have version {rollout.version} keep it, no other gets it."
            )
            return _to(rollout, State.PAUSED, Because("paused", sentence))
        case "resume" if rollout.state in (State.PAUSED, State.STOPPED):
            because = Because("resumed", f"Resumed by a person{said}")
            # What soaked before was perhaps left to itself for long: it soaks anew.
            return _to(replace(rollout, soaking_since=None, cause=None), State.RUNNING, because)
        case "abort" if rollout.state in (State.RUNNING, State.PAUSED, State.STOPPED):
            return _revert(replace(rollout, aborted=True), Because("aborted", f"Aborted by a person{said}"))
        case "pause" | "resume" | "abort":
            raise VerbRefused(
                f"Rollout {rollout.id} is {rollout.state}, and cannot {verb}.", _REMEDIES.get(rollout.state, "")
            )
        case _ as never:
            assert_never(never)


_REMEDIES: Mapping[State, str] = {
    State.COMPLETED: "To go back, roll out the version that was there before.",
    State.REVERTING: "It is on its way back already; a new rollout may start at any time.",
    State.REVERTED: "Start a new rollout.",
    State.ABORTED: "Start a new rollout.",
    State.SUPERSEDED: "Act on the rollout that took over.",
}


def _running(rollout: Rollout, policy: Policy, snapshot: Snapshot, now: datetime) -> Decision:
    if rollout.wave < 0:
        return _open_next(rollout, policy, snapshot, now)
    soaking_since = None
    held = _unproven(policy, snapshot)
    if held is None:
        soaking_since = rollout.soaking_since or now
        held = _unseen(policy, snapshot, now - soaking_since)
    rollout = replace(rollout, soaking_since=soaking_since)
    if held is not None:
        return Decision(replace(rollout, because=held))
    if rollout.wave + 1 < len(policy.waves):
        if rollout.exposed < snapshot.reach(snapshot.eligible):
            return _open_next(rollout, policy, snapshot, now)
        # Later waves would add no device that is here, and so no evidence: they are done with this one.
        last = len(policy.waves) - 1
        exposed = BUCKETS if policy.waves[last].everyone else rollout.exposed
        rollout = replace(rollout, wave=last, exposed=exposed)
    counts = snapshot.counts
    sentence = (
        f"All {len(policy.waves)} waves are done: version {rollout.version} runs on {counts.succeeded} of the "
        f"{counts.heard} devices heard from, and every gate is passed."
    )
    if counts.unheard:
        sentence += f" {counts.unheard} more were not heard from, and get it when they come."
    return _to(rollout, State.COMPLETED, Because("completed", sentence))


def _open_next(rollout: Rollout, policy: Policy, snapshot: Snapshot, now: datetime) -> Decision:
    if snapshot.eligible == 0:
        return Decision(replace(rollout, because=Because("nobody-eligible", "No device is eligible for it yet.")))
    wave, exposed = rollout.wave, rollout.exposed
    # A wave that adds nobody proves nothing: in a small fleet, 1 % and 5 % are the same device.
    while exposed <= rollout.exposed and wave + 1 < len(policy.waves):
        wave += 1
        size = policy.waves[wave]
        reached = BUCKETS if size.everyone else snapshot.reach(size.covers(snapshot.eligible))
        exposed = max(exposed, reached)
    covers = policy.waves[wave].covers(snapshot.eligible)
    why = f" {_evidence(snapshot)}" if rollout.wave >= 0 else ""
    because = Because(
        "wave-opened",
        f"Wave {wave + 1} of {len(policy.waves)} ({policy.waves[wave].name}) is open: {covers} of "
        f"{snapshot.eligible} eligible devices are offered version {rollout.version}.{why}",
    )
    opened = replace(rollout, wave=wave, exposed=exposed, wave_started_at=now, soaking_since=None, because=because)
    return Decision(opened)


def _evidence(snapshot: Snapshot) -> str:
    counts = snapshot.counts
    return (
        f"Before: {counts.succeeded} of {counts.heard} devices heard from run it, {counts.failed} failed, "
        f"{snapshot.wave_records:,} records, every gate passed."
    )


def _harm(policy: Policy, snapshot: Snapshot) -> Because | None:
    """Why it must stop, if it must."""
    for counts in (snapshot.counts, snapshot.fresh):
        enough = counts.succeeded + counts.failed >= policy.stop_failed_after
        if enough and counts.failed_percent > policy.stop_failed_percent:
            return Because(
                "too-many-failed",
                f"{counts.failed} of {counts.heard} devices heard from failed ({counts.failed_percent:.1f} %), and at "
                f"most {policy.stop_failed_percent:g} % may.",
            )
    for gate in snapshot.gates:
        if gate.verdict is Verdict.FAIL:
            return Because(f"gate-{gate.name}-failed", f"The gate on {gate.name} failed. {gate.sentence}")
    return None


def _unproven(policy: Policy, snapshot: Snapshot) -> Because | None:
    """What is missing on devices before the wave may soak, if anything is."""
    fresh = snapshot.fresh
    if not snapshot.carried_out:
        return Because("orders-owed", f"{fresh.offered} devices of this wave have their order; others wait for theirs.")
    if fresh.heard == 0:
        return Because(
            "nobody-heard",
            f"None of the {fresh.offered} devices that this wave adds has been heard from since; no evidence promotes "
            "nothing.",
        )
    if fresh.heard_percent < policy.heard_percent:
        return Because(
            "quorum-wanted",
            f"{fresh.heard} of the {fresh.offered} devices of this wave have been heard from since "
            f"({fresh.heard_percent:.1f} %); {policy.heard_percent:g} % must be, for silence is no good news.",
        )
    for counts in (fresh, snapshot.counts):
        if counts.success_percent < policy.success_percent:
            return Because(
                "devices-pending",
                f"{counts.succeeded} of {counts.heard} devices heard from run it ({counts.success_percent:.1f} %), "
                f"{counts.failed} failed and {counts.pending} are on their way; {policy.success_percent:g} % must.",
            )
    # A wave that is smaller than the minimum must succeed as a whole: it has no more to show.
    minimum = min(policy.minimum_devices, fresh.offered)
    if fresh.succeeded < minimum:
        return Because("devices-wanted", f"{fresh.succeeded} devices of this wave run it; at least {minimum} must.")
    return None


def _unseen(policy: Policy, snapshot: Snapshot, soaked: timedelta) -> Because | None:
    """What must still be seen of a wave whose devices run the version, if anything must."""
    if soaked < timedelta(seconds=policy.soak_seconds):
        return Because(
            "soaking",
            f"{snapshot.fresh.succeeded} of the {snapshot.fresh.heard} devices that this wave adds run it, for "
            f"{soaked.total_seconds():.0f} s now; {policy.soak_seconds:g} s are asked for.",
        )
    if snapshot.wave_records < policy.minimum_records:
        return Because(
            "records-wanted",
            f"{snapshot.wave_records:,} records of it came in during this wave; "
            f"{policy.minimum_records:,} are asked for.",
        )
    for gate in snapshot.gates:
        if gate.verdict is not Verdict.PASS:
            return Because(f"gate-{gate.name}-undecided", f"The gate on {gate.name} cannot tell yet. {gate.sentence}")
    return None


def _stop(rollout: Rollout, policy: Policy, cause: Because) -> Decision:
    match policy.on_stop:
        case "revert":
            return _revert(rollout, cause)
        case "pause":
            sentence = (
                f"{cause.sentence} Stopped: devices that have version {rollout.version} keep it, no other gets it. "
                "Resume it, or abort it to revert."
            )
            stopped = replace(rollout, cause=cause, soaking_since=None)
            return _to(stopped, State.STOPPED, Because(cause.code, sentence))
        case _ as never:
            assert_never(never)


def _revert(rollout: Rollout, cause: Because) -> Decision:
    sentence = f"{cause.sentence} Reverting: each device is ordered back to what it ran before."
    reverting = replace(rollout, cause=cause, exposed=0, soaking_since=None)
    return _to(reverting, State.REVERTING, Because(cause.code, sentence))


def _reverting(rollout: Rollout, snapshot: Snapshot) -> Decision:
    cause = rollout.cause or rollout.because
    away = f" {snapshot.unreachable} not heard from will be, when they come back." if snapshot.unreachable else ""
    if snapshot.returning or not snapshot.carried_out:
        sentence = f"{cause.sentence} Reverting: {snapshot.returning} devices still have version {rollout.version}."
        return Decision(replace(rollout, because=Because(cause.code, sentence + away)))
    because = Because(
        cause.code, f"{cause.sentence} Reverted: no device heard from has version {rollout.version} any more.{away}"
    )
    return _to(rollout, State.ABORTED if rollout.aborted else State.REVERTED, because)


def _to(rollout: Rollout, state: State, because: Because) -> Decision:
    assert state in FOLLOWING[rollout.state], f"{rollout.state} cannot become {state}"
    return Decision(replace(rollout, state=state, because=because))
