"""What many simulated rollouts came to: how far a bad version got, how long a good one took, which stops
were false."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cloud_hub.simulation.player import Played

_QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class Spread:
    """The 5 %, 50 % and 95 % quantiles of a figure over all runs."""

    p5: float
    p50: float
    p95: float


@dataclass(frozen=True)
class Summary:
    """Shares of 1 of all runs. `complaints` are what the policy does not tolerate of the version: with any, a stop is
    right and completing is a miss; without, a stop is false. Spreads are None where no run got there."""

    runs: int
    complaints: tuple[str, ...]
    completed: float
    stopped: float
    unfinished: float
    false_stops: float
    missed: float
    exposed_devices: Spread
    exposed_percent: Spread
    worst_target_percent: Spread
    hours_to_stop: Spread | None
    hours_to_complete: Spread | None
    hours_to_arrive: Spread | None
    """Until 95 % of the devices that ever come ran it."""


def summarise(played: Sequence[Played], complaints: tuple[str, ...]) -> Summary:
    """The summary of at least one run."""
    runs = len(played)
    stopped, completed = [one for one in played if one.stopped], [one for one in played if one.completed]
    return Summary(
        runs=runs,
        complaints=complaints,
        completed=len(completed) / runs,
        stopped=len(stopped) / runs,
        unfinished=(runs - len(stopped) - len(completed)) / runs,
        false_stops=0.0 if complaints else len(stopped) / runs,
        missed=len(completed) / runs if complaints else 0.0,
        exposed_devices=_spread([one.exposed for one in played]),
        exposed_percent=_spread([100 * one.exposed_share for one in played]),
        worst_target_percent=_spread([100 * worst_target(one) for one in played]),
        hours_to_stop=_hours([one.stopped_seconds for one in stopped]),
        hours_to_complete=_hours([one.completed_seconds for one in completed]),
        hours_to_arrive=_hours([one.arrived_seconds for one in completed]),
    )


def worst_target(played: Played) -> float:
    """The share, 0 to 1, of its devices that were exposed, of the hardware target where it is largest."""
    return max(offered / total for offered, total in played.exposed_by_target)


def row(played: Played) -> dict[str, Any]:
    """One run as a document."""
    return {
        "seed": played.seed,
        "state": played.state.value,
        "because": {"code": played.because.code, "sentence": played.because.sentence},
        "exposed_devices": played.exposed,
        "exposed_percent": 100 * played.exposed_share,
        "exposed_by_target": [list(pair) for pair in played.exposed_by_target],
        "stopped_hours": None if played.stopped_seconds is None else played.stopped_seconds / 3600,
        "completed_hours": None if played.completed_seconds is None else played.completed_seconds / 3600,
        "arrived_hours": None if played.arrived_seconds is None else played.arrived_seconds / 3600,
        "hours": played.seconds / 3600,
        "looks": played.looks,
    }


def _hours(seconds: Sequence[float | None]) -> Spread | None:
    found = [one / 3600 for one in seconds if one is not None]
    return _spread(found) if found else None


def _spread(values: Sequence[float]) -> Spread:
    return Spread(*(float(value) for value in np.quantile(values, _QUANTILES)))
