"""A fleet as arrays, in the order in which a rollout reaches its devices.

The hub's own functions say where each device stands and where the lines of the waves are drawn. All else about a device
is random, and so is drawn in that order at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.waves import ELSEWHERE, Line, Stander, draw, place
from cloud_hub.simulation.scenario import Scenario

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Smalls = npt.NDArray[np.uint8]

_DAY_SECONDS = 86_400.0
_OPENS, _CLOSES = 8 * 3600.0, 18 * 3600.0
_INSTALL_SPREAD = 0.4
_FLAKY_SLOWER = 4.0
_FLAKY_LATE_SECONDS = 600.0
_DELIVERY_SECONDS = 1.0


@dataclass(frozen=True)
class Fleet:
    """Each array has one element a device. `ends` are how many devices each wave covers, so that those of wave 2 are
    from `ends[0]` to before `ends[1]`."""

    ends: tuple[int, ...]
    target: Smalls
    absent: Flags
    by_day: Flags
    flaky: Flags
    local_seconds: Floats
    """Local time of day when the rollout starts."""
    delivery_seconds: Floats
    """From being connected to having an order."""
    install_seconds: Floats

    @property
    def devices(self) -> int:
        return len(self.target)

    @property
    def ever_connected(self) -> int:
        """How many devices there are that are not absent for good."""
        return int(np.count_nonzero(~self.absent))

    def connected(self, which: Ints | slice, at: float) -> Flags:
        """Whether devices are connected, `at` seconds after the start."""
        time = (self.local_seconds[which] + at) % _DAY_SECONDS
        day: Flags = (time >= _OPENS) & (time < _CLOSES)
        return ~self.absent[which] & (day | ~self.by_day[which])

    def next_connected(self, which: Ints | slice, at: Floats | float) -> Floats:
        """The first moment from `at` on when each is connected; infinity for those that never are."""
        time = (self.local_seconds[which] + at) % _DAY_SECONDS
        wait = np.where((time >= _OPENS) & (time < _CLOSES), 0.0, (_OPENS - time) % _DAY_SECONDS)
        wait = np.where(self.by_day[which], wait, 0.0)
        return np.where(self.absent[which], np.inf, at + wait)


def build(scenario: Scenario, policy: Policy, salt: str, chance: np.random.Generator) -> Fleet:
    """The fleet of `scenario`, for a rollout with `policy` and `salt`."""
    count = scenario.devices
    target = chance.integers(0, scenario.targets, count, dtype=np.uint8)
    # Each target is there: a fleet that is said to have six has six.
    target[chance.choice(count, scenario.targets, replace=False)] = np.arange(scenario.targets)
    lab_devices = 0 if policy.lab is None else min(scenario.lab_devices, count)
    lines = draw(policy, salt, _standing(target, lab_devices))
    places = np.fromiter((place(salt, device_id(at), lab=at < lab_devices) for at in range(count)), np.int64, count)
    wave = _first_waves(lines, target, places)
    order = np.lexsort((places, wave))
    kind = chance.random(count)
    flaky = chance.random(count) < scenario.flaky
    zone: Floats = chance.integers(0, scenario.zones_hours + 1, count) * np.float64(3600.0)
    delivery = chance.exponential(_DELIVERY_SECONDS, count)
    delivery[flaky] += chance.exponential(_FLAKY_LATE_SECONDS, int(flaky.sum()))
    install = scenario.install_seconds * np.exp(chance.normal(0.0, _INSTALL_SPREAD, count))
    install[flaky] *= _FLAKY_SLOWER
    return Fleet(
        ends=tuple(int(np.count_nonzero(wave <= number)) for number in range(len(lines))),
        target=target[order],
        absent=kind < scenario.absent,
        by_day=(kind >= scenario.absent) & (kind < scenario.absent + scenario.by_day),
        flaky=flaky,
        local_seconds=(scenario.start_hour * 3600.0 + zone) % _DAY_SECONDS,
        delivery_seconds=delivery,
        install_seconds=install,
    )


def _standing(target: Smalls, lab_devices: int) -> Iterator[Stander]:
    for at, of in enumerate(target.tolist()):
        yield Stander(device_id(at), target_name(of), at < lab_devices)


def _first_waves(lines: tuple[Line, ...], target: Smalls, places: Ints) -> Ints:
    """The first wave that covers each device; their number, for those that none covers."""
    first = np.full(len(places), len(lines), dtype=np.int64)
    for number, line in reversed(list(enumerate(lines))):
        otherwise = line.below.get(ELSEWHERE, 0)
        below = np.array([line.below.get(target_name(of), otherwise) for of in range(int(target.max()) + 1)])
        first[places < below[target]] = number
    return first


def target_name(number: int) -> str:
    return f"target-{number + 1}"


def device_id(number: int) -> str:
    return f"gateway-{number:07d}"
