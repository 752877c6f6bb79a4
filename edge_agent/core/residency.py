"""Decides which models give their memory back. No I/O, no clock, no randomness."""

from collections.abc import Iterable

import msgspec


class Resident(msgspec.Struct, frozen=True):
    """A model in memory: what it takes, and when it was last asked. `spare` ones, the shadows, answer nobody."""

    key: str
    memory_bytes: int
    used_at: float
    parkable: bool = True
    spare: bool = False


def to_park(residents: Iterable[Resident], budget_bytes: int, wanted: str, wanted_bytes: int) -> tuple[str, ...]:
    """Who must go so that `wanted` with its `wanted_bytes` fits into the budget beside the rest, in order.

    The spare go first, then the least recently used; never `wanted`, and none that is at work. Nobody goes for nothing
    left to gain: as soon as the rest fits, the others stay. A budget of 0 bounds nothing.
    """
    if budget_bytes <= 0:
        return ()
    others = [one for one in residents if one.key != wanted]
    excess = wanted_bytes + sum(one.memory_bytes for one in others) - budget_bytes
    parked = []
    for one in sorted(others, key=lambda one: (not one.spare, one.used_at, one.key)):
        if excess <= 0:
            break
        if one.parkable:
            parked.append(one.key)
            excess -= one.memory_bytes
    return tuple(parked)
