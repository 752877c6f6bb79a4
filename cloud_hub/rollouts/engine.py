"""Decides how far a rollout may go. No I/O, no clock, no randomness.

`decide` looks at what is known now; `command` is what a person wants. Both give the rollout as it should be and why.
A decision is carried out by its exposure alone (`wanted.py`), so there is nothing to be lost between deciding and
doing: whoever finds orders that differ from the exposure brings them there.

What holds: exposure never rises on missing evidence; it falls only to 0, and then for good; every state has a reason;
nothing ever blocks a newer rollout.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal, assert_never

from cloud_hub.errors import Conflict
from cloud_hub.monitoring.gates import Gate, Verdict
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.states import FOLLOWING, State
from cloud_hub.rollouts.waves import names
from fleet_contract.because import Because

Verb = Literal["pause", "resume", "abort", "approve"]


@dataclass(frozen=True)
class Rollout:
    """One rollout, as far as deciding needs it; fields as in `tables.RolloutRow`.

    `exposed` waves are open to devices: `wave` + 1, or 0 once it is taken back. `approved` have been approved.
    `rate_lifted`: its rate holds nobody now, for every gate is passed. `asked` is what only a person can answer of the
    open wave, and `accepted` what one has: names of gates, or `SUCCESS`.
    """

    id: str
    model: str
    version: int
    state: State
    because: Because
    wave: int = -1
    exposed: int = 0
    aborted: bool = False
    approved: int = 0
    created_by: str = ""
    wave_started_at: datetime | None = None
    soaking_since: datetime | None = None
    rate_lifted: bool = False
    asked: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    cause: Because | None = None


@dataclass(frozen=True)
class Counts:
    """Devices. Heard from are those that spoke since they were offered the version, or were connected then. `waiting`
    of those pending wait for their maintenance window."""

    offered: int = 0
    heard: int = 0
    succeeded: int = 0
    failed: int = 0
    waiting: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.offered + other.offered,
            self.heard + other.heard,
            self.succeeded + other.succeeded,
            self.failed + other.failed,
            self.waiting + other.waiting,
        )

    @property
    def pending(self) -> int:
        return self.heard - self.succeeded - self.failed

    @property
    def unheard(self) -> int:
        return self.offered - self.heard

    @property
    def success_percent(self) -> float:
        return 100 * self.succeeded / self.heard if self.heard else 0.0

    @property
    def failed_percent(self) -> float:
        return 100 * self.failed / self.heard if self.heard else 0.0


@dataclass(frozen=True)
class LeftOver:
    """Devices that have the version, or are about to, once it is taken back: heard-from ones that are `returning`, ones
    that are not heard from (`unreachable`), and those that keep it: `pinned`, or given it by a rollout `elsewhere`."""

    returning: int = 0
    unreachable: int = 0
    pinned: int = 0
    elsewhere: int = 0


@dataclass(frozen=True)
class Snapshot:
    """What is known now.

    `waves` are how many devices each wave covered when its line was drawn; empty until there was a device to draw it
    for. `eligible` are so many now. `counts` are of all devices that this rollout has offered its version to, `fresh`
    of those that the open wave added (of all, where it added none and none waits); `wave_records` came from the
    treated since it opened. `held` are exposed devices that have no order yet, by what they wait for. `left_over` is
    who still has the version after a revert. `carried_out`: orders are where exposure is. `frozen` is why nothing in
    the fleet may move, if so.
    """

    eligible: int = 0
    waves: tuple[int, ...] = ()
    counts: Counts = Counts()
    fresh: Counts = Counts()
    wave_records: int = 0
    gates: tuple[Gate, ...] = ()
    newer: str | None = None
    carried_out: bool = True
    held: Mapping[str, int] = field(default_factory=dict)
    left_over: LeftOver = LeftOver()
    frozen: str | None = None


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


class SamePerson(Conflict):
    """Who created a rollout cannot be the second person who approves it."""

    code = "same-person"


#: What keeps an exposed device from its order, as `admission.py` says, in words.
AWAY = "away"
_HELD: Mapping[str, str] = {
    "frozen": "for the fleet to be let go",
    "rate": "for the rate",
    "cap": "for one in flight to be done",
    "group": "for another of their group",
    "jitter": "for their moment",
    "turn": "for their turn",
    AWAY: "to be connected",
}
#: What a rollout says that is held by nothing but a person.
APPROVAL_WANTED = "approval-wanted"
#: Nothing that is still to come can answer what is asked of the open wave, but for a person.
VERDICT_WANTED = "verdict-wanted"
#: What is asked where too few of a wave's devices came to run it.
SUCCESS = "success"
#: What it says when it goes on to its next wave.
WAVE_OPENED = "wave-opened"
#: A wave soaks from when so many of its devices that were heard from run it, or as many as the policy asks for: the
#: slowest of a large fleet would add their own time to that of every wave.
_SOAKING_PERCENT = 50


def decide(rollout: Rollout, policy: Policy, snapshot: Snapshot, now: datetime) -> Decision:
    """What becomes of `rollout`, given what is known `now`. The same input always gives the same decision."""
    match rollout.state:
        case State.COMPLETED | State.REVERTED | State.ABORTED | State.SUPERSEDED:
            return Decision(rollout)
        case State.REVERTING:
            return _reverting(rollout, snapshot)
        case State.RUNNING | State.PAUSED | State.STOPPED if snapshot.newer is not None:
            sentence = (
                f"Rollout {snapshot.newer} is newer, and takes over. The {snapshot.counts.offered:,} devices that have "
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


def command(rollout: Rollout, verb: Verb, reason: str = "", by: str = "a person") -> Decision:
    """What the `verb` of `by` makes of `rollout`. Raises `VerbRefused` where its state does not allow it."""
    said = f": {reason.rstrip('.')}." if reason else "."
    match verb:
        case "pause" if rollout.state is State.RUNNING:
            sentence = f"Paused by {by}{said} Devices that have version {rollout.version} keep it, no other gets it."
            return _to(rollout, State.PAUSED, Because("paused", sentence))
        case "resume" if rollout.state in (State.PAUSED, State.STOPPED):
            because = Because("resumed", f"Resumed by {by}{said}")
            # What soaked before was perhaps left to itself for long: it soaks, and is proven, anew.
            again = replace(rollout, soaking_since=None, rate_lifted=False, asked=(), accepted=(), cause=None)
            return _to(again, State.RUNNING, because)
        case "abort" if rollout.state in (State.RUNNING, State.PAUSED, State.STOPPED):
            return _revert(replace(rollout, aborted=True), Because("aborted", f"Aborted by {by}{said}"))
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


def _running(rollout: Rollout, policy: Policy, snapshot: Snapshot, now: datetime) -> Decision:
    soaking_since, rate_lifted = rollout.soaking_since, False
    if rollout.wave < 0:
        held = None if snapshot.waves else Because("nobody-eligible", "No device is eligible for it yet.")
    else:
        unheard, owed = _unheard(policy, snapshot), _owed(snapshot)
        rate_lifted = _proven(policy, snapshot) and (rollout.rate_lifted or _waiting_for_the_rate(snapshot) > 0)
        # Who is not ordered yet, as one that came back and waits for the rate, takes nothing from those who run it.
        few = snapshot.fresh.success_percent < min(_SOAKING_PERCENT, policy.success_percent)
        if unheard is not None or (few and not _all_done(snapshot, snapshot.fresh)):
            soaking_since = None
        elif owed is None:
            soaking_since = rollout.soaking_since or now
        held = _rate_lifted(snapshot) if rate_lifted and not rollout.rate_lifted else owed or unheard
        held = held or _pending(rollout, policy, snapshot)
        held = held or _unseen(rollout, policy, snapshot, now - (soaking_since or now))
    wave = following(rollout, snapshot)
    asked = _asked(rollout, policy, snapshot) if held is not None and held.code == VERDICT_WANTED else ()
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
        f"{counts.heard:,} devices heard from, and {_passed(rollout, snapshot, 'is')}."
    )
    if counts.unheard:
        sentence += f" {counts.unheard:,} more were not heard from, and get it when they come."
    # Later waves would add no device that is here, and so no evidence: they are done with this one.
    done = replace(rollout, wave=last, exposed=last + 1)
    return _to(done, State.COMPLETED, Because("completed", sentence))


def following(rollout: Rollout, snapshot: Snapshot) -> int | None:
    """The next wave that adds somebody: in a small fleet, 1 % and 5 % are the same device, which proves nothing new."""
    covered = snapshot.waves[rollout.wave] if rollout.wave >= 0 else 0
    return next((wave for wave in range(rollout.wave + 1, len(snapshot.waves)) if snapshot.waves[wave] > covered), None)


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
        why = f" {_evidence(rollout, snapshot)}" if rollout.wave >= 0 else ""
        return Because(
            APPROVAL_WANTED,
            f"Wave {wave + 1} of {len(snapshot.waves)} ({snapshot.waves[wave]:,} devices) waits for somebody who "
            f"approves it{other}.{why}",
        )
    return None


def _open(rollout: Rollout, policy: Policy, snapshot: Snapshot, wave: int, now: datetime) -> Decision:
    why = f" {_evidence(rollout, snapshot)}" if rollout.wave >= 0 else ""
    because = Because(
        WAVE_OPENED,
        f"Wave {wave + 1} of {len(snapshot.waves)} ({names(policy)[wave]}) is open: {snapshot.waves[wave]:,} of "
        f"{snapshot.eligible:,} eligible devices are offered version {rollout.version}.{why}",
    )
    opened = replace(rollout, wave=wave, exposed=wave + 1, wave_started_at=now, soaking_since=None, because=because)
    # What a person accepted of one wave is asked again of the next, which shows more.
    return Decision(replace(opened, accepted=()))


def _evidence(rollout: Rollout, snapshot: Snapshot) -> str:
    counts = snapshot.counts
    return (
        f"Before: {counts.succeeded:,} of {counts.heard:,} devices heard from run it, {counts.failed:,} failed, "
        f"{snapshot.wave_records:,} records, {_passed(rollout, snapshot)}."
    )


def _passed(rollout: Rollout, snapshot: Snapshot, verb: str = "") -> str:
    but, is_passed = _names(unanswerable(rollout, snapshot)), f"{verb} passed".strip()
    if not but:
        return f"every gate {is_passed}"
    return f"every other gate than {but} {is_passed}, and a person approved it"


def _harm(policy: Policy, snapshot: Snapshot) -> Because | None:
    """Why it must stop, if it must."""
    for counts in (snapshot.counts, snapshot.fresh):
        if enough_done(counts, policy, snapshot) and counts.failed_percent > policy.stop_failed_percent:
            return Because(
                "too-many-failed",
                f"{counts.failed:,} of {counts.heard:,} devices heard from failed ({counts.failed_percent:.1f} %), and "
                f"at most {policy.stop_failed_percent:g} % may.",
            )
    for gate in snapshot.gates:
        if gate.verdict is Verdict.FAIL:
            return Because(f"gate-{gate.name}-failed", f"The gate on {gate.name} failed. {gate.sentence}")
    return None


def enough_done(counts: Counts, policy: Policy, snapshot: Snapshot) -> bool:
    """Whether so many are done that the share of failed ones says something: the minimum, or all that there are."""
    all_done = snapshot.carried_out and not counts.pending
    return all_done or counts.succeeded + counts.failed >= policy.stop_failed_after


def _owed(snapshot: Snapshot) -> Because | None:
    """Who has no order yet, if anybody has none: until then a wave's soak does not begin, and the next is not open."""
    if snapshot.carried_out:
        return None
    ordered = snapshot.fresh.offered
    return Because("orders-owed", f"{ordered:,} of this wave's devices have their order; {_waits(snapshot)}.")


def _proven(policy: Policy, snapshot: Snapshot) -> bool:
    """Whether so much is, that a rate which holds only until then protects nobody: every gate is passed, by as many
    devices as say something."""
    if policy.rate is None or not policy.rate.until_proven or not snapshot.counts.succeeded:
        return False
    passed = bool(snapshot.gates) and all(gate.verdict is Verdict.PASS for gate in snapshot.gates)
    return passed and enough_done(snapshot.counts, policy, snapshot)


def _waiting_for_the_rate(snapshot: Snapshot) -> int:
    return snapshot.held.get("rate", 0)


def _rate_lifted(snapshot: Snapshot) -> Because:
    return Because(
        "rate-lifted",
        f"Every gate is passed on the {snapshot.counts.succeeded:,} devices that run it: the "
        f"{_waiting_for_the_rate(snapshot):,} of this wave that wait for the rate need not, as long as that is so.",
    )


def _unheard(policy: Policy, snapshot: Snapshot) -> Because | None:
    """Who of the wave must still be heard from, if anybody must."""
    fresh = snapshot.fresh
    # Who is held back for being away has no offer that it could be silent on, and is as silent.
    asked = fresh.offered + snapshot.held.get(AWAY, 0)
    if fresh.heard == 0:
        return Because(
            "nobody-heard",
            f"None of the {asked:,} devices that this wave adds has been heard from since; no evidence promotes "
            "nothing.",
        )
    if 100 * fresh.heard < policy.heard_percent * asked:
        return Because(
            "quorum-wanted",
            f"{fresh.heard:,} of the {asked:,} devices of this wave have been heard from since "
            f"({100 * fresh.heard / asked:.1f} %); {policy.heard_percent:g} % must be, for silence is no good news.",
        )
    return None


def _pending(rollout: Rollout, policy: Policy, snapshot: Snapshot) -> Because | None:
    """On how many of the devices that were heard from it must still come to run, if on any."""
    counts = short(policy, snapshot)
    if counts is None:
        return None
    if few_accepted(rollout, policy, snapshot):
        return None
    if _all_done(snapshot, counts):
        asked = f"{policy.success_percent:g} %, and at least {minimum(policy, snapshot):,} of this wave,"
        silent = f", and {counts.unheard:,} are not heard from" if counts.unheard else ""
        return Because(
            VERDICT_WANTED,
            f"{counts.succeeded:,} of {counts.heard:,} devices heard from run it ({counts.success_percent:.1f} %), "
            f"{counts.failed:,} failed and none is on its way{silent}; {asked} must. Approve it to go on as it is, or "
            "abort it.",
        )
    if counts.success_percent < policy.success_percent:
        return Because(
            "devices-pending",
            f"{counts.succeeded:,} of {counts.heard:,} devices heard from run it ({counts.success_percent:.1f} %), "
            f"{counts.failed:,} failed and {counts.pending:,} are on their way{_windows(counts)}; "
            f"{policy.success_percent:g} % must.",
        )
    return Because(
        "devices-wanted",
        f"{counts.succeeded:,} of this wave's devices run it; at least {minimum(policy, snapshot):,} must.",
    )


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
    return counts is not None and _all_done(snapshot, counts) and SUCCESS in rollout.accepted


def minimum(policy: Policy, snapshot: Snapshot) -> int:
    """So many devices of the open wave must run it. One that is smaller must succeed as a whole: it has no more to
    show."""
    return min(policy.minimum_devices, snapshot.fresh.offered)


def _all_done(snapshot: Snapshot, counts: Counts) -> bool:
    """Whether nobody of `counts` is on the way, or about to be."""
    return snapshot.carried_out and not counts.pending


def _asked(rollout: Rollout, policy: Policy, snapshot: Snapshot) -> tuple[str, ...]:
    """What `VERDICT_WANTED` is about."""
    if short(policy, snapshot) is not None and SUCCESS not in rollout.accepted:
        return (SUCCESS,)
    return tuple(gate.name for gate in unanswerable(rollout, snapshot) if gate.name not in rollout.accepted)


def _windows(counts: Counts) -> str:
    return f", {counts.waiting:,} of them until their maintenance window" if counts.waiting else ""


def _waits(snapshot: Snapshot) -> str:
    if not snapshot.held:
        return "others wait for theirs"
    return "others wait: " + ", ".join(f"{count:,} {_HELD[code]}" for code, count in sorted(snapshot.held.items()))


def _unseen(rollout: Rollout, policy: Policy, snapshot: Snapshot, soaked: timedelta) -> Because | None:
    """What must still be seen of a wave whose devices run the version, if anything must."""
    if soaked < timedelta(seconds=policy.soak_seconds):
        return Because(
            "soaking",
            f"{snapshot.fresh.succeeded:,} of the {snapshot.fresh.heard:,} devices that this wave adds run it, at "
            f"least half of them for {soaked.total_seconds():.0f} s now; {policy.soak_seconds:g} s are asked for.",
        )
    if snapshot.wave_records < policy.minimum_records:
        return Because(
            "records-wanted",
            f"{snapshot.wave_records:,} records of it came in during this wave; "
            f"{policy.minimum_records:,} are asked for.",
        )
    left = unanswerable(rollout, snapshot)
    for gate in snapshot.gates:
        if gate.verdict is not Verdict.PASS and gate not in left:
            return Because(f"gate-{gate.name}-undecided", f"The gate on {gate.name} cannot tell yet. {gate.sentence}")
    if not {gate.name for gate in left} <= set(rollout.accepted):
        sentences, names = " ".join(gate.sentence for gate in left), _names(left)
        if following(rollout, snapshot) is None:
            why = f"Every device that is here is exposed, and what {names} asked, nothing will answer."
        else:
            why = (
                f"No more devices of wave {rollout.wave + 1} are on their way, and what {names} asked, those that run "
                "it cannot answer: approve it to go on as it is, or abort it."
            )
        return Because(VERDICT_WANTED, f"{why} {sentences}")
    return None


def unanswerable(rollout: Rollout, snapshot: Snapshot) -> tuple[Gate, ...]:
    """The gates that only a person can answer any more; none while another may still pass or fail. They do not end by
    themselves: who completes a rollout stops watching it, and who opens a wave exposes more."""
    undecided = tuple(gate for gate in snapshot.gates if gate.verdict is not Verdict.PASS)
    last, all_done = following(rollout, snapshot) is None, _all_done(snapshot, snapshot.counts)
    if all((gate.exhausted and last) or (gate.clear and all_done) for gate in undecided):
        return undecided
    return ()


def _names(gates: tuple[Gate, ...]) -> str:
    return " and ".join(gate.name for gate in gates)


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
    return _to(rollout, State.ABORTED if rollout.aborted else State.REVERTED, because)


def _keepers(left: LeftOver) -> str:
    kept = [f"{left.pinned:,} that pins hold"] if left.pinned else []
    kept += [f"{left.elsewhere:,} that have it by another rollout"] if left.elsewhere else []
    return f"but for {' and '.join(kept)}, " if kept else ""


def _to(rollout: Rollout, state: State, because: Because) -> Decision:
    assert state in FOLLOWING[rollout.state], f"{rollout.state} cannot become {state}"
    return Decision(replace(rollout, state=state, because=because))
