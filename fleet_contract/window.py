"""When a device may switch models: a span of hours on some days of the week, on the device's own wall clock.

Times here are naive and local: what a clock on the wall of the site says. Where the wall clock jumps or repeats an
hour, a window is open whenever the wall clock shows a time that is inside it; the device, which knows its zone, finds
the moment (`edge_agent.core.maintenance`).
"""

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from typing import Annotated, Literal

import msgspec

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

#: The pattern's $ would let a line break follow; the length does not.
TIME_PATTERN = "^([01][0-9]|2[0-3]):[0-5][0-9]$"
WallTime = Annotated[str, msgspec.Meta(pattern=TIME_PATTERN, max_length=5)]

_DAY = timedelta(days=1)


class MaintenanceWindow(msgspec.Struct, frozen=True):
    """Open from `start` ("22:00") to before `end`, on `days`; no days are every day.

    With an end before its start it crosses midnight, and `days` names the day on which it opens. With an end equal to
    its start it lasts for 24 hours.
    """

    days: Annotated[tuple[Day, ...], msgspec.Meta(max_length=len(DAYS))] = ()
    start: WallTime = "00:00"
    end: WallTime = "00:00"

    def __str__(self) -> str:
        days = ", ".join(day for day in DAYS if day in self.days) or "every day"
        return f"{days} {self.start}-{self.end}"


def is_open(window: MaintenanceWindow, local: datetime) -> bool:
    """Whether `window` is open at `local`, a naive local time."""
    return any(opening <= local < opening + _length(window) for opening in _openings(window, local, (-1, 0)))


def opens_next(window: MaintenanceWindow, local: datetime) -> datetime:
    """The first time from `local` on, naive as it is, at which `window` is open: `local` itself while it is."""
    if is_open(window, local):
        return local
    # Every day of the week comes within eight days, for that of today may be over.
    return next(opening for opening in _openings(window, local, range(8)) if opening >= local)


def _openings(window: MaintenanceWindow, local: datetime, days: Iterable[int]) -> list[datetime]:
    """When it opens on those of `days`, counted from the day of `local`, on which it does."""
    dates = [(local + day * _DAY).date() for day in days]
    start = time.fromisoformat(window.start)
    return [datetime.combine(date, start) for date in dates if not window.days or DAYS[date.weekday()] in window.days]


def _length(window: MaintenanceWindow) -> timedelta:
    start, end = (timedelta(hours=int(one[:2]), minutes=int(one[3:])) for one in (window.start, window.end))
    return (end - start) % _DAY or _DAY
