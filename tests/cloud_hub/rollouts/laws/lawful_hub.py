"""What must hold of a rollout, its devices and its people, whatever happens."""

from datetime import timedelta

from hypothesis.stateful import invariant

from cloud_hub.monitoring.gates import Verdict
from cloud_hub.rollouts.admission import MINUTE, devices_per_minute, limited
from cloud_hub.rollouts.engine import Rollout, Snapshot, decide
from cloud_hub.rollouts.explain import conditions
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.states import FOLLOWING, IN_FORCE, UNFINISHED, State
from tests.cloud_hub.rollouts.laws.device import Device
from tests.cloud_hub.rollouts.laws.hub import Hub
from tests.cloud_hub.rollouts.laws.running import Running

HOUR = timedelta(hours=1)


class LawfulHub(Hub):
    """Fails at the first decision, order or state that breaks a law."""

    def decides(self, index: int) -> None:
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

    def moved(self, before: Rollout, after: Rollout) -> None:
        assert after.state == before.state or after.state in FOLLOWING[before.state]
        assert after.exposed >= before.exposed or after.exposed == 0
        assert before.state in UNFINISHED or after == before
        assert after.exposed == 0 or after.state in IN_FORCE

    def was_let_go(self, device: Device, running: Running, before: tuple[int, dict[str, int]], undone: int) -> None:
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
    def after_a_revert_nobody_is_offered_the_version(self) -> None:
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

    @invariant()
    def at_most_one_rollout_of_a_model_runs_once_all_are_decided(self) -> None:
        decided = [decide(one.rollout, one.policy, self.snapshot(one), self.now).rollout.state for one in self.rollouts]
        assert sum(state in (State.RUNNING, State.PAUSED, State.STOPPED) for state in decided) <= 1
