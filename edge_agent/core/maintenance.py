"""Says whether a switch may be made now, or has to wait for its maintenance window. No I/O, no clock.

A window is open whenever the wall clock shows a time inside it. So where the wall clock repeats an hour it is open in
both, and where it jumps over the start it opens with the first time that is shown and inside; one that lies in the jump
as a whole opens on its next day.
"""

from datetime import UTC, datetime, timedelta, tzinfo

import msgspec

from fleet_contract.because import Because
from fleet_contract.window import MaintenanceWindow, is_open, opens_next

#: So soon at the latest it is looked again: a clock may be set, or come to an hour for the second time.
GLANCE_SECONDS = 60.0
_MINUTE = timedelta(minutes=1)


class Wall(msgspec.Struct, frozen=True):
    """What a right clock on the wall of the device's site shows: `local`, an aware time in the zone of the site.

    `by_hub`: the device's own clock is wrong, and this is the hub's time.
    """

    local: datetime
    by_hub: bool = False


class Closed(msgspec.Struct, frozen=True):
    """A switch has to wait, and is worth another look after `seconds`."""

    because: Because
    seconds: float


def closed(version: int, window: MaintenanceWindow | None, wall: Wall | None) -> Closed | None:
    """Why `version` may not be switched to now; None when it may. `wall` is None when nobody knows the time."""
    if window is None:
        return None
    waiting = f"Version {version} has passed its pre-flight, and its maintenance window ({window})"
    if wall is None:
        sentence = f"{waiting} cannot be told: this device's clock is wrong, and its hub has not said the time yet."
        return Closed(Because("window-closed", sentence), GLANCE_SECONDS)
    if is_open(window, wall.local.replace(tzinfo=None)):
        return None
    opening = _opening(window, wall.local)
    way = ", by the hub's clock, for this device's is wrong" if wall.by_hub else ""
    sentence = f"{waiting} opens on {opening:%A, %Y-%m-%d at %H:%M} local time ({opening:%Z}){way}."
    seconds = (opening.astimezone(UTC) - wall.local.astimezone(UTC)).total_seconds()
    return Closed(Because("window-closed", sentence), min(seconds, GLANCE_SECONDS))


def _opening(window: MaintenanceWindow, local: datetime) -> datetime:
    """When `window`, which is closed at `local`, opens: aware, in the zone of `local`."""
    zone = local.tzinfo
    opening = opens_next(window, local.replace(tzinfo=None))
    while not _shown(opening, zone):
        opening = opens_next(window, opening + _MINUTE)
    first = opening.replace(tzinfo=zone, fold=0)
    # Of an hour that comes twice the first may be over. In one zone Python compares what the wall shows: hence UTC.
    return first if first.astimezone(UTC) > local.astimezone(UTC) else opening.replace(tzinfo=zone, fold=1)


def _shown(naive: datetime, zone: tzinfo | None) -> bool:
    """Whether the wall clock ever shows it: it jumps over some when summer begins."""
    there_and_back = naive.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)
    return there_and_back.replace(tzinfo=None, fold=0) == naive.replace(fold=0)
