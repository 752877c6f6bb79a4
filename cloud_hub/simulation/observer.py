"""What the engine is shown of a simulated fleet: the same `Snapshot` that the hub counts in its database."""

from cloud_hub.monitoring.gates import About, Case, Gate, Outcomes, judge
from cloud_hub.rollouts.engine import Counts, Rollout, Snapshot
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.states import State
from cloud_hub.rollouts.tolerances import tolerances
from cloud_hub.simulation.witnesses import LABEL_NAMES, Witnesses
from cloud_hub.simulation.world import World


class Observer:
    """Looks at one world for one rollout, again and again."""

    def __init__(self, policy: Policy, world: World, witnesses: Witnesses) -> None:
        self._policy = policy
        self._world = world
        self._witnesses = witnesses
        self._wave = -1
        self._wave_records = 0
        self._tolerances = tolerances(policy.gates)
        several = len(set(witnesses.targets.tolist())) > 1
        names = zip(witnesses.ids, witnesses.targets.tolist(), strict=True)
        self._targets = {device: f"target-{target}" for device, target in names} if several else {}

    def look(self, rollout: Rollout, new_records: int) -> Snapshot:
        """What is known now; `new_records` of the version came in since the last look."""
        world = self._world
        if rollout.state is State.REVERTING:
            return Snapshot(returning=world.returning, unreachable=world.away)
        if rollout.wave != self._wave:
            self._wave, self._wave_records = rollout.wave, 0
        self._wave_records += new_records
        by_wave = world.by_wave
        total = _sum(by_wave)
        return Snapshot(
            eligible=world.fleet.devices,
            waves=world.fleet.ends,
            counts=total,
            fresh=by_wave.get(rollout.wave, total),
            wave_records=self._wave_records,
            gates=self._gates(total) if rollout.wave >= 0 else (),
        )

    def _gates(self, counts: Counts) -> tuple[Gate, ...]:
        case = Case(
            self._witnesses.treated(),
            self._witnesses.control(),
            outcomes=Outcomes(counts.succeeded, {"install-failed": counts.failed} if counts.failed else {}),
            about=About(LABEL_NAMES),
            concurrent=counts.succeeded < self._world.fleet.devices,
            targets=self._targets,
        )
        return judge(case, self._tolerances)


def _sum(by_wave: dict[int, Counts]) -> Counts:
    all_of = by_wave.values()
    return Counts(
        offered=sum(one.offered for one in all_of),
        heard=sum(one.heard for one in all_of),
        succeeded=sum(one.succeeded for one in all_of),
        failed=sum(one.failed for one in all_of),
    )
