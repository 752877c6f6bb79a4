"""Remembers what the hub says of the time, to say when this device's clock is wrong, and what time it is then."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from edge_agent.core.clock import Sighting, Told, judged, told
from fleet_contract.because import Because


def _utcnow() -> datetime:
    return datetime.now(UTC)


def _steady() -> float:
    # Unlike the monotonic clock it also counts the time that the device has slept.
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class HubClock:
    """Safe for any number of threads. `issued_at` tells of the newest order that this device follows."""

    def __init__(
        self,
        issued_at: Callable[[], datetime | None],
        now: Callable[[], datetime] = _utcnow,
        steady: Callable[[], float] = _steady,
    ) -> None:
        self.on_change: Callable[[], None] = lambda: None
        """Called when the hub's word has changed what `trouble` says, or when the first has come."""
        self._issued_at = issued_at
        self._now = now
        self._steady = steady
        self._sighting: Sighting | None = None

    def heard(self, hub: datetime) -> None:
        """An answer has come in which the hub names its time."""
        before = self.trouble()
        self._sighting = Sighting(hub, self._steady())
        if (self.trouble() is None) != (before is None):
            self.on_change()

    def trouble(self) -> Because | None:
        """What is wrong with this device's clock, as far as anybody knows."""
        return judged(self._now(), self._steady(), self._sighting, self._issued_at())

    def told(self) -> Told | None:
        """The best that is known of the time; None when this device's is wrong and nobody has said the right one."""
        return told(self._now(), self._steady(), self._sighting, self._issued_at())
