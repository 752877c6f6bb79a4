"""What the engine is shown of a simulated fleet: the same `Snapshot` that the hub counts in its database."""

from cloud_hub.monitoring.gates import About, Case, Gate, Outcomes, judge
from cloud_hub.rollouts.engine import Counts, LeftOver, Rollout, Snapshot
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.states import State
from cloud_hub.rollouts.tolerances import tolerances
from cloud_hub.simulation.admitting import Admitting
from cloud_hub.simulation.witnesses import LABEL_NAMES, Witnesses
from cloud_hub.simulation.world import World

#: What a device gives as its reason that could not load a version.
_FAILED = "load-failed"


class Observer:
    """Looks at one world for one rollout, again and again."""

    def __init__(self, policy: Policy, world: World, witnesses: Witnesses, admitting: Admitting) -> None:
        self._world = world
        self._witnesses = witnesses
        self._admitting = admitting
        self._tolerances = tolerances(policy.gates)
        self._about = About(LABEL_NAMES)
        self._targets = witnesses.targets if world.scenario.targets > 1 else {}
        self._wave = -1
        self._wave_records = 0

    def look(self, rollout: Rollout, new_records: int) -> Snapshot:
        """What is known now; `new_records` of the version came in since the last look."""
        world = self._world
        if rollout.state is State.REVERTING:
            return Snapshot(left_over=LeftOver(world.returning, world.away))
        if rollout.wave != self._wave:
            self._wave, self._wave_records = rollout.wave, 0
        self._wave_records += new_records
        by_wave, counts = world.by_wave, world.counts
        return Snapshot(
            eligible=world.fleet.devices,
            waves=world.fleet.ends,
            counts=counts,
            fresh=by_wave.get(rollout.wave, Counts() if self._admitting.held else counts),
            wave_records=self._wave_records,
            gates=self._gates(rollout) if rollout.wave >= 0 else (),
            carried_out=self._admitting.carried_out,
            held=self._admitting.held,
        )

    def _gates(self, rollout: Rollout) -> tuple[Gate, ...]:
        world, counts = self._world, self._world.counts
        *earlier, now = self._witnesses.periods()
        case = Case(
            now.treated,
            now.control,
            self._witnesses.past,
            Outcomes(counts.succeeded, {_FAILED: counts.failed} if counts.failed else {}),
            self._about,
            concurrent=counts.succeeded < world.fleet.devices,
            targets=self._targets,
            earlier=earlier,
            since_seconds=now.since_seconds,
            exposing=world.fleet.ends[rollout.wave] < world.fleet.ends[-1],
            treated_for_target=self._witnesses.for_target,
            control_for_target=self._witnesses.for_target,
        )
        return judge(case, self._tolerances)
