"""Decides which exposed devices may have their order now: the rate, the cap in flight, the cap of a group. Pure.

A wave's line says who is exposed; this says when. All that it goes by is kept with the offers, so whoever asks again,
after a crash or on another hub, gets the same answer.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil, floor, log, log1p
from typing import Literal

from cloud_hub.rollouts.policy import Policy, Rate
from cloud_hub.rollouts.waves import BUCKETS, bucket

Held = Literal["rate", "cap", "group", "jitter", "turn", "away"]
MINUTE = timedelta(minutes=1)
NEVER = timedelta.max
_NOISE = 1e-9


@dataclass(frozen=True)
class Flow:
    """A rollout's devices: in flight, offered it within the last minute, succeeded. The last was offered it `since`
    ago, however long that is. `rate_lifted` is the rollout's: its rate holds nobody."""

    in_flight: int = 0
    lately: int = 0
    since: timedelta = NEVER
    succeeded: int = 0
    rate_lifted: bool = False


@dataclass(frozen=True)
class Mover:
    """A device that is about to be ordered something else, if the `rollouts` let it go that have limits and that it
    would newly follow. One that is `in_flight` already, to another version, may be switching in any case."""

    device: str
    connected: bool = True
    in_flight: bool = False
    rollouts: Collection[str] = ()


@dataclass(frozen=True)
class Limits:
    """What one rollout lets devices go by: its policy, what it has on its way, the groups of devices by its policy's
    label, and how many devices of each group may be switching."""

    policy: Policy
    salt: str
    wave_started_at: datetime
    flow: Flow
    groups: Mapping[str, str] = field(default_factory=dict)
    busy: Mapping[str, int] = field(default_factory=dict)


def limited(policy: Policy) -> bool:
    """Whether devices may have to wait for each other."""
    return policy.rate is not None or policy.max_in_flight is not None or policy.group is not None


def devices_per_minute(rate: Rate, succeeded: int) -> float:
    """The rate once so many have succeeded: it grows each time that a minute's worth has."""
    first, factor = rate.devices_per_minute, rate.growth_factor
    if factor == 1:
        return first
    # After n times so many have succeeded: first + first * factor + ... = first * (factor^n - 1) / (factor - 1).
    times = log1p(succeeded * (factor - 1) / first) / log(factor)
    # What is whole in decimals may be a little less in binary.
    return first * factor ** floor(times + _NOISE)


def room(policy: Policy, flow: Flow) -> tuple[int | None, Held]:
    """How many more devices may be offered the version now (None: any number), and what it is that keeps others."""
    cap = None if policy.max_in_flight is None else max(0, policy.max_in_flight - flow.in_flight)
    if policy.rate is None or flow.rate_lifted:
        return cap, "cap"
    by_rate = _by_rate(devices_per_minute(policy.rate, flow.succeeded), flow)
    return (by_rate, "rate") if cap is None or by_rate < cap else (cap, "cap")


def _by_rate(a_minute: float, flow: Flow) -> int:
    if a_minute < 1:
        # One, and then none for the minutes that it stands for.
        return int(flow.since * a_minute >= MINUTE)
    # Never more in any minute, and within the minute not all at once.
    share = a_minute * min(flow.since, MINUTE) / MINUTE
    return max(0, min(int(a_minute) - flow.lately, ceil(share) if flow.lately else ceil(a_minute / 60)))


def ripe_at(policy: Policy, salt: str, device: str, wave_started_at: datetime) -> datetime:
    """From when on `device` may have its order: each waits for a moment of its own."""
    jitter = policy.rate.jitter_seconds if policy.rate else 0
    return wave_started_at + timedelta(seconds=jitter * bucket(f"{salt}/jitter", device) / BUCKETS)


def all_ripe_at(policy: Policy, wave_started_at: datetime) -> datetime:
    """From when on no device waits for its moment any more."""
    return wave_started_at + timedelta(seconds=policy.rate.jitter_seconds if policy.rate else 0)


def admit(movers: Sequence[Mover], limits: Mapping[str, Limits], now: datetime) -> dict[str, dict[str, Held | None]]:
    """Who moves in this turn: for each rollout, of each device that asks it, None when it may have its order now, else
    what it waits for.

    Who is not connected waits, too: it would take its order at a time when another may be switching.
    """
    # Who waits for nobody moves for certain, and so does who is let go where no group has a cap: before all others.
    moving = {one.device: one for one in movers if not one.rollouts}
    said: dict[str, dict[str, Held | None]] = {}
    for rollout, of in sorted(limits.items(), key=lambda one: (one[1].policy.group is not None, one[0])):
        waiting = [one for one in movers if rollout in one.rollouts]
        said[rollout] = _let_go(of, waiting, moving, now)
        moving |= {one.device: one for one in waiting if said[rollout][one.device] is None}
    return said


def with_room(
    waiting: Iterable[str],
    connected: Collection[str],
    groups: Mapping[str, str],
    switching: Mapping[str, str],
    most: int,
) -> list[str]:
    """Those of `waiting` that need not wait for their group, as long as at most `most` of each switch at once; who is
    not `connected` waits for itself. `groups` are theirs; `switching` are all that may be switching, with theirs."""
    taken, found = Counter(switching.values()), list[str]()
    for device in waiting:
        group = groups.get(device) if device in connected and device not in switching else None
        if group is None:
            found.append(device)
        elif taken[group] < most:
            found.append(device)
            taken[group] += 1
    return found


def barred(device: str, said: Mapping[str, Mapping[str, Held | None]], rollouts: Iterable[str]) -> list[str]:
    """Which of `rollouts`, running ones that have limits or are of a slot in which it waits, `device` may not follow
    yet: once one has it wait, each that has not let it go. An older one that was not asked for it does not have it
    meanwhile."""
    if all(of.get(device) is None for of in said.values()):
        return []
    return [rollout for rollout in rollouts if said.get(rollout, {}).get(device, "unasked") is not None]


def _let_go(
    limits: Limits, waiting: Iterable[Mover], moving: Mapping[str, Mover], now: datetime
) -> dict[str, Held | None]:
    left, why = room(limits.policy, limits.flow)
    asked = limits.policy.group
    taken, most, groups = dict(limits.busy), asked.max_in_flight if asked else 0, limits.groups if asked else {}
    for one in moving.values():
        if (group := groups.get(one.device)) is not None and not one.in_flight:
            taken[group] = taken.get(group, 0) + 1
    found: dict[str, Held | None] = {}
    for one in waiting:
        group = None if one.in_flight or one.device in moving else groups.get(one.device)
        if not one.connected:
            found[one.device] = "away"
        elif now < ripe_at(limits.policy, limits.salt, one.device, limits.wave_started_at):
            found[one.device] = "jitter"
        elif left is not None and left <= 0:
            found[one.device] = why
        elif group is not None and taken.get(group, 0) >= most:
            found[one.device] = "group"
        else:
            found[one.device] = None
            left = None if left is None else left - 1
            if group is not None:
                taken[group] = taken.get(group, 0) + 1
    return found
