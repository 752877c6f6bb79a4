"""The engine against random fleets, reports, delays, crashes and people. What must hold, holds after every step.

The fleet here is a model of its own, without a database: orders are derived and let go with the hub's pure functions,
and reach devices late, twice or never.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cloud_hub.devices.selector_text import parse
from cloud_hub.monitoring.gates import Gate, Verdict
from cloud_hub.rollouts.admission import MINUTE, NEVER, Flow, Limits, Mover, admit, barred, devices_per_minute, limited
from cloud_hub.rollouts.engine import (
    AWAY,
    Counts,
    LeftOver,
    Rollout,
    SamePerson,
    Snapshot,
    Verb,
    VerbRefused,
    check_second_person,
    command,
    decide,
)
from cloud_hub.rollouts.explain import conditions
from cloud_hub.rollouts.outcomes import IN_FLIGHT, Outcome, counted
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.states import FOLLOWING, IN_FORCE, TAKING, UNFINISHED, State
from cloud_hub.rollouts.wanted import Candidate, Claim, Place, newest_first, wanted
from cloud_hub.rollouts.waves import Line, Stander, draw
from fleet_contract.because import Because

# Finding the shortest way to a broken law takes longer than finding that one is broken.
pytestmark = pytest.mark.timeout(400)

NOBODY = Line("nobody", {}, {})
TARGETS = ("cpu-vnni", "cpu-avx2", "edge-tpu")
HOUR = timedelta(hours=1)
START = datetime(2026, 11, 2, 12, tzinfo=UTC)


@dataclass
class Device:
    """A device, its order in the hub, and what it did with the one that reached it last."""

    candidate: Candidate
    online: bool = True
    offer: Claim | None = None
    followed: tuple[str, ...] = ()
    offered_at: datetime = START
    generation: int = 0
    #: What each generation said.
    orders: dict[int, Claim | None] = field(default_factory=lambda: {0: None})
    received: int = 0
    received_claim: Claim | None = None
    runs: int | None = None
    rejected: bool = False
    reported: int = 0

    @property
    def group(self) -> str:
        return self.candidate.labels["pair"]

    @property
    def outcome(self) -> Outcome:
        if self.reported < self.generation:
            return Outcome.AWAITED if self.online else Outcome.UNHEARD
        if self.rejected:
            return Outcome.REJECTED
        good = self.offer is not None and self.runs == self.offer.version
        return Outcome.SUCCEEDED if good else Outcome.UNDERWAY


@dataclass
class Running:
    """A rollout as the hub stored it; `owed` until orders are where the exposure is."""

    number: int
    rollout: Rollout
    policy: Policy
    salt: str
    targets: tuple[str, ...]
    owed: bool = False
    records: int = 0
    gates: tuple[Gate, ...] = ()
    lines: tuple[Line, ...] = ()
    approvals: set[int] = field(default_factory=set)
    answered: set[tuple[int, str]] = field(default_factory=set)
    """What a person approved as it is, of which wave."""
    #: When each device was let go last.
    let_go: dict[str, datetime] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    #: What each device would have been offered instead, when it was offered this rollout's version.
    before: dict[str, Claim | None] = field(default_factory=dict)

    @property
    def claim(self) -> Claim:
        one = self.rollout
        return Claim(
            rollout=one.id,
            number=self.number,
            model=one.model,
            slot="default",
            version=one.version,
            salt=self.salt,
            line=self.lines[one.exposed - 1] if one.exposed else NOBODY,
            wave=one.wave,
            taking=one.state in TAKING,
            lab=parse(self.policy.lab) if self.policy.lab else None,
            selector=parse(self.policy.selector),
            artifacts=dict.fromkeys(self.targets, f"sha256:{one.version}"),
            running=one.state is State.RUNNING,
            policy=self.policy,
            wave_started_at=one.wave_started_at,
        )


DIGITS = Place("digits", "default")
POLICIES = st.builds(
    Policy.model_validate,
    st.fixed_dictionaries(
        {
            "waves": st.sampled_from(
                [
                    [{"devices": 1}, {"percent": 50}, {"percent": 100}],
                    [{"percent": 1}, {"percent": 5}, {"percent": 25}, {"percent": 100}],
                    [{"devices": 2}],
                    [{"percent": 100}],
                ]
            ),
            "selector": st.sampled_from(["", "target = cpu-vnni", "site = a"]),
            "success_percent": st.sampled_from([50, 95, 100]),
            "stop_failed_percent": st.sampled_from([0, 5, 50]),
            "soak_seconds": st.sampled_from([0, 60]),
            "minimum_records": st.sampled_from([0, 200]),
            "heard_percent": st.sampled_from([0, 50, 100]),
            "minimum_devices": st.sampled_from([1, 3]),
            "stop_failed_after": st.sampled_from([1, 3]),
            "lab": st.sampled_from([None, None, "site = a"]),
            "approval": st.sampled_from([{}, {}, {"waves": "all"}, {"waves": "after-first", "second_person": True}]),
            "on_stop": st.sampled_from(["revert", "pause"]),
            "rate": st.sampled_from(
                [
                    None,
                    None,
                    {"devices_per_minute": 2, "growth_factor": 2},
                    {"devices_per_minute": 0.5},
                    {"devices_per_minute": 1, "until_proven": True},
                ]
            ),
            "max_in_flight": st.sampled_from([None, None, 1, 3]),
            "group": st.sampled_from([None, None, {"label": "pair"}]),
            "deadline_seconds": st.sampled_from([None, 30, 300]),
        }
    ),
)


def a_gate(verdict: Verdict, *, clear: bool = False) -> Gate:
    clear = clear and verdict is Verdict.NOT_ENOUGH_EVIDENCE
    return Gate("errors", verdict, f"It is {verdict}.", 0.0, 0.0, 0.0, 0.02, clear=clear)


class Laws(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.devices: dict[str, Device] = {}
        self.rollouts: list[Running] = []
        self.frozen = False

    @initialize(count=st.integers(0, 12), policy=POLICIES)
    def fleet(self, count: int, policy: Policy) -> None:
        for number in range(count):
            self.joins(number, number % 3 == 0)
        self.a_person_starts_a_rollout(policy, TARGETS)

    # --- the world -------------------------------------------------------------------------------------------------

    @rule(number=st.integers(100, 130), elsewhere=st.booleans())
    def joins(self, number: int, elsewhere: bool) -> None:
        name = f"gateway-{number}"
        if name not in self.devices:
            labels = {"site": "b" if elsewhere else "a", "pair": f"pair-{number // 2}"}
            candidate = Candidate(name, TARGETS[number % len(TARGETS)], labels)
            self.devices[name] = Device(candidate)
            self.order([self.devices[name]])

    @precondition(lambda self: self.devices)
    @rule(data=st.data())
    def connection_changes(self, data: st.DataObject) -> None:
        device = self.devices[data.draw(st.sampled_from(sorted(self.devices)))]
        device.online = not device.online
        if device.online:
            self.order([device])

    @precondition(lambda self: any(one.online and one.received < one.generation for one in self.devices.values()))
    @rule(data=st.data())
    def an_order_arrives(self, data: st.DataObject) -> None:
        late = [one for one in self.devices.values() if one.online and one.received < one.generation]
        self.receives(data.draw(st.sampled_from(late)))

    @precondition(lambda self: any(one.online and one.generation for one in self.devices.values()))
    @rule(data=st.data())
    def an_order_arrives_again_or_too_late(self, data: st.DataObject) -> None:
        ordered = [one for one in self.devices.values() if one.online and one.generation]
        device = data.draw(st.sampled_from(ordered))
        self.receives(device, data.draw(st.integers(1, device.generation)))

    @staticmethod
    def receives(device: Device, generation: int | None = None) -> None:
        generation = device.generation if generation is None else generation
        if generation <= device.received:
            return
        device.received, device.received_claim = generation, device.orders[generation]
        if Laws.version(device.received_claim) != device.runs:
            device.rejected = False
        if device.received_claim is None:
            device.runs = None

    @precondition(lambda self: self.busy())
    @rule(data=st.data(), well=st.booleans())
    def a_device_finishes(self, data: st.DataObject, well: bool) -> None:
        device = data.draw(st.sampled_from(self.busy()))
        assert device.received_claim is not None
        device.rejected = not well
        if well:
            device.runs = device.received_claim.version

    @rule()
    def everyone_reports(self) -> None:
        for device in self.devices.values():
            if device.online:
                device.reported = device.received

    @precondition(lambda self: self.rollouts)
    @rule(data=st.data(), records=st.integers(0, 300), verdict=st.sampled_from(Verdict), clear=st.booleans())
    def telemetry_comes(self, data: st.DataObject, records: int, verdict: Verdict, clear: bool) -> None:
        running = data.draw(st.sampled_from(self.rollouts))
        running.records += records
        running.gates = (a_gate(verdict, clear=clear),)

    @rule(seconds=st.integers(1, 120))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @precondition(lambda self: self.rollouts)
    @rule(
        records=st.sampled_from([0, 199, 300]),
        verdict=st.sampled_from([Verdict.PASS, Verdict.PASS, Verdict.PASS, Verdict.NOT_ENOUGH_EVIDENCE]),
        clear=st.booleans(),
        failing=st.sampled_from([0, 0, 0, 1]),
    )
    def a_minute_passes_in_which_most_is_well(self, records: int, verdict: Verdict, clear: bool, failing: int) -> None:
        # Step by step, chance would hardly ever get a rollout to its second wave.
        self.the_clock_ticks()
        there = [device for device in self.devices.values() if device.online]
        for index, device in enumerate(there):
            if device.received < device.generation:
                self.receives(device)
            if device in self.busy() and index >= failing:
                device.runs = self.version(device.received_claim)
            device.reported = device.received
        self.rollouts[-1].records += records
        self.rollouts[-1].gates = (a_gate(verdict, clear=clear),)
        self.decides(len(self.rollouts) - 1, carried_out=False)
        self.now += timedelta(seconds=61)

    @precondition(lambda self: self.rollouts)
    @rule(records=st.sampled_from([0, 300]), person=st.booleans(), bad=st.booleans())
    def hours_pass_in_which_nothing_more_is_shown(self, records: int, person: bool, bad: bool) -> None:
        for _ in range(3):
            self.a_minute_passes_in_which_most_is_well(records, Verdict.NOT_ENOUGH_EVIDENCE, clear=False, failing=0)
        self.now += 2 * HOUR
        self.decides(len(self.rollouts) - 1, carried_out=False)
        if person:
            self.approves(self.rollouts[-1], "bob")
        self.rollouts[-1].gates = (a_gate(Verdict.NOT_ENOUGH_EVIDENCE, clear=bad),)
        self.the_clock_ticks()

    @rule(seconds=st.sampled_from([1, 5, 10]))
    def the_hub_looks_at_it_again_and_again(self, seconds: int) -> None:
        for _ in range(6):
            self.the_clock_ticks()
            self.now += timedelta(seconds=seconds)

    # --- the hub ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.rollouts) < 4)
    @rule(policy=POLICIES, compiled_for=st.sampled_from([TARGETS, TARGETS[:2], TARGETS[:1]]))
    def a_person_starts_a_rollout(self, policy: Policy, compiled_for: tuple[str, ...]) -> None:
        number = len(self.rollouts) + 1
        rollout = Rollout(
            f"r{number}", "digits", number, State.RUNNING, Because("created", "Created."), created_by="ann"
        )
        self.rollouts.append(Running(number, rollout, policy, f"salt{number}", compiled_for))
        if self.eligible(self.rollouts[-1]):
            # Whatever else is going on, nothing blocks a newer one but a person.
            self.decides(len(self.rollouts) - 1, carried_out=False)
            code = self.rollouts[-1].rollout.because.code
            assert self.rollouts[-1].rollout.exposed > 0 or code in ("approval-wanted", "frozen")

    @rule(frozen=st.sampled_from([False, False, True]))
    def a_person_freezes_the_fleet_or_lets_it_go(self, frozen: bool) -> None:
        self.frozen = frozen
        self.order(list(self.devices.values()))

    @precondition(lambda self: self.rollouts)
    @rule(data=st.data(), by=st.sampled_from(["ann", "bob"]))
    def a_person_approves(self, data: st.DataObject, by: str) -> None:
        self.approves(data.draw(st.sampled_from(self.rollouts)), by)

    def approves(self, running: Running, by: str) -> None:
        asked, wave = running.rollout.asked, running.rollout.wave
        try:
            check_second_person(running.rollout, running.policy, by)
            running.rollout = command(running.rollout, "approve", by=by).rollout
        except (VerbRefused, SamePerson) as refused:
            assert refused.what
            return
        assert not (running.policy.approval.second_person and by == "ann")
        if asked:
            running.answered |= {(wave, name) for name in asked}
        else:
            running.approvals.add(wave + 1)

    @precondition(lambda self: self.rollouts)
    @rule(data=st.data(), verb=st.sampled_from(["pause", "resume", "abort"]))
    def a_person_acts(self, data: st.DataObject, verb: Verb) -> None:
        running = data.draw(st.sampled_from(self.rollouts))
        before = running.rollout
        try:
            running.rollout = command(before, verb, "because").rollout
            running.owed |= running.rollout.exposed != before.exposed or verb == "resume"
            running.answered -= running.answered if verb == "resume" else set()
        except VerbRefused as refused:
            assert refused.what
            return
        self.moved(before, running.rollout)
        assert running.rollout.exposed in (0, before.exposed)

    @precondition(lambda self: self.rollouts)
    @rule(data=st.data())
    def a_decision_is_saved_and_the_hub_is_killed(self, data: st.DataObject) -> None:
        self.decides(data.draw(st.integers(0, len(self.rollouts) - 1)), carried_out=False)

    @rule()
    def the_clock_ticks(self) -> None:
        for index in range(len(self.rollouts)):
            self.decides(index, carried_out=False)
        for running in self.rollouts:
            self.carry_out(running)

    def decides(self, index: int, *, carried_out: bool) -> None:
        running = self.rollouts[index]
        before, snapshot = running.rollout, self.snapshot(running)
        after = decide(before, running.policy, snapshot, self.now).rollout
        assert decide(before, running.policy, snapshot, self.now).rollout == after
        if after.exposed > before.exposed and after.state is State.RUNNING:
            assert not self.frozen
        if after.wave > before.wave and after.state is State.RUNNING and running.policy.approval.asked_for(after.wave):
            # Waves that add nobody are passed over: who approves what follows the open one approves this one.
            assert before.wave + 1 in running.approvals
        if after.exposed > before.exposed and before.wave >= 0:
            # Exposure never rises on missing evidence.
            asked, answered = running.policy, {name for wave, name in running.answered if wave == before.wave}
            assert before.state is State.RUNNING
            assert self.now - (before.soaking_since or self.now) >= timedelta(seconds=asked.soak_seconds)
            assert snapshot.newer is None
            assert snapshot.carried_out
            assert snapshot.fresh.heard > 0
            assert 100 * snapshot.fresh.heard >= asked.heard_percent * snapshot.fresh.offered
            enough = (
                snapshot.fresh.succeeded >= min(asked.minimum_devices, snapshot.fresh.offered)
                and snapshot.fresh.success_percent >= asked.success_percent
                and snapshot.counts.success_percent >= asked.success_percent
            )
            # Nor on what only a person could answer, unless one has.
            assert enough or ("success" in answered and not (snapshot.fresh.pending and snapshot.counts.pending))
            assert snapshot.wave_records >= asked.minimum_records or "records" in answered
            for gate in snapshot.gates:
                said = gate.name if gate.clear else f"{gate.name}-untold"
                assert gate.verdict is Verdict.PASS or said in answered
        if after.state is State.RUNNING and after.rate_lifted:
            # Nor does it rise faster than the rate allows.
            assert running.policy.rate is not None
            assert running.policy.rate.until_proven
            assert [gate.verdict for gate in snapshot.gates] == [Verdict.PASS]
        if after.state is State.RUNNING and after.exposed == before.exposed:
            # Who asks why it is not moving is told.
            assert [one for one in conditions(after, running.policy, snapshot, self.now) if not one.met]
        if after.state is State.RUNNING:
            self.a_person_is_asked_in_time(running.policy, after)
        if before.state is State.RUNNING and snapshot.newer is None:
            self.who_is_late_has_failed(running, snapshot, after)
        if after.wave > before.wave:
            running.records = 0
        self.moved(before, after)
        running.owed |= after.exposed != before.exposed
        running.rollout = after
        if carried_out:
            self.carry_out(running)

    def moved(self, before: Rollout, after: Rollout) -> None:
        assert after.state == before.state or after.state in FOLLOWING[before.state]
        assert after.exposed >= before.exposed or after.exposed == 0
        assert before.state in UNFINISHED or after == before
        assert after.exposed == 0 or after.state in IN_FORCE

    def snapshot(self, running: Running) -> Snapshot:
        mine = [one for one in self.devices.values() if one.offer and one.offer.rollout == running.rollout.id]
        fresh = [one for one in mine if one.offer and one.offer.wave == running.rollout.wave]
        back = [
            one
            for one in self.devices.values()
            if running.rollout.version in (one.runs, self.version(one.received_claim))
            and self.version(one.offer) != running.rollout.version
        ]
        eligible = self.eligible(running)
        if not running.lines and eligible:
            running.lines = draw(
                running.policy,
                running.salt,
                [
                    Stander(one.id, one.target, lab=running.policy.lab is not None and one.labels["site"] == "a")
                    for one in eligible
                ],
            )
        return Snapshot(
            eligible=len(eligible),
            waves=tuple(line.total for line in running.lines),
            counts=self.count(mine, running),
            fresh=self.count(fresh or mine, running),
            wave_records=running.records,
            gates=running.gates,
            newer=self.rollouts[-1].rollout.id if running is not self.rollouts[-1] else None,
            carried_out=not running.owed,
            held=running.held,
            frozen="A person froze the fleet." if self.frozen else None,
            left_over=LeftOver(sum(one.online for one in back), sum(not one.online for one in back)),
        )

    def count(self, devices: list[Device], running: Running) -> Counts:
        late = [one.outcome is Outcome.UNDERWAY and self.is_late(one, running) for one in devices]
        return sum((counted(one.outcome, 1, int(of)) for one, of in zip(devices, late, strict=True)), Counts())

    def carry_out(self, running: Running) -> None:
        if not self.frozen:
            running.owed, running.held = False, {}
            self.order(list(self.devices.values()))

    def order(self, devices: list[Device]) -> None:
        if self.frozen:
            return
        claims = newest_first(one.claim for one in self.rollouts)
        not_yet = self.kept_waiting(devices, claims)
        flying = {one.rollout.id: self.flying(one) for one in self.rollouts}
        changed: list[tuple[Device, Claim | None]] = []
        for device in devices:
            held = not_yet.get(device.candidate.id, ())
            found = wanted(device.candidate, claims, {DIGITS: device.followed}, held).get(DIGITS)
            if self.named(found) != self.named(device.offer):
                changed.append((device, found))
        let_go = [(one, found) for one, found in changed if found and found.rollout not in one.followed]
        for device, found in changed:
            self.changes(device, found)
        for device, found in let_go:
            running = self.rollouts[found.number - 1]
            if running.claim.running:
                running.let_go[device.candidate.id] = self.now
                self.nobody_is_let_go_too_soon(device, running, flying[found.rollout], len(changed) - len(let_go))

    def changes(self, device: Device, found: Claim | None) -> None:
        if found is not None and found.rollout not in device.followed:
            self.rollouts[found.number - 1].before[device.candidate.id] = device.offer
        if found is None:
            device.followed = ()
        elif found.rollout in device.followed:
            device.followed = device.followed[device.followed.index(found.rollout) :]
        else:
            device.followed = (found.rollout, *device.followed)
        device.offer, device.offered_at = found, self.now
        device.generation += 1
        device.orders[device.generation] = found

    def kept_waiting(self, devices: list[Device], claims: list[Claim]) -> dict[str, list[str]]:
        """The rollouts that each of `devices` may not follow yet, as the hub finds it."""
        movers, asked = [], set()
        for device in devices:
            claim = wanted(device.candidate, claims, {DIGITS: device.followed}).get(DIGITS)
            asks = claim and claim.running and claim.rollout not in device.followed and limited(claim.policy)
            if asks or self.named(claim) != self.named(device.offer):
                rollouts = {claim.rollout} if claim and asks else set()
                asked |= rollouts
                movers.append(Mover(device.candidate.id, device.online, self.in_flight(device), rollouts))
        limits = {one.rollout.id: self.limits(one) for one in self.rollouts if one.rollout.id in asked}
        said = admit(movers, limits, self.now)
        for rollout, of in said.items():
            running = next(one for one in self.rollouts if one.rollout.id == rollout)
            for why in filter(None, of.values()):
                running.held[why] = running.held.get(why, 0) + 1
                # Who is away waits for itself.
                running.owed |= why != AWAY
        # All are of one slot.
        running = [one.rollout.id for one in self.rollouts if one.claim.running]
        return {mover.device: barred(mover.device, said, running) for mover in movers}

    def limits(self, running: Running) -> Limits:
        groups = {name: device.group for name, device in self.devices.items()}
        started_at = running.rollout.wave_started_at or self.now
        return Limits(running.policy, running.salt, started_at, self.flow(running), groups, self.flying(running)[1])

    @staticmethod
    def in_flight(device: Device) -> bool:
        return device.offer is not None and device.outcome in IN_FLIGHT

    def flow(self, running: Running) -> Flow:
        mine = self.followers(running)
        counts = self.count(mine, running)
        offered = [one.offered_at for one in mine]
        lately = [at for at in offered if at > self.now - MINUTE]
        since = self.now - max(offered) if offered else NEVER
        in_flight = counts.offered - counts.succeeded - counts.failed
        return Flow(in_flight, len(lately), since, counts.succeeded, running.rollout.rate_lifted)

    def followers(self, running: Running) -> list[Device]:
        return [one for one in self.devices.values() if self.named(one.offer) == running.rollout.id]

    def flying(self, running: Running) -> tuple[int, dict[str, int]]:
        """Devices that may be switching, as `running` sees it: those that it let go, and those of each group."""
        mine, groups = 0, dict[str, int]()
        for device in self.devices.values():
            own = self.named(device.offer) == running.rollout.id
            done = device.reported >= device.generation and (
                device.rejected or device.runs == self.version(device.offer) or (own and self.is_late(device, running))
            )
            if device.offer is not None and not done:
                mine += own
                groups[device.group] = groups.get(device.group, 0) + 1
        return mine, groups

    def is_late(self, device: Device, running: Running) -> bool:
        deadline = running.policy.deadline_seconds
        return deadline is not None and self.now - device.offered_at > timedelta(seconds=deadline)

    # --- the laws --------------------------------------------------------------------------------------------------

    def nobody_is_let_go_too_soon(
        self, device: Device, running: Running, before: tuple[int, dict[str, int]], undone: int
    ) -> None:
        """`before` is who was flying before, and `undone` are those that went back meanwhile, who wait for nobody."""
        policy, (mine, groups) = running.policy, self.flying(running)
        if limited(policy):
            assert device.online
        if policy.max_in_flight is not None:
            assert mine <= max(policy.max_in_flight, before[0]) + undone
        if policy.group is not None:
            assert groups[device.group] <= max(policy.group.max_in_flight, before[1].get(device.group, 0)) + undone
        if policy.rate is not None and not running.rollout.rate_lifted:
            followers = self.followers(running)
            a_minute = devices_per_minute(policy.rate, self.count(followers, running).succeeded)
            names = {one.candidate.id for one in followers}
            # One in so many minutes, where it is less than one a minute. Who went over to a newer rollout counts there.
            since = self.now - max(MINUTE, MINUTE / a_minute)
            lately = sum(at > since for name, at in running.let_go.items() if name in names)
            assert lately <= max(1, int(a_minute))

    def a_person_is_asked_in_time(self, policy: Policy, rollout: Rollout) -> None:
        """To go on without evidence: not while it may soon be there, and not never."""
        soaked = self.now - (rollout.soaking_since or self.now)
        waited = soaked >= timedelta(seconds=policy.soak_seconds) + HOUR
        if any(name == "records" or name.endswith("-untold") for name in rollout.asked):
            assert waited
        if rollout.because.code in ("records-wanted", "gate-errors-undecided"):
            assert not waited

    def who_is_late_has_failed(self, running: Running, snapshot: Snapshot, after: Rollout) -> None:
        heard = [one for one in self.followers(running) if one.reported >= one.generation]
        good = [one for one in heard if one.runs == running.rollout.version and not one.rejected]
        failed = [one for one in heard if one not in good and (one.rejected or self.is_late(one, running))]
        assert snapshot.counts.failed == len(failed)
        enough = len(good) + len(failed) >= running.policy.stop_failed_after
        if enough and 100 * len(failed) > running.policy.stop_failed_percent * snapshot.counts.heard:
            assert after.state in (State.STOPPED, State.REVERTING)

    @invariant()
    def every_state_has_a_reason(self) -> None:
        for running in self.rollouts:
            because = running.rollout.because
            assert because.code
            assert because.sentence.endswith(".")

    @invariant()
    def a_device_never_holds_two_orders(self) -> None:
        for device in self.devices.values():
            assert sorted(device.orders) == list(range(device.generation + 1))
            assert device.orders[device.generation] is device.offer
            assert device.orders[device.received] is device.received_claim

    @invariant()
    def only_the_exposed_are_offered_a_version(self) -> None:
        by_id = {one.rollout.id: one for one in self.rollouts}
        for device in self.devices.values():
            if device.offer is None:
                continue
            running = by_id[device.offer.rollout]
            assert device.candidate.target in running.targets
            if not running.owed:
                assert running.claim.covers(device.candidate)

    @invariant()
    def nobody_is_offered_less_than_the_newest_that_covers_them(self) -> None:
        for device in self.devices.values():
            for running in self.rollouts:
                if (
                    not self.frozen
                    and running.claim.taking
                    and running.claim.covers(device.candidate)
                    and not running.owed
                    and (device.online or not limited(running.policy))
                ):
                    assert device.offer is not None
                    assert device.offer.number >= running.number

    @invariant()
    def after_a_revert_no_device_heard_from_has_the_version(self) -> None:
        for running in self.rollouts:
            if running.rollout.state not in (State.REVERTED, State.ABORTED):
                continue
            for device in self.devices.values():
                assert self.version(device.offer) != running.rollout.version

    @invariant()
    def a_reverted_device_is_offered_what_it_had(self) -> None:
        if not self.rollouts or self.rollouts[-1].rollout.state not in (State.REVERTED, State.ABORTED):
            return
        newest = self.rollouts[-1]
        for name, before in newest.before.items():
            if before is None:
                # Who joined meanwhile had nothing yet, and gets what the others have.
                assert self.version(self.devices[name].offer) in {None, *self.in_force()}
            elif self.rollouts[before.number - 1].rollout.state in IN_FORCE:
                assert self.version(self.devices[name].offer) == self.version(before)

    def in_force(self) -> set[int]:
        return {one.rollout.version for one in self.rollouts if one.rollout.state in IN_FORCE}

    def teardown(self) -> None:
        """At last nothing more goes wrong: who was reverted ends on the version that it had, and nobody on another."""
        self.frozen = False
        for _ in range(20):
            self.the_clock_ticks()
            for device in self.devices.values():
                device.online = True
                self.receives(device)
                device.runs = self.version(device.received_claim)
                device.rejected = False
            self.everyone_reports()
            self.order(list(self.devices.values()))
            self.now += timedelta(seconds=61)
        gone = {one.rollout.version for one in self.rollouts if one.rollout.state in (State.REVERTED, State.ABORTED)}
        assert all(one.rollout.state is not State.REVERTING for one in self.rollouts)
        assert not gone & {device.runs for device in self.devices.values()}
        if self.rollouts and self.rollouts[-1].rollout.version in gone:
            for name, before in self.rollouts[-1].before.items():
                if before is None:
                    assert self.devices[name].runs in {None, *self.in_force()}
                elif self.rollouts[before.number - 1].rollout.state in IN_FORCE:
                    assert self.devices[name].runs == self.version(before)

    @invariant()
    def at_most_one_rollout_of_a_model_runs_once_all_are_decided(self) -> None:
        decided = [decide(one.rollout, one.policy, self.snapshot(one), self.now).rollout.state for one in self.rollouts]
        assert sum(state in (State.RUNNING, State.PAUSED, State.STOPPED) for state in decided) <= 1

    # --- in short --------------------------------------------------------------------------------------------------

    def busy(self) -> list[Device]:
        return [
            one
            for one in self.devices.values()
            if one.received_claim is not None and one.received_claim.version != one.runs and not one.rejected
        ]

    def eligible(self, running: Running) -> list[Candidate]:
        return [one.candidate for one in self.devices.values() if running.claim.eligible(one.candidate)]

    @staticmethod
    def version(claim: Claim | None) -> int | None:
        return claim.version if claim else None

    @staticmethod
    def named(claim: Claim | None) -> str | None:
        return claim.rollout if claim else None


class TestLaws(Laws.TestCase):  # type: ignore[name-defined,misc]
    """A look in passing; all of them are for the slow suite."""

    settings = settings(max_examples=60, stateful_step_count=30)


@pytest.mark.slow
class TestLawsAtLength(Laws.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(max_examples=300, stateful_step_count=30)


@pytest.mark.parametrize(
    "limits",
    [{}, {"rate": {"devices_per_minute": 2}, "max_in_flight": 2, "group": {"label": "pair"}, "deadline_seconds": 300}],
)
def test_a_rollout_with_good_devices_and_good_telemetry_always_completes(limits: dict[str, object]) -> None:
    laws = Laws()
    for number in range(20):
        laws.joins(100 + number, elsewhere=False)
    laws.a_person_starts_a_rollout(Policy.model_validate(limits), TARGETS)
    waves = []
    for _ in range(60):
        laws.the_clock_ticks()
        waves.append(laws.rollouts[0].rollout.wave)
        for device in laws.devices.values():
            if device.received < device.generation:
                device.received, device.received_claim = device.generation, device.offer
                device.runs = device.offer.version if device.offer else None
        laws.everyone_reports()
        laws.rollouts[0] = replace(laws.rollouts[0], records=500, gates=(a_gate(Verdict.PASS),))
        laws.time_passes(30)
    assert laws.rollouts[0].rollout.state is State.COMPLETED
    assert sorted(set(waves)) == [0, 2, 3]
    assert all(device.runs == 1 for device in laws.devices.values())
    assert laws.rollouts[0].rollout.exposed == 4
