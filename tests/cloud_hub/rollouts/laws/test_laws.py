"""The engine against random fleets, reports, delays, crashes and people. What must hold, holds after every step.

The fleet here is a model of its own, without a database: orders reach devices late, twice or never.
"""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from cloud_hub.monitoring.gates import Gate, Verdict
from cloud_hub.rollouts.engine import Rollout, SamePerson, Verb, VerbRefused, check_second_person, command
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.states import IN_FORCE, State
from cloud_hub.rollouts.wanted import Candidate
from fleet_contract.because import Because
from tests.cloud_hub.rollouts.laws.device import Device
from tests.cloud_hub.rollouts.laws.lawful_hub import HOUR, LawfulHub
from tests.cloud_hub.rollouts.laws.policies import POLICIES
from tests.cloud_hub.rollouts.laws.running import Running

# Finding the shortest way to a broken law takes longer than finding that one is broken.
pytestmark = pytest.mark.timeout(400)


TARGETS = ("cpu-vnni", "cpu-avx2", "edge-tpu")


def a_gate(verdict: Verdict, *, clear: bool = False) -> Gate:
    clear = clear and verdict is Verdict.NOT_ENOUGH_EVIDENCE
    return Gate("errors", verdict, f"It is {verdict}.", 0.0, 0.0, 0.0, 0.02, clear=clear)


class World(LawfulHub, RuleBasedStateMachine):
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
        if World.version(device.received_claim) != device.runs:
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
        self.decides(len(self.rollouts) - 1)
        self.now += timedelta(seconds=61)

    @precondition(lambda self: self.rollouts)
    @rule(records=st.sampled_from([0, 300]), person=st.booleans(), bad=st.booleans())
    def hours_pass_in_which_nothing_more_is_shown(self, records: int, person: bool, bad: bool) -> None:
        for _ in range(3):
            self.a_minute_passes_in_which_most_is_well(records, Verdict.NOT_ENOUGH_EVIDENCE, clear=False, failing=0)
        self.now += 2 * HOUR
        self.decides(len(self.rollouts) - 1)
        if person:
            self.approves(self.rollouts[-1], "bob")
        self.rollouts[-1].gates = (a_gate(Verdict.NOT_ENOUGH_EVIDENCE, clear=bad),)
        self.the_clock_ticks()

    @rule(seconds=st.sampled_from([1, 5, 10]))
    def the_hub_looks_at_it_again_and_again(self, seconds: int) -> None:
        for _ in range(6):
            self.the_clock_ticks()
            self.now += timedelta(seconds=seconds)

    # --- people and the hub ----------------------------------------------------------------------------------------

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
            self.decides(len(self.rollouts) - 1)
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
        self.decides(data.draw(st.integers(0, len(self.rollouts) - 1)))

    @rule()
    def the_clock_ticks(self) -> None:
        for index in range(len(self.rollouts)):
            self.decides(index)
        for running in self.rollouts:
            self.carry_out(running)

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


class TestLaws(World.TestCase):  # type: ignore[name-defined,misc]
    """A look in passing; all of them are for the slow suite."""

    settings = settings(max_examples=60, stateful_step_count=30)


@pytest.mark.slow
class TestLawsAtLength(World.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(max_examples=300, stateful_step_count=30)


@pytest.mark.parametrize(
    "limits",
    [{}, {"rate": {"devices_per_minute": 2}, "max_in_flight": 2, "group": {"label": "pair"}, "deadline_seconds": 300}],
)
def test_a_rollout_with_good_devices_and_good_telemetry_always_completes(limits: dict[str, object]) -> None:
    world = World()
    for number in range(20):
        world.joins(100 + number, elsewhere=False)
    world.a_person_starts_a_rollout(Policy.model_validate(limits), TARGETS)
    waves = []
    for _ in range(60):
        world.the_clock_ticks()
        waves.append(world.rollouts[0].rollout.wave)
        for device in world.devices.values():
            if device.received < device.generation:
                device.received, device.received_claim = device.generation, device.offer
                device.runs = device.offer.version if device.offer else None
        world.everyone_reports()
        world.rollouts[0] = replace(world.rollouts[0], records=500, gates=(a_gate(Verdict.PASS),))
        world.time_passes(30)
    assert world.rollouts[0].rollout.state is State.COMPLETED
    assert sorted(set(waves)) == [0, 2, 3]
    assert all(device.runs == 1 for device in world.devices.values())
    assert world.rollouts[0].rollout.exposed == 4
