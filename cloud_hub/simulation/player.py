"""Plays one rollout: look, decide, carry out, and on to when something can have changed. Its time is simulated."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from cloud_hub.rollouts.engine import APPROVAL_WANTED, Rollout, command, decide
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.states import State
from cloud_hub.simulation.admitting import Admitting
from cloud_hub.simulation.fleet import build
from cloud_hub.simulation.observer import Observer
from cloud_hub.simulation.scenario import Scenario
from cloud_hub.simulation.witnesses import Witnesses
from cloud_hub.simulation.world import World
from fleet_contract.because import Because

_START = datetime(2026, 1, 5, tzinfo=UTC)
#: Where nothing happens to any device and nothing changes but records, looks may be so far apart: a part of the time
#: that has passed, for what has not shown in a day is not waited for by the second.
_QUIET_LOOK_SECONDS = 120
_QUIET_LOOK_PART = 0.02
_OVER = frozenset({State.REVERTED, State.ABORTED, State.STOPPED, State.SUPERSEDED})
#: Of the devices that ever come, so many have it when a rollout has arrived.
ARRIVED = 0.95


@dataclass(frozen=True)
class Point:
    """Devices, at one moment."""

    seconds: float
    offered: int
    running: int
    failed: int
    wave: int


@dataclass(frozen=True)
class Moment:
    """A decision that changed more than numbers."""

    seconds: float
    state: State
    because: Because


@dataclass(frozen=True)
class Played:
    """How one rollout went. `stopped_seconds` is when the engine stopped it, `completed_seconds` when it called it
    completed, and `arrived_seconds` when `ARRIVED` of the devices that ever come ran the version; None when that never
    was. `exposed` are the devices that had been offered the version when it was stopped, or by the end;
    `exposed_by_target` the same of each target, as (offered, all)."""

    seed: int
    state: State
    because: Because
    devices: int
    exposed: int
    exposed_by_target: tuple[tuple[int, int], ...]
    seconds: float
    stopped_seconds: float | None
    completed_seconds: float | None
    arrived_seconds: float | None
    looks: int
    points: tuple[Point, ...]
    moments: tuple[Moment, ...]

    @property
    def stopped(self) -> bool:
        return self.stopped_seconds is not None

    @property
    def completed(self) -> bool:
        return self.state is State.COMPLETED

    @property
    def exposed_share(self) -> float:
        return self.exposed / self.devices


def play(policy: Policy, scenario: Scenario, seed: int, told: Callable[[Point], None] = lambda _point: None) -> Played:
    """One rollout with `policy` in `scenario`; the same `seed` gives the same. `told` is told how far it is."""
    chance = np.random.default_rng(seed)
    fleet = build(scenario, policy, f"simulated-{seed}", chance)
    world = World(scenario, policy, fleet, chance)
    witnesses = Witnesses(world, chance)
    admitting = Admitting(policy, world, scenario.group_size, chance)
    observer = Observer(policy, world, witnesses, admitting)
    rollout = Rollout("simulated", "simulated", 2, State.RUNNING, Because("created", "Created for a simulated fleet."))
    moments = [Moment(0.0, rollout.state, rollout.because)]
    points: list[Point] = []
    seconds, step, looks = 0.0, scenario.look_seconds, 0
    stopped: float | None = None
    completed: float | None = None
    arrived: float | None = None
    exposed, by_target = 0, _by_target(world)
    while True:
        looks += 1
        running = points[-1].running if points else 0
        world.advance(seconds)
        before = rollout
        if rollout.state is not State.COMPLETED:
            snapshot = observer.look(rollout, witnesses.advance(seconds, running))
            rollout = decide(rollout, policy, snapshot, _START + timedelta(seconds=seconds)).rollout
        if rollout.state in (State.REVERTING, State.STOPPED) and stopped is None:
            stopped = seconds
            exposed, by_target = world.offered, _by_target(world)
            if rollout.state is State.REVERTING:
                world.revert()
        elif rollout.state in (State.RUNNING, State.COMPLETED):
            if rollout.because.code == APPROVAL_WANTED:
                rollout = command(rollout, "approve", by="the simulation").rollout
            admitting.carry_out(rollout)
        point = _point(world, seconds, rollout)
        told(point)
        points.append(point)
        decided = (before.state, before.because.code) != (rollout.state, rollout.because.code)
        if decided:
            moments.append(Moment(seconds, rollout.state, rollout.because))
        if completed is None and rollout.state is State.COMPLETED:
            completed = seconds
        if arrived is None and point.running >= ARRIVED * fleet.ever_connected:
            arrived = seconds
        done = rollout.state in _OVER or (rollout.state is State.COMPLETED and arrived is not None)
        if done or seconds >= scenario.hours * 3600:
            break
        step = _next(world, step, still=not decided and admitting.carried_out)
        seconds = min(seconds + step, scenario.hours * 3600)
    if stopped is None:
        exposed, by_target = world.offered, _by_target(world)
    return Played(
        seed=seed,
        state=rollout.state,
        because=rollout.because,
        devices=scenario.devices,
        exposed=exposed,
        exposed_by_target=by_target,
        seconds=seconds,
        stopped_seconds=stopped,
        completed_seconds=completed,
        arrived_seconds=arrived,
        looks=looks,
        points=tuple(points),
        moments=tuple(moments),
    )


def _next(world: World, step: float, *, still: bool) -> float:
    """Seconds to the next look: longer and longer while nothing happens, and never past what will."""
    shortest = world.scenario.look_seconds
    if not still:
        return shortest
    longer = min(2 * step, max(_QUIET_LOOK_SECONDS, _QUIET_LOOK_PART * world.now_seconds, shortest)) // 1
    event = world.next_event_within(int(longer))
    return longer if event is None else max(shortest, min(longer, float(event)))


def _point(world: World, seconds: float, rollout: Rollout) -> Point:
    counts = world.by_wave.values()
    return Point(
        seconds=seconds,
        offered=world.offered,
        running=sum(one.succeeded for one in counts) if rollout.exposed else world.returning,
        failed=sum(one.failed for one in counts),
        wave=rollout.wave,
    )


def _by_target(world: World) -> tuple[tuple[int, int], ...]:
    return tuple(world.offered_of(target) for target in range(world.scenario.targets))
