"""The wall clock of the device's site: the time that is known, in the zone that was set, or else the system's."""

import os
from collections.abc import Callable
from datetime import UTC, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.core.clock import Told
from edge_agent.core.maintenance import Wall
from edge_agent.errors import AgentError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

#: Where Linux keeps the rules of the system's zone. A system without it goes by UTC.
SYSTEM_ZONE = Path("/etc/localtime")


class ZoneUnknown(AgentError):
    """No zone of that name is installed."""

    code = "zone-unknown"


def site_zone(name: str) -> "ZoneInfo | None":
    """The zone that is called `name`; None, for the system's, when that is empty. Raises `ZoneUnknown`."""
    if not name:
        return None
    # Only where a window asks for it: a start has no time for it.
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ZoneUnknown(
            f"no time zone of that name is installed: {error}", "`timedatectl list-timezones` names them."
        ) from error


class LocalClock:
    """`told` gives the best that is known of the time. Safe for any number of threads."""

    def __init__(self, told: Callable[[], Told | None], timezone: str, system: Path = SYSTEM_ZONE) -> None:
        """Raises `ZoneUnknown`."""
        self._told = told
        self._set = site_zone(timezone)
        self._system = system
        self._read: tuple[tuple[int, int], tzinfo] | None = None

    def move(self, timezone: str) -> None:
        """From now on the site is in `timezone`. Raises `ZoneUnknown`."""
        self._set = site_zone(timezone)

    def wall(self) -> Wall | None:
        """What the wall clock shows; None when nobody knows the time."""
        told = self._told()
        return None if told is None else Wall(told.moment.astimezone(self._set or self._of_system()), told.by_hub)

    def _of_system(self) -> tzinfo:
        """With all its rules, and read again once it was changed: `astimezone()` knows today's offset only."""
        if name := os.environ.get("TZ", "").removeprefix(":"):
            try:
                return site_zone(name) or UTC
            except ZoneUnknown:
                pass
        from zoneinfo import ZoneInfo

        try:
            status = self._system.stat()
            mark = status.st_ino, status.st_mtime_ns
            if self._read is None or self._read[0] != mark:
                with self._system.open("rb") as file:
                    self._read = mark, ZoneInfo.from_file(file)
        except (OSError, ValueError):
            return UTC
        return self._read[1]
