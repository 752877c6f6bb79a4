"""Which devices a wave covers: one stable number a device and rollout, and lines that are drawn once. Pure.

A rollout never lists its devices. A device's place is a hash of the rollout's salt and its id, so each rollout has
other canaries; those of the lab stand before all others. Before a rollout starts, `draw` puts a line for each wave
and hardware target: a wave covers who stands below its line. From then on the rollout's exposure is one number, how
many waves are open, and a device that joins later obeys the lines too. What a preview drew is what happens.

Devices are shared out over targets by the share of their target that stands before them, which is Adams' method of
apportionment: every target has its first device before any has its second, and a larger wave never takes one away
(Balinski and Young, Fair Representation, 1982).
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from cloud_hub.rollouts.policy import Policy

#: One more than the largest bucket. 53 bits: exact in JSON and JavaScript, and no two of a million devices share one.
BUCKETS = 2**53
_LAB_ENDS = BUCKETS // 2
#: The line for devices of a target of which there was none when lines were drawn.
ELSEWHERE = "*"


def bucket(salt: str, device: str) -> int:
    """A number for `device` in a rollout with `salt`: 0 to BUCKETS - 1, for ever the same, evenly spread."""
    return int.from_bytes(hashlib.blake2b(f"{salt}/{device}".encode(), digest_size=8).digest(), "big") >> 11


def place(salt: str, device: str, *, lab: bool) -> int:
    """Where `device` stands, from 0 to BUCKETS - 1: the lab in the first half, all others in the second."""
    half = bucket(salt, device) // 2
    return half if lab else _LAB_ENDS + half


@dataclass(frozen=True)
class Line:
    """One wave: it covers who stands below `below`, by target. So many `devices` did when it was drawn, by target."""

    name: str
    below: Mapping[str, int]
    devices: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.devices.values())

    @property
    def everyone(self) -> bool:
        return self.below.get(ELSEWHERE, 0) >= BUCKETS

    def covers(self, target: str, place: int) -> bool:
        return place < self.below.get(target, self.below.get(ELSEWHERE, 0))


@dataclass(frozen=True)
class Stander:
    """An eligible device, when lines are drawn."""

    id: str
    target: str
    lab: bool = False


def draw(policy: Policy, salt: str, standing: Iterable[Stander]) -> tuple[Line, ...]:
    """The lines of all waves, the lab's first, for the devices that are `standing` now.

    Percentages are of the devices outside the lab. Each wave is rounded up, and has one of each target at the least.
    """
    lab: dict[str, int] = {}
    places: dict[str, list[int]] = {}
    for one in standing:
        if one.lab:
            lab[one.target] = lab.get(one.target, 0) + 1
        else:
            places.setdefault(one.target, []).append(place(salt, one.id, lab=False))
    for found in places.values():
        found.sort()
    lines = [] if policy.lab is None else [Line("lab", {ELSEWHERE: _LAB_ENDS}, lab)]
    count, elsewhere = 0, _LAB_ENDS
    there = {target: len(found) for target, found in places.items()}
    for wave in policy.waves:
        # 4 devices, then 30 %: in a small fleet the later wave would be smaller, and none takes a device away.
        count = max(count, wave.covers(sum(there.values())))
        elsewhere = max(elsewhere, _LAB_ENDS + int((wave.percent or 0) / 100 * _LAB_ENDS))
        given = shared_out(count, there) if there else {}
        below = {target: places[target][of - 1] + 1 for target, of in given.items()}
        devices = {target: given.get(target, 0) + lab.get(target, 0) for target in sorted({*given, *lab})}
        lines.append(
            Line(wave.name, {ELSEWHERE: BUCKETS} if wave.everyone else {ELSEWHERE: elsewhere, **below}, devices)
        )
    return tuple(lines)


def added(lines: Sequence[Line], wave: int, salt: str, device: Stander) -> bool:
    """Whether `wave` is the first that covers `device`."""
    at = place(salt, device.id, lab=device.lab)
    return lines[wave].covers(device.target, at) and not any(one.covers(device.target, at) for one in lines[:wave])


def names(policy: Policy) -> tuple[str, ...]:
    """What the waves are called, the lab's first where there is one."""
    return (*(() if policy.lab is None else ("lab",)), *(wave.name for wave in policy.waves))


def shared_out(count: int, among: Mapping[str, int]) -> dict[str, int]:
    """`count` devices shared out over targets that have so many: exactly as many (or all there are), one of each at
    the least, and never fewer of any for a larger count."""
    everybody = sum(among.values())
    count = min(everybody, max(count, len(among)))
    # Who stands before this share of their target is in for certain; the few that are missing come one by one.
    certain = max(0, count - len(among))
    given = {target: -(-certain * of // everybody) for target, of in among.items()}
    while sum(given.values()) < count:
        given[min((Fraction(given[one], of), one) for one, of in among.items() if given[one] < of)[1]] += 1
    return given
