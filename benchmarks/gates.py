"""Do the gates cry wolf, and do they see? Rollouts and model-days on paper, with devices that differ as real ones do.

False stops: whole rollouts (1, 5, 25 and 100 % of a fleet of 60) of a version that is no different, looked at every
10 s with every gate on. Devices differ in what they see, how sure they are, how fast and how hot they run, wander from
what they did before, and share what the world does, which goes on changing while they pass over; none of that is how
the gates model them.

Power: a score that shifts by 0.25 standard deviations on 20 devices of 40, at 500 records a device. False alarms are a
model-day's: the same without a shift, looked at after every 50 records. The anchor is the population stability index,
which fails above 0.1, on the same data: its alarms at 50 records, and what it finds at 1,000.
"""

import argparse
import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.figure import Figure, report
from cloud_hub.monitoring.evidence import Evidence, Tally
from cloud_hub.monitoring.gates import About, Case, Edges, Gate, Outcomes, Tolerances, Verdict, judge
from cloud_hub.monitoring.periods import Periods, abreast, width_of
from fleet_contract.histogram import latency_bucket

Array = NDArray[np.float64]

LABELS = tuple("0123456789")
_FLEET, _WAVES = 60, (1, 3, 15, 60)
#: Looks in each wave, some three minutes of them, how far they are apart, and records of a device between two.
_WAVE_LOOKS, _LOOK_SECONDS, _RECORDS_A_LOOK = 17, 10, 20
_PAST_RECORDS, _PAST_WINDOWS = 1_000, 50
_EDGES = tuple(round(float(edge), 2) for edge in np.linspace(0.1, 0.9, 9))
_DIGEST = "sha256:one"
_ABOUT = About(LABELS, edges={_DIGEST: Edges(confidence=_EDGES)})
_SHIFT_SD = 0.25
_PSI_BINS, _PSI_ALARM = 10, 0.1
#: How far devices are from each other, and each of them from its own past, on the logit scale; and how far the world
#: goes from there during one rollout.
_APART, _WANDERING, _WORLD = 0.5, 0.1, 0.4
#: Around a device's usual latency, lognormal with 0.3, the shares of so many buckets of 4 % to both sides.
_REACH = 30
_LATENCY = np.exp(-((np.arange(-_REACH, _REACH + 1) * 0.04 / 0.3) ** 2) / 2)
_LATENCY /= _LATENCY.sum()
#: Degrees that a device's temperature goes through.
_HEAT = 5


@dataclass
class _Fleet:
    """Devices that count; a row each."""

    chance: np.random.Generator
    labels: Array
    confidence: Array
    errors: Array
    slowness: Array
    heat: NDArray[np.int64]

    @classmethod
    def drawn(cls, chance: np.random.Generator) -> "_Fleet":
        shares = np.log(np.array([4, 3, 2, 2, 1, 1, 1, 0.5, 0.3, 0.2]))
        sure = np.log(np.array([1, 1, 1, 2, 2, 3, 4, 6, 10, 20.0]))
        return cls(
            chance,
            shares + chance.normal(0, _APART, (_FLEET, len(LABELS))),
            sure + chance.normal(0, _APART, (_FLEET, len(_EDGES) + 1)),
            -6.5 + chance.normal(0, 1.0, _FLEET),
            chance.normal(math.log(8_000), 0.4, _FLEET),
            chance.integers(40, 60, _FLEET),
        )

    def later(self) -> "_Fleet":
        """The same devices when the world has moved a little, for all of them and for each."""
        world = self.chance.normal(0, _WORLD, len(LABELS))
        return _Fleet(
            self.chance,
            self.labels + world + self.chance.normal(0, _WANDERING, self.labels.shape),
            self.confidence + self.chance.normal(0, _WANDERING, self.confidence.shape),
            self.errors + self.chance.normal(0, 0.3, _FLEET),
            self.slowness + self.chance.normal(0, 0.03, _FLEET),
            self.heat,
        )

    def world(self) -> "_World":
        """Where the world goes during one rollout, for every device alike."""
        return _World(
            self.chance.normal(0, _WORLD, len(LABELS)),
            self.chance.normal(0, _WORLD, len(_EDGES) + 1),
            float(self.chance.normal(0, 0.5)),
        )

    def count(self, records: int, moved: "_World", into: "_Counts") -> None:
        """What each device counts in one more window of so many records, once the world has `moved`."""
        failing = 1 / (1 + np.exp(-(self.errors + moved.errors)))
        failed = self.chance.binomial(records, failing)
        answered = records - failed
        into.windows += 1
        into.errors += failed
        into.labels += self.chance.multinomial(answered, _shares(self.labels + moved.labels))
        into.confidence += self.chance.multinomial(answered, _shares(self.confidence + moved.confidence))
        into.latency += self.chance.multinomial(answered, _LATENCY)
        into.heat[np.arange(_FLEET), self.chance.integers(0, _HEAT, _FLEET)] += 1


@dataclass(frozen=True)
class _World:
    """By how much every device's logits have moved."""

    labels: Array | float = 0.0
    confidence: Array | float = 0.0
    errors: float = 0.0

    def part(self, share: float) -> "_World":
        """How far it is when so much of the time has passed."""
        return _World(share * self.labels, share * self.confidence, share * self.errors)


class _Counts:
    """What each device has counted; a row each."""

    def __init__(self) -> None:
        self.windows = 0
        self.errors = np.zeros(_FLEET, np.int64)
        self.labels = np.zeros((_FLEET, len(LABELS)), np.int64)
        self.confidence = np.zeros((_FLEET, len(_EDGES) + 1), np.int64)
        self.latency = np.zeros((_FLEET, len(_LATENCY)), np.int64)
        self.heat = np.zeros((_FLEET, _HEAT), np.int64)

    def of(self, fleet: _Fleet, devices: range) -> Evidence:
        columns = zip(
            self.errors.tolist(),
            self.labels.tolist(),
            self.confidence.tolist(),
            self.latency.tolist(),
            self.heat.tolist(),
            fleet.heat.tolist(),
            (latency_bucket(math.exp(usual)) - _REACH for usual in fleet.slowness),
            strict=True,
        )
        shown = {}
        for at, (errors, labels, confidence, latency, heat, degrees, first) in enumerate(columns):
            if at in devices and self.windows:
                shown[_name(at)] = Tally(
                    self.windows,
                    sum(labels),
                    errors,
                    {first + step: count for step, count in enumerate(latency) if count},
                    dict(zip(LABELS, labels, strict=True)),
                    {_DIGEST: tuple(confidence)},
                    memory={400 + at % 30: self.windows},
                    temperature={degrees + step: count for step, count in enumerate(heat) if count},
                )
        return Evidence(shown)


@dataclass
class _Looks:
    """How rollouts went: how many were stopped by which gate, and what looking took."""

    stops: int = 0
    stopped: Counter[str] = field(default_factory=Counter)
    completed: int = 0
    judged: int = 0
    seconds: float = 0.0

    def add(self, other: "_Looks") -> None:
        self.stops += other.stops
        self.stopped += other.stopped
        self.completed += other.completed
        self.judged += other.judged
        self.seconds += other.seconds


def _rollout(seed: int) -> _Looks:
    """One version that is no different, through all waves."""
    chance, looks = np.random.default_rng((1, seed)), _Looks()
    fleet, past = _Fleet.drawn(chance), _Counts()
    for _ in range(_PAST_WINDOWS):
        fleet.count(_PAST_RECORDS // _PAST_WINDOWS, _World(), past)
    case = Case(past=past.of(fleet, range(_FLEET)), about=_ABOUT)
    fleet = fleet.later()
    world, counts, since = fleet.world(), _Counts(), -1
    now = [Periods(), Periods()]
    before = now
    gates: tuple[Gate, ...] = ()
    total = len(_WAVES) * _WAVE_LOOKS
    for look in range(total):
        reached, seconds = _WAVES[look // _WAVE_LOOKS], look * _LOOK_SECONDS
        width = width_of(seconds)
        if look % _WAVE_LOOKS == 0 or seconds // width * width > since:
            # Devices have passed over, or a period: what is counted from here on is added to what was before.
            counts, before = _Counts(), [one.widened(width) for one in now]
        fleet.count(_RECORDS_A_LOOK, world.part(look / total), counts)
        since = seconds // width * width
        cohorts = (range(reached), range(reached, _FLEET))
        now = [_and(one, since, counts.of(fleet, of)) for one, of in zip(before, cohorts, strict=True)]
        *earlier, period = abreast(*now)
        case = replace(
            case,
            treated=period.treated,
            control=period.control,
            earlier=earlier,
            since_seconds=period.since_seconds,
            outcomes=Outcomes(reached),
            concurrent=reached < _FLEET,
            exposing=reached < _FLEET,
        )
        started = time.process_time()
        gates = judge(case, Tolerances())
        looks.seconds += time.process_time() - started
        looks.judged += 1
        if failed := [gate.name for gate in gates if gate.verdict is Verdict.FAIL]:
            looks.stops += 1
            looks.stopped.update(failed)
            return looks
    looks.completed += all(gate.verdict is Verdict.PASS for gate in gates)
    return looks


def _and(before: Periods, since: int, shown: Evidence) -> Periods:
    together = before.shown[since] + shown if since in before.shown else shown
    return Periods(before.width_seconds, {**before.shown, since: together})


def _name(at: int) -> str:
    return f"gateway-{at}"


def _shares(logits: Array) -> Array:
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


_ONLY_SCORES = Tolerances(
    installs_failed=None,
    parity_failed=None,
    error_increase=None,
    latency_ratios={},
    memory_ratio=None,
    temperature_rise=None,
    prediction_shift=None,
    confidence_shift=0.02,
    feature_shift=None,
    disagreement=None,
    accuracy_drop=None,
)


def _found(seed: int) -> bool:
    """Whether a shift is seen after 500 records a device."""
    return _fails(np.random.default_rng((2, seed)), _SHIFT_SD, [250, 500])


def _alarm(seed: int) -> bool:
    """Whether a day without a shift fails, looked at after every 50 records."""
    return _fails(np.random.default_rng((3, seed)), 0.0, range(50, 1_001, 50))


def _fails(chance: np.random.Generator, shift: float, sizes: Sequence[int]) -> bool:
    """Whether a day of 20 treated devices and 20 of the control, looked at after each of `sizes` records, fails."""
    offsets = chance.normal(0, 0.2, 40)
    past = Evidence({_name(at): _scores(chance, offsets[at], 4_000) for at in range(40)})
    now = offsets + chance.normal(0, 0.05, 40)
    now[:20] += shift
    counts: dict[str, Array] = {}
    seen = 0
    for size in sizes:
        for at in range(40):
            counts[_name(at)] = counts.get(_name(at), 0.0) + _bins(chance, now[at], size - seen)
        seen = size
        treated, control = (
            Evidence({_name(at): _tally(counts[_name(at)]) for at in cohort}) for cohort in (range(20), range(20, 40))
        )
        gates = judge(Case(treated, control, past, about=_ABOUT), _ONLY_SCORES)
        if any(gate.verdict is Verdict.FAIL for gate in gates):
            return True
    return False


def _bins(chance: np.random.Generator, centre: float, records: int) -> Array:
    quantiles = np.array([-1.2816, -0.8416, -0.5244, -0.2533, 0.0, 0.2533, 0.5244, 0.8416, 1.2816])
    bins = np.searchsorted(quantiles, chance.normal(centre, 1.0, records), side="right")
    return np.bincount(bins, minlength=len(_EDGES) + 1).astype(float)


def _tally(counts: Array) -> Tally:
    return Tally(1, int(counts.sum()), confidence={_DIGEST: tuple(int(count) for count in counts)})


def _scores(chance: np.random.Generator, centre: float, records: int) -> Tally:
    return _tally(_bins(chance, centre, records))


def _psi_alarm(chance: np.random.Generator, shift: float, records: int) -> bool:
    """The usual fixed threshold: one look at so many records, against as many from before."""
    before, now = (_bins(chance, centre, records) + 0.5 for centre in (0.0, shift))
    old, new = before / before.sum(), now / now.sum()
    return float(((new - old) * np.log(new / old)).sum()) > _PSI_ALARM


def measure(rollouts: int, days: int) -> list[Figure]:
    """The figures, from so many simulated rollouts and model-days."""
    looks = _Looks()
    with ProcessPoolExecutor() as workers:
        for done, one in enumerate(workers.map(_rollout, range(rollouts), chunksize=10), 1):
            looks.add(one)
            if done % 100 == 0:
                print(f"{done} rollouts: {looks.stops} stopped, {looks.completed} passed.", flush=True)
        found = np.mean(list(workers.map(_found, range(days))))
        alarms = np.mean(list(workers.map(_alarm, range(days))))
    print(
        f"{looks.stops} of {rollouts} rollouts of the same were stopped ({dict(looks.stopped)}), "
        f"{looks.completed} passed every gate at the end; {looks.judged:,} looks."
    )
    chance = np.random.default_rng(4)
    psi_alarms = np.mean([_psi_alarm(chance, 0.0, 50) for _ in range(2_000)])
    psi_found = np.mean([_psi_alarm(chance, _SHIFT_SD, 1_000) for _ in range(2_000)])
    return [
        Figure("false stops of whole rollouts", looks.stops / rollouts, 0.01, "of 1"),
        Figure("power at 0.25 sd, 500 records a device", float(found), 0.8, "of 1", float(psi_found), at_least=True),
        Figure("false alarms a model-day", float(alarms), 0.01, "of 1", float(psi_alarms)),
        Figure("a look at 60 devices, every gate", 1e3 * looks.seconds / looks.judged, 20.0, "ms"),
    ]


def main() -> int:
    """Prints the figures; 0 when every promise is kept."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gates", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rollouts", type=int, default=2_000, help="whole rollouts to play (default: 2000)")
    parser.add_argument("--days", type=int, default=400, help="model-days to look at (default: 400)")
    options = parser.parse_args()
    return report(measure(options.rollouts, options.days))


if __name__ == "__main__":
    sys.exit(main())
