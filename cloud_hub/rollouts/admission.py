"""Decides which exposed devices may have their order now: the rate, the cap in flight, the cap of a group. Pure.

A wave's line says who is exposed; this says when. All that it goes by is kept with the offers, so whoever asks again,
after a crash or on another hub, gets the same answer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, floor, log, log1p
from typing import Literal

from cloud_hub.rollouts.policy import Policy, Rate
from cloud_hub.rollouts.waves import BUCKETS, bucket

Held = Literal["rate", "cap", "group", "jitter", "away"]
MINUTE = timedelta(minutes=1)
NEVER = timedelta.max
_NOISE = 1e-9


@dataclass(frozen=True)
class Flow:
    """A rollout's devices: in flight, offered it within the last minute, succeeded. The last was offered it `since`
    ago, however long that is."""

    in_flight: int = 0
    lately: int = 0
    since: timedelta = NEVER
    succeeded: int = 0


@dataclass(frozen=True)
class Waiting:
    """An exposed device without an order. `group` is its value of the policy's label; one that is `in_flight` already,
    to another version, is one of its group that may be switching whether it gets the order or not."""

    device: str
    connected: bool
    group: str | None = None
    in_flight: bool = False


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
    if policy.rate is None:
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


def admit(
    policy: Policy,
    flow: Flow,
    busy: Mapping[str, int],
    waiting: Iterable[Waiting],
    salt: str,
    wave_started_at: datetime,
    now: datetime,
) -> dict[str, Held | None]:
    """For each of those `waiting`: None when it may have its order now, else what it waits for.

    `busy` are the devices that may be switching, by group. Who is not connected waits, too: it would take its order at
    a time when another may be switching.
    """
    left, why = room(policy, flow)
    taken = dict(busy)
    most = policy.group.max_in_flight if policy.group else 0
    found: dict[str, Held | None] = {}
    for one in waiting:
        adds = policy.group is not None and one.group is not None and not one.in_flight
        if not one.connected:
            found[one.device] = "away"
        elif now < ripe_at(policy, salt, one.device, wave_started_at):
            found[one.device] = "jitter"
        elif left is not None and left <= 0:
            found[one.device] = why
        elif adds and taken.get(one.group or "", 0) >= most:
            found[one.device] = "group"
        else:
            found[one.device] = None
            left = None if left is None else left - 1
            if adds and one.group is not None:
                taken[one.group] = taken.get(one.group, 0) + 1
    return found
