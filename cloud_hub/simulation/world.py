"""What happens between two looks: orders arrive, devices switch, fail, run out of memory, and go back when told to.

A device's whole future is drawn when it gets its order, and its events are put on time lines; so a look costs nothing
for devices that nothing happens to.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from cloud_hub.rollouts.engine import Counts
from cloud_hub.rollouts.policy import Policy
from cloud_hub.simulation.fleet import Flags, Fleet, Floats, Ints
from cloud_hub.simulation.scenario import Scenario
from cloud_hub.simulation.timeline import Timeline
from cloud_hub.simulation.windows import Windows

_LEAK_SPREAD = 0.2
_REVERT_SECONDS = 5.0


@dataclass
class _Wave:
    """What is to become of the devices that were ordered while one wave was the newest."""

    horizon_seconds: int
    offered: int = 0
    heard: Timeline = field(init=False)
    ready: Timeline = field(init=False)
    done: Timeline = field(init=False)
    switched: Timeline = field(init=False)
    failed: Timeline = field(init=False)
    lost: Timeline = field(init=False)
    overdue: Timeline = field(init=False)
    late: Timeline = field(init=False)

    def __post_init__(self) -> None:
        for name in _LINES:
            setattr(self, name, Timeline(self.horizon_seconds))

    @property
    def lines(self) -> Iterator[Timeline]:
        return (getattr(self, name) for name in _LINES)

    @property
    def counts(self) -> Counts:
        return Counts(
            offered=self.offered,
            heard=self.heard.passed,
            succeeded=self.switched.passed - self.lost.passed,
            failed=self.failed.passed + self.lost.passed + self.overdue.passed - self.late.passed,
            waiting=self.ready.passed - self.done.passed,
        )


_LINES = ("heard", "ready", "done", "switched", "failed", "lost", "overdue", "late")


class World:
    """A fleet that is ordered a version under `policy`. Seconds count from the start of the rollout, and only go
    forward."""

    def __init__(self, scenario: Scenario, policy: Policy, fleet: Fleet, chance: np.random.Generator) -> None:
        self.scenario = scenario
        self.fleet = fleet
        self.now_seconds = 0.0
        self.ordered: Flags = np.zeros(fleet.devices, dtype=np.bool_)
        """Which devices have an order."""
        self.offered = 0
        # From when to when a device runs the version. Infinity: not, or for ever.
        self.switched_at: Floats = np.full(fleet.devices, np.inf)
        self.lost_at: Floats = np.full(fleet.devices, np.inf)
        self._done_at: Floats = np.full(fleet.devices, np.inf)
        self._policy = policy
        self._windows = Windows(policy.window) if policy.window else None
        self._chance = chance
        self._horizon = int(scenario.hours * 3600)
        self._waves: dict[int, _Wave] = {}
        self._returns: Timeline | None = None
        self._returning = 0
        self._away = 0

    def advance(self, now_seconds: float) -> None:
        self.now_seconds = now_seconds
        for line in self._lines():
            line.advance(now_seconds)

    def offer(self, devices: Ints, wave: int) -> None:
        """Orders the version, as of `wave`, to `devices`, which have no order yet."""
        if not devices.size:
            return
        fleet, now, policy = self.fleet, self.now_seconds, self._policy
        heard_at = fleet.next_connected(devices, now) + fleet.delivery_seconds[devices]
        install = fleet.install_seconds[devices]
        failed = (self._chance.random(devices.size) < self.scenario.failure_rate) & self.spoilt(devices)
        # What a device cannot install, it cannot the next time either.
        ready_at = heard_at + install * np.where(failed, 1 + policy.retries, 1)
        done_at = ready_at
        if self._windows is not None:
            done_at = np.where(failed, ready_at, self._windows.open_from(fleet.local_seconds[devices], ready_at))
        switched_at = np.where(failed, np.inf, done_at)
        lost_at = np.full(devices.size, np.inf)
        if self.scenario.leak_hours is not None:
            lasts = 3600 * self.scenario.leak_hours * np.exp(self._chance.normal(0.0, _LEAK_SPREAD, devices.size))
            lost_at = np.where(self.spoilt(devices), switched_at + lasts, np.inf)
        self.switched_at[devices], self.lost_at[devices], self._done_at[devices] = switched_at, lost_at, done_at
        into = self._waves.setdefault(wave, _Wave(self._horizon))
        for line in into.lines:
            line.advance(now)
        into.offered += devices.size
        into.heard.add(heard_at)
        into.ready.add(ready_at)
        into.done.add(done_at)
        into.switched.add(switched_at)
        into.failed.add(done_at[failed])
        into.lost.add(lost_at)
        if policy.deadline_seconds is not None:
            overdue_at = np.maximum(now + policy.deadline_seconds, heard_at)
            overdue = done_at > overdue_at
            into.overdue.add(overdue_at[overdue])
            into.late.add(done_at[overdue])
        self.ordered[devices] = True
        self.offered += devices.size

    def revert(self) -> None:
        """Orders each device that has an order back to what it ran before."""
        which, at = np.flatnonzero(self.ordered), self.now_seconds
        here = self.fleet.connected(which, at)
        has = (self.switched_at[which] <= at) & (self.lost_at[which] > at)
        self._returning, self._away = int(np.count_nonzero(has & here)), int(np.count_nonzero(has & ~here))
        self._returns = Timeline(self._horizon)
        self._returns.advance(at)
        back = at + self.fleet.delivery_seconds[which] + self._chance.exponential(_REVERT_SECONDS, which.size)
        self._returns.add(back[has & here])

    @property
    def by_wave(self) -> dict[int, Counts]:
        return {number: wave.counts for number, wave in self._waves.items()}

    @property
    def counts(self) -> Counts:
        """Of all waves."""
        return sum((wave.counts for wave in self._waves.values()), Counts())

    @property
    def returning(self) -> int:
        """Connected devices that still have the version after `revert`."""
        return self._returning - self._returns.passed if self._returns else 0

    @property
    def away(self) -> int:
        """Those that had it then, and were not connected."""
        return self._away

    def spoilt(self, which: Ints | slice) -> Flags:
        """The devices on which what is said of the version holds."""
        target, bad = self.fleet.target[which], self.scenario.bad_target
        return np.ones(len(target), dtype=np.bool_) if bad is None else target == bad - 1

    def runs(self, which: Ints) -> Flags:
        """Which of them run the version now."""
        return (self.switched_at[which] <= self.now_seconds) & (self.lost_at[which] > self.now_seconds)

    def settled(self, which: Ints) -> Flags:
        """Which of those that have an order are done with it, well or badly."""
        return self._done_at[which] <= self.now_seconds

    def offered_of(self, target: int) -> tuple[int, int]:
        """Of the devices of `target`, from 0: how many were ordered the version, and how many there are."""
        of = self.fleet.target == target
        return int(np.count_nonzero(of & self.ordered)), int(np.count_nonzero(of))

    def next_event_within(self, seconds: int) -> int | None:
        """In how many seconds something happens to a device, if within so many."""
        found = [after for line in self._lines() if (after := line.next_within(seconds)) is not None]
        return min(found, default=None)

    def _lines(self) -> list[Timeline]:
        lines = [line for wave in self._waves.values() for line in wave.lines]
        return [*lines, self._returns] if self._returns else lines
