"""What happens between two looks: orders arrive, devices switch, fail, run out of memory, and go back when told to.

A device's whole future is drawn when it is offered the version, and its events are put on time lines; so a look costs
nothing for devices that nothing happens to.
"""

from dataclasses import dataclass, field

import numpy as np

from cloud_hub.rollouts.engine import Counts
from cloud_hub.simulation.fleet import Flags, Fleet, Floats
from cloud_hub.simulation.scenario import Scenario
from cloud_hub.simulation.timeline import Timeline

_LEAK_SPREAD = 0.2
_REVERT_SECONDS = 5.0


@dataclass
class _Wave:
    """What is to become of the devices that one wave added."""

    horizon_seconds: int
    offered: int = 0
    heard: Timeline = field(init=False)
    switched: Timeline = field(init=False)
    failed: Timeline = field(init=False)
    lost: Timeline = field(init=False)

    def __post_init__(self) -> None:
        self.heard, self.switched, self.failed, self.lost = (Timeline(self.horizon_seconds) for _ in range(4))

    @property
    def lines(self) -> tuple[Timeline, ...]:
        return (self.heard, self.switched, self.failed, self.lost)

    @property
    def counts(self) -> Counts:
        return Counts(
            offered=self.offered,
            heard=self.heard.passed,
            succeeded=self.switched.passed - self.lost.passed,
            failed=self.failed.passed + self.lost.passed,
        )


class World:
    """A fleet that is offered a version. Seconds count from the start of the rollout and only go forward."""

    def __init__(self, scenario: Scenario, fleet: Fleet, chance: np.random.Generator) -> None:
        self.scenario = scenario
        self.fleet = fleet
        self.now_seconds = 0.0
        self.offered = 0
        self._chance = chance
        self._horizon = int(scenario.hours * 3600)
        self._waves: dict[int, _Wave] = {}
        self._returns: Timeline | None = None
        self._returning = 0
        self._away = 0
        # From when to when a device runs the version. Infinity: not, or for ever.
        self.switched_at = np.full(fleet.devices, np.inf)
        self.lost_at = np.full(fleet.devices, np.inf)

    def advance(self, now_seconds: float) -> None:
        self.now_seconds = now_seconds
        for line in self._lines():
            line.advance(now_seconds)

    def offer(self, reached: int, wave: int) -> None:
        """Orders the version, as of `wave`, to the first `reached` devices, those that have no order yet."""
        if reached <= self.offered:
            return
        new, count = slice(self.offered, reached), reached - self.offered
        heard_at = self.fleet.next_connected(new, self.now_seconds) + self.fleet.delivery_seconds[new]
        done_at = heard_at + self.fleet.install_seconds[new]
        failed = (self._chance.random(count) < self.scenario.failure_rate) & self.spoilt(new)
        switched_at = np.where(failed, np.inf, done_at)
        lost_at = np.full(count, np.inf)
        if self.scenario.leak_hours is not None:
            lasts = 3600 * self.scenario.leak_hours * np.exp(self._chance.normal(0.0, _LEAK_SPREAD, count))
            lost_at = np.where(self.spoilt(new), switched_at + lasts, np.inf)
        self.switched_at[new], self.lost_at[new] = switched_at, lost_at
        into = self._waves.setdefault(wave, _Wave(self._horizon))
        for line in into.lines:
            line.advance(self.now_seconds)
        into.offered += count
        into.heard.add(heard_at)
        into.switched.add(switched_at)
        into.failed.add(done_at[failed])
        into.lost.add(lost_at)
        self.offered = reached

    def revert(self) -> None:
        """Orders each device that was offered the version back to what it ran before."""
        reached = slice(0, self.offered)
        at, here = self.now_seconds, self.fleet.connected(reached, self.now_seconds)
        has = (self.switched_at[reached] <= at) & (self.lost_at[reached] > at)
        self._returning, self._away = int(np.count_nonzero(has & here)), int(np.count_nonzero(has & ~here))
        self._returns = Timeline(self._horizon)
        self._returns.advance(at)
        back = at + self.fleet.delivery_seconds[reached] + self._chance.exponential(_REVERT_SECONDS, self.offered)
        self._returns.add(back[has & here])

    @property
    def by_wave(self) -> dict[int, Counts]:
        return {number: wave.counts for number, wave in self._waves.items()}

    @property
    def returning(self) -> int:
        """Connected devices that still have the version after `revert`."""
        return self._returning - self._returns.passed if self._returns else 0

    @property
    def away(self) -> int:
        """Those that had it then, and were not connected."""
        return self._away

    def spoilt(self, which: slice | Flags) -> Flags:
        """The devices on which what is said of the version holds."""
        target, bad = self.fleet.target[which], self.scenario.bad_target
        return np.ones(len(target), dtype=np.bool_) if bad is None else target == bad - 1

    def offered_of(self, target: int) -> tuple[int, int]:
        """Of the devices of `target`, from 0: how many were offered the version, and how many there are."""
        of = self.fleet.target == target
        return int(np.count_nonzero(of[: self.offered])), int(np.count_nonzero(of))

    def next_event_within(self, seconds: int) -> int | None:
        """In how many seconds something happens to a device, if within so many."""
        found = [after for line in self._lines() if (after := line.next_within(seconds)) is not None]
        return min(found, default=None)

    def running(self, which: slice, at: Floats | float) -> Flags:
        """Whether each has the version."""
        return (self.switched_at[which] <= at) & (self.lost_at[which] > at)

    def _lines(self) -> list[Timeline]:
        lines = [line for wave in self._waves.values() for line in wave.lines]
        return [*lines, self._returns] if self._returns else lines
