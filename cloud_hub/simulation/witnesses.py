"""What models show: telemetry of some devices, drawn as windows would have added it up.

Gates weigh devices, and a few hundred of them decide; so those that the rollout reaches first, and those that it
reaches last, are drawn one by one, and some of each hardware target besides, as many as a hub keeps apart for it. The
others only count records.
"""

from collections.abc import Iterator

import numpy as np

from cloud_hub.monitoring.evidence import Evidence, Tally, memory_bucket
from cloud_hub.monitoring.periods import Period, Periods, abreast, width_of
from cloud_hub.monitoring.sampling import of_a_target
from cloud_hub.simulation.fleet import Fleet, Floats, Ints, device_id, target_name
from cloud_hub.simulation.scenario import LABELS
from cloud_hub.simulation.world import World
from fleet_contract.histogram import latency_bucket

#: Devices of each cohort.
WITNESSES = 120
_LATENCY_US = 8_000.0
_LATENCY_SPREAD = 0.25
#: How alike the label shares of devices are: the concentration of a Dirichlet distribution.
_LIKENESS = 300.0
_FLAKY_HEARD = 0.5
#: How much of the time before the rollout is remembered.
_PAST_HOURS = 6
_STEPS = np.arange(-12, 13, 2)
#: Of a device, and how much of it a leak has taken when the agent goes back.
_MEMORY_BYTES = 60_000_000
_LEAKED = 4.0
_MEMORY_STEPS = memory_bucket(int(_LEAKED * _MEMORY_BYTES)) - memory_bucket(_MEMORY_BYTES) + 1
_WINDOWS_A_MINUTE = 6


class Witnesses:
    """Telemetry of `world`, for a rollout that looks now and again."""

    def __init__(self, world: World, chance: np.random.Generator) -> None:
        self._world = world
        self._chance = chance
        self._at, for_target = _chosen(world.fleet, world.scenario.targets)
        count, scenario, fleet = len(self._at), world.scenario, world.fleet
        self._ids = [device_id(int(at)) for at in self._at]
        self.targets = {
            name: target_name(of) for name, of in zip(self._ids, fleet.target[self._at].tolist(), strict=True)
        }
        """The hardware target of each, by its name."""
        self.for_target = frozenset(device_id(at) for at in for_target)
        """Those that speak for their hardware target alone."""
        spoilt = world.spoilt(self._at)
        unlike = np.exp(chance.normal(0.0, scenario.device_spread, count) - scenario.device_spread**2 / 2)
        new = scenario.control_error_rate if scenario.error_rate is None else scenario.error_rate
        before = np.full(count, scenario.control_error_rate)
        self._error_rates = {"control": before * unlike, "treated": np.where(spoilt, new, before) * unlike}
        labels = chance.dirichlet(np.full(LABELS, _LIKENESS / LABELS), count)
        shifted = np.where(spoilt, scenario.prediction_shift, 0.0)
        self._labels = {"control": labels, "treated": _moved(labels, shifted, 0)}
        self._latency = np.exp(-((_STEPS * 0.04 / _LATENCY_SPREAD) ** 2) / 2)
        self._latency /= self._latency.sum()
        usual = latency_bucket(_LATENCY_US) + np.rint(chance.normal(0.0, 2.0, count)).astype(np.int64)
        slower = latency_bucket(_LATENCY_US * scenario.latency_ratio) - latency_bucket(_LATENCY_US)
        self._centre = {"control": usual, "treated": usual + np.where(spoilt, slower, 0)}
        self._memory = memory_bucket(_MEMORY_BYTES) + chance.integers(-4, 5, count)
        self._seen = 0.0
        self._sums = {role: _Sums(count) for role in ("control", "treated")}
        minutes = 60 * _PAST_HOURS
        self._draw("control", chance.poisson(scenario.records_per_minute * minutes, count), minutes, 0.0)
        self.past = self._evidence("control")
        """What devices did before the rollout."""
        self._before = {role: Periods() for role in ("control", "treated")}
        self._asked = self._failed = 0
        self._begin(0)

    def advance(self, now_seconds: float, running: int) -> int:
        """Draws what came in since the last time, while `running` devices ran the version. Gives how many records of
        it that were, on all of them."""
        minutes, self._seen = (now_seconds - self._seen) / 60, now_seconds
        if minutes <= 0:
            return 0
        width = width_of(now_seconds)
        if now_seconds // width * width > self._since:
            self._close()
            self._begin(int(now_seconds // width * width))
        heard = self._heard(now_seconds)
        asked = self._chance.poisson(self._world.scenario.records_per_minute * minutes * heard)
        treated = self._world.runs(self._at)
        for role, mine in (("treated", treated), ("control", ~treated)):
            self._draw(role, np.where(mine, asked, 0), minutes, now_seconds)
        rate = self._world.scenario.records_per_minute * minutes * float(heard.mean())
        return int(self._chance.poisson(rate * running))

    def periods(self) -> tuple[Period, ...]:
        """What devices have shown since the rollout started: those that run the version, and the others."""
        return abreast(*(self._until_now(role) for role in ("treated", "control")))

    @property
    def asked_of_treated(self) -> tuple[int, int]:
        """Of what was asked of the version: how much there was, and how much failed."""
        return self._asked, self._failed

    def _heard(self, now_seconds: float) -> Floats:
        fleet = self._world.fleet
        connected = fleet.connected(self._at, now_seconds).astype(np.float64)
        return np.where(fleet.flaky[self._at], _FLAKY_HEARD * connected, connected)

    def _begin(self, since: int) -> None:
        self._since = since
        self._sums = {role: _Sums(len(self._at)) for role in self._sums}

    def _close(self) -> None:
        self._before = {role: self._until_now(role) for role in self._sums}

    def _until_now(self, role: str) -> Periods:
        before = self._before[role].widened(width_of(self._seen))
        now, start = self._evidence(role), before.start_of(self._since)
        if not now.devices:
            return before
        together = before.shown[start] + now if start in before.shown else now
        return Periods(before.width_seconds, {**before.shown, start: together})

    def _draw(self, role: str, asked: Ints, minutes: float, now_seconds: float) -> None:
        mine = np.flatnonzero(asked)
        if not mine.size:
            return
        scenario = self._world.scenario
        changed = min(1.0, now_seconds / (3600 * scenario.drift_hours))
        rate = np.minimum(self._error_rates[role][mine] + changed * scenario.world_error_rate, 1.0)
        errors = self._chance.binomial(asked[mine], rate)
        records = asked[mine] - errors
        labels = self._labels[role][mine]
        if scenario.drift:
            labels = _moved(labels, np.full(len(mine), changed * scenario.drift), 1)
        if role == "treated":
            self._asked, self._failed = self._asked + int(asked.sum()), self._failed + int(errors.sum())
        sums = self._sums[role]
        sums.records[mine] += records
        sums.errors[mine] += errors
        sums.labels[mine] += self._chance.multinomial(records, labels)
        sums.latency[mine] += self._chance.multinomial(records, self._latency)
        windows = max(1, round(_WINDOWS_A_MINUTE * minutes))
        np.add.at(sums.memory, (mine, self._leaked(role, mine, now_seconds)), windows)

    def _leaked(self, role: str, which: Ints, now_seconds: float) -> Ints:
        """By how many buckets the memory of each device has grown, from its switch to what it cannot bear."""
        at = self._at[which]
        switched, lost = self._world.switched_at[at], self._world.lost_at[at]
        leaking = np.isfinite(lost) & (role == "treated")
        part = np.zeros(len(which))
        switched, lost = switched[leaking], lost[leaking]
        part[leaking] = ((now_seconds - switched) / (lost - switched)).clip(0.0, 1.0)
        grown = np.log2(1.0 + (_LEAKED - 1.0) * part) / np.log2(_LEAKED)
        return np.asarray(np.rint(grown * (_MEMORY_STEPS - 1)), np.int64)

    def _evidence(self, role: str) -> Evidence:
        return Evidence(dict(self._tallies(role)))

    def _tallies(self, role: str) -> Iterator[tuple[str, Tally]]:
        sums, centre = self._sums[role], self._centre[role]
        steps = [np.flatnonzero(grown).tolist() for grown in sums.memory]
        for at in np.flatnonzero(sums.records + sums.errors):
            latency = {
                int(centre[at] + step): count
                for step, count in zip(_STEPS.tolist(), sums.latency[at].tolist(), strict=True)
                if count
            }
            yield (
                self._ids[at],
                Tally(
                    windows=1,
                    records=int(sums.records[at]),
                    errors=int(sums.errors[at]),
                    latency=latency,
                    predictions=dict(zip(LABEL_NAMES, sums.labels[at].tolist(), strict=True)),
                    memory={int(self._memory[at] + step): int(sums.memory[at, step]) for step in steps[at]},
                ),
            )


LABEL_NAMES = tuple(str(number) for number in range(LABELS))


class _Sums:
    """What one cohort has shown, device by device."""

    def __init__(self, count: int) -> None:
        self.records = np.zeros(count, dtype=np.int64)
        self.errors = np.zeros(count, dtype=np.int64)
        self.labels = np.zeros((count, LABELS), dtype=np.int64)
        self.latency = np.zeros((count, len(_STEPS)), dtype=np.int64)
        self.memory = np.zeros((count, _MEMORY_STEPS), dtype=np.int64)


def _chosen(fleet: Fleet, targets: int) -> tuple[Ints, frozenset[int]]:
    """Who is drawn, and who of them for its target alone."""
    order, each = range(fleet.devices), of_a_target(WITNESSES, targets)
    of_all = {*order[:WITNESSES], *order[-WITNESSES:]}
    found = set(of_all)
    for target in range(targets):
        of = np.flatnonzero(fleet.target == target)
        found.update(of[:each].tolist())
        found.update(of[-each:].tolist())
    return np.array(sorted(found), dtype=np.int64), frozenset(found - of_all)


def _moved(shares: Floats, by: Floats, label: int) -> Floats:
    """`shares` of labels, a row a device, with that of `label` higher by `by`, at the cost of all others."""
    others = 1 - shares[:, label]
    moved = shares * ((others - by) / others)[:, np.newaxis]
    moved[:, label] = shares[:, label] + by
    return np.maximum(moved, 0.0)
