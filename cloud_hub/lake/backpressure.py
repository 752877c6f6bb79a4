"""Decides how long devices that found no room stay away. No I/O, no clock, no randomness.

Nobody knows how many devices are about to come back, nor how fast this lake is today. So the wait is steered by what
can be seen: as long as more batches are turned away than find room, it doubles; when hardly any are, it halves. Each
step is given half a wait to show what it does, for devices that were told the old one are still to come.
"""

from dataclasses import dataclass

SHORTEST_SECONDS = 2.0
#: A device is never told to stay away for longer: its newest windows would come too late for a rollout's gates.
LONGEST_SECONDS = 300.0


@dataclass(frozen=True)
class Backpressure:
    """`wait_seconds` is what a device is told that finds no room. `taken` and `turned_away` are batches since `since`
    (monotonic seconds)."""

    since: float
    wait_seconds: float = SHORTEST_SECONDS
    taken: int = 0
    turned_away: int = 0


def offered(before: Backpressure, *, found_room: bool, now: float) -> Backpressure:
    """After one more batch came."""
    taken, turned_away = before.taken + found_room, before.turned_away + (not found_room)
    if now - before.since < max(1.0, before.wait_seconds / 2):
        return Backpressure(before.since, before.wait_seconds, taken, turned_away)
    wait = before.wait_seconds
    if turned_away > taken:
        wait = min(wait * 2, LONGEST_SECONDS)
    elif turned_away * 4 < taken:
        wait = max(wait / 2, SHORTEST_SECONDS)
    return Backpressure(now, wait)
