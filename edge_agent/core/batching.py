"""Decides how many waiting calls go through a model together. No I/O, no clock, no randomness."""

from collections.abc import Sequence
from typing import TypeAlias

import msgspec


class Bounds(msgspec.Struct, frozen=True):
    """At most `max_rows` go together, and none waits longer than `max_delay_seconds` for others to come."""

    max_rows: int = 1
    max_delay_seconds: float = 0.0


class Take(msgspec.Struct, frozen=True):
    """The `calls` oldest go now."""

    calls: int


class Hold(msgspec.Struct, frozen=True):
    """Nothing goes yet: there is room for more, and `seconds` are left to wait for it."""

    seconds: float


BatchPlan: TypeAlias = Take | Hold
ALONE = Bounds()


def plan(rows: Sequence[int], waited_seconds: float, bounds: Bounds, *, more: bool = False) -> BatchPlan:
    """What to do with waiting calls of `rows` rows each, oldest first, of which the oldest has `waited_seconds`.

    `more` says that behind them waits a call that cannot go with them: then there is nothing to wait for. The oldest
    always goes when something goes, also when it alone is above the bound. Raises ValueError when nothing waits.
    """
    if not rows:
        raise ValueError("there is nothing to plan")
    calls, total = 1, rows[0]
    while calls < len(rows) and total + rows[calls] <= bounds.max_rows:
        total += rows[calls]
        calls += 1
    full = total >= bounds.max_rows or calls < len(rows) or more
    left = bounds.max_delay_seconds - waited_seconds
    return Take(calls) if full or left <= 0 else Hold(left)
