"""How far a bad version gets, and how long a good one takes: the default policy against the rules of others.

All are played in the same simulation, on the same fleets, with the same telemetry: 100,000 devices of six hardware
targets, of which 2 % are never heard from, 20 % are connected only by day in twelve time zones, and 5 % have a bad
link. Ours is the hub's own engine, gates and default policy. `--quick` takes few runs, for a look.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.figure import Figure, report
from benchmarks.rules import AwsJobs, Flagger, HawkBit, Rule, Seen
from cloud_hub.rollouts.policy import Policy
from cloud_hub.simulation.fleet import Fleet, build
from cloud_hub.simulation.player import ARRIVED, play
from cloud_hub.simulation.scenario import Scenario
from cloud_hub.simulation.witnesses import Witnesses
from cloud_hub.simulation.world import World

FLEET = Scenario(devices=100_000, targets=6, absent=0.02, by_day=0.2, zones_hours=12, flaky=0.05, hours=48)
#: The same without anybody to wait for.
ALWAYS = replace(FLEET, by_day=0.0, flaky=0.0)
#: Fewer devices, where only verdicts count.
SMALL = replace(FLEET, devices=5_000, by_day=0.0)
#: What happens to every version, while a good one is rolled out.
TROUBLED = replace(SMALL, drift=0.2, world_error_rate=0.02, drift_hours=0.1)
POLICY = Policy()
BAD_TARGET = 2
_STEP_SECONDS = 10.0
_RULES: tuple[Callable[[Fleet], Rule], ...] = (
    lambda fleet: HawkBit(fleet.ends),
    lambda _fleet: AwsJobs(),
    lambda _fleet: Flagger(),
)


@dataclass(frozen=True)
class Run:
    """How one rollout went: the share, 0 to 1, exposed when it was stopped (1 when it was not), of the fleet and of the
    target that may be bad; and when it had arrived at 95 % of the devices that ever come."""

    stopped: bool
    exposed: float
    exposed_of_target: float
    arrived_seconds: float = float("inf")


def ours(scenario: Scenario, seed: int) -> Run:
    """The default policy."""
    played = play(POLICY, scenario, seed)
    if not played.stopped:
        return Run(False, 1.0, 1.0, float("inf") if played.arrived_seconds is None else played.arrived_seconds)
    offered, devices = played.exposed_by_target[BAD_TARGET - 1]
    return Run(True, played.exposed_share, offered / devices)


def theirs(make: Callable[[Fleet], Rule], scenario: Scenario, seed: int) -> Run:
    """Another's rule, on the fleet that the same seed gives ours."""
    chance = np.random.default_rng(seed)
    fleet = build(scenario, POLICY, f"simulated-{seed}", chance)
    world = World(scenario, POLICY, fleet, chance)
    witnesses, rule, seconds = Witnesses(world, chance), make(fleet), 0.0
    while seconds < scenario.hours * 3600:
        world.advance(seconds)
        counts = world.counts
        if counts.succeeded >= ARRIVED * fleet.ever_connected:
            return Run(False, 1.0, 1.0, seconds)
        witnesses.advance(seconds, counts.succeeded)
        reach = rule.reach(Seen(seconds, fleet.devices, world.by_wave, *witnesses.asked_of_treated))
        if reach is None:
            offered, devices = world.offered_of(BAD_TARGET - 1)
            return Run(True, world.offered / fleet.devices, offered / devices)
        world.offer(np.arange(world.offered, reach), rule.group)
        # Once all have their orders, only time passes; but looks go on while the rule may still stop.
        seconds += _STEP_SECONDS if reach < fleet.devices else 6 * _STEP_SECONDS
    return Run(False, 1.0, 1.0)


def many(name: str, run: Callable[[int], Run], runs: int) -> list[Run]:
    """Runs with seeds of their own, told on stderr."""
    found = []
    for seed in range(runs):
        found.append(run(seed))
        print(f"\r{name}: {seed + 1} of {runs} ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found


def _against(scenario: Scenario, runs: int, name: str) -> list[list[Run]]:
    """Each rule's runs, in the order of `_RULES`."""
    return [many(f"{name}, {rule}", lambda seed, make=make: theirs(make, scenario, seed), runs)  # type: ignore[misc]
            for rule, make in zip(("hawkBit", "AWS IoT Jobs", "Flagger"), _RULES, strict=True)]  # fmt: skip


def _p95(shares: Sequence[float]) -> float:
    return 100 * float(np.quantile(shares, 0.95))


def _mean_exposed(runs: Sequence[Run]) -> float:
    return 100 * float(np.mean([run.exposed for run in runs]))


def _minutes(runs: Sequence[Run]) -> float:
    return float(np.median([run.arrived_seconds for run in runs])) / 60


def _stops(runs: Sequence[Run]) -> float:
    return 100 * float(np.mean([run.stopped for run in runs]))


def main() -> int:
    """0 when every promise is kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policies", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few runs, for a look")
    parser.add_argument("--runs", type=int, default=200, help="so many of each bad version, and others in proportion")
    asked = parser.parse_args()
    runs = 10 if asked.quick else asked.runs
    some, few = max(4, 3 * runs // 20), max(1, runs // 40)
    failing = replace(FLEET, error_rate=0.05)
    spoilt = replace(failing, bad_target=BAD_TARGET)

    errors = many("5 % errors", lambda seed: ours(failing, seed), runs)
    target = many("5 % errors on one target", lambda seed: ours(spoilt, seed), runs)
    others = _against(failing, few, "5 % errors")
    good = many("good", lambda seed: ours(FLEET, seed), few)
    good_others = _against(FLEET, few, "good")
    always = many("good, always connected", lambda seed: ours(ALWAYS, seed), few)
    always_others = _against(ALWAYS, few, "good, always connected")
    calm = [many(f"good, {name}", lambda seed, world=world: ours(world, seed), some)  # type: ignore[misc]
            for name, world in (("quiet", SMALL), ("troubled", TROUBLED))]  # fmt: skip
    flagger = [many(f"good, {name}, Flagger", lambda seed, world=world: theirs(_RULES[2], world, seed), some)  # type: ignore[misc]
               for name, world in (("quiet", SMALL), ("troubled", TROUBLED))]  # fmt: skip

    exposed = [_mean_exposed(found) for found in others]
    minutes = [_minutes(found) for found in always_others]
    print(
        f"A good version in a fleet that is always connected: ours {_minutes(always):.1f} min, Flagger "
        f"{minutes[2]:.1f}, AWS IoT Jobs {minutes[1]:.1f}, hawkBit {minutes[0]:.1f}, which looks at no evidence of the "
        "version and opens a group when half of the one before have installed it."
    )
    fastest = min(_minutes(found) for found in good_others)
    stops, false_stops = _stops(calm[0] + calm[1]), _stops(flagger[0] + flagger[1])
    return report(
        [
            Figure("5 % errors: exposed at stop, p95", _p95([one.exposed for one in errors]), 0.2, "%"),
            Figure("... stopped", _stops(errors), 100, "% of runs", at_least=True),
            Figure("5 % errors on one target of six: of it, p95", _p95([one.exposed_of_target for one in target]), 2,
                   "%"),
            Figure("exposed, of the better of hawkBit and AWS", _mean_exposed(errors), min(exposed[:2]) / 10, "%",
                   min(exposed[:2])),
            Figure("exposed, of Flagger's", _mean_exposed(errors), exposed[2] / 2, "%", exposed[2]),
            Figure("false stops, of Flagger's", stops, max(false_stops - 1.0, 0.0), "% of runs", false_stops),
            Figure("good version complete, of the fastest's", _minutes(good), 1.2 * fastest, "min", fastest),
            Figure("... always connected, of Flagger's", _minutes(always), 1.2 * minutes[2], "min", minutes[2]),
            Figure("... always connected, of AWS IoT Jobs'", _minutes(always), 1.2 * minutes[1], "min", minutes[1]),
        ]
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
