"""Messages from devices that could not be used: counted, logged and remembered, so that nothing vanishes silently."""

import logging
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from fleet_contract.errors import VedetteError
from fleet_contract.topics import Address

logger = logging.getLogger(__name__)
#: A device that sends rubbish all day is logged once in so long for each kind of rubbish.
_LOG_AGAIN = timedelta(minutes=1)
_REMEMBERED = 1000


@dataclass(frozen=True)
class Refusal:
    """`device` is the one whose topic the message came on, or None when the topic names none."""

    at: datetime
    device: str | None
    code: str
    sentence: str


class Refusals:
    """Thread-safe."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._logged: dict[tuple[str | None, str], datetime] = {}
        self._last: Refusal | None = None

    def refuse(self, address: Address | None, error: VedetteError) -> None:
        """Notes that a message of the device at `address` was refused because of `error`."""
        now, device = self._now(), address.device if address else None
        with self._lock:
            self._counts[error.code] += 1
            self._last = Refusal(now, device, error.code, str(error))
            logged = self._logged.get((device, error.code))
            silent = logged is not None and now - logged < _LOG_AGAIN
            if not silent:
                if len(self._logged) >= _REMEMBERED:
                    self._logged.clear()
                self._logged[device, error.code] = now
        if not silent:
            logger.warning("Refused a message of %s: %s [%s]", device or "an unknown device", error, error.code)

    @property
    def counts(self) -> dict[str, int]:
        """How many were refused since the hub started, by code."""
        with self._lock:
            return dict(self._counts)

    @property
    def last(self) -> Refusal | None:
        with self._lock:
            return self._last
