"""Capturing, on or off as the owner has set it. Off, as it is by default, nothing of it is even imported."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.config import Capture
from edge_agent.telemetry.tally import Tally
from fleet_contract.because import Because
from fleet_contract.report import CaptureReport

if TYPE_CHECKING:
    from edge_agent.capture.keeping import Keeping
    from edge_agent.capture.store import Captures
    from edge_agent.capture.tap import Tap
    from fleet_contract.telemetry import Sample

#: Unless the owner has set another: a flash is to last.
_MOST_BYTES_PER_HOUR = 4 * 1024 * 1024
#: And a full folder is to hold a day.
_HOURS = 24


class Capturing:
    """What is captured of all that `tally` counts goes into `folder`, and `tell` has the sample of each. Safe for any
    number of threads."""

    def __init__(self, folder: Path, tally: Tally, tell: "Callable[[Sample], None]") -> None:
        self._folder = folder
        self._tally = tally
        self._tell = tell
        self._lock = threading.Lock()
        self._captures: Captures | None = None
        self._keeping: Keeping | None = None
        self._tap: Tap | None = None
        self._max_bytes = 0
        self._is_on = False

    def follow(self, wanted: Capture) -> None:
        """From now on `wanted` holds. Off, what was captured stays until somebody removes it."""
        with self._lock:
            self._is_on = wanted.max_bytes > 0
            self._tally.tap = self._tap_of(wanted) if self._is_on else None
            if not self._is_on and self._keeping is not None:
                # Who wants no more of them may be about to remove what there is.
                self._keeping.forget()

    def report(self) -> CaptureReport | None:
        """What is kept; None while nothing is captured."""
        captures = self._captures if self._is_on else None
        return None if captures is None else captures.report()

    def troubles(self) -> list[Because]:
        """Why nothing can be kept, where that is so."""
        captures = self._captures if self._is_on else None
        trouble = None if captures is None else captures.trouble
        return [] if trouble is None else [trouble]

    @property
    def held_bytes(self) -> int:
        """Of records that wait for the disk."""
        return 0 if self._keeping is None else self._keeping.held_bytes

    def close(self, seconds: float) -> None:
        """Writes what was chosen, for so many `seconds` at most. The last report still says what is kept."""
        with self._lock:
            self._tally.tap = None
            keeping = self._keeping
        if keeping is not None:
            keeping.close(seconds)

    def _tap_of(self, wanted: Capture) -> "Tap | None":
        from edge_agent.capture.choice import Rules
        from edge_agent.capture.keeping import Keeping
        from edge_agent.capture.store import Captures
        from edge_agent.capture.tap import Tap

        rules = Rules(bytes_per_hour(wanted), wanted.random_share, wanted.low_margin, wanted.disagreement)
        if self._captures is None:
            self._captures = Captures(self._folder, wanted.max_bytes)
            self._max_bytes = wanted.max_bytes
        if self._keeping is None:
            self._keeping = Keeping(self._captures, self._tell)
        if self._max_bytes != wanted.max_bytes:
            self._max_bytes = wanted.max_bytes
            self._keeping.allow(wanted.max_bytes)
        if self._tap is None:
            self._tap = Tap(rules, self._keeping)
        # What was saved up stays: a config that is read again and again must not end capturing.
        self._tap.rules = rules
        return self._tap if rules.reasons else None


def bytes_per_hour(wanted: Capture) -> int:
    """How much may be written an hour, also where the owner has not set it."""
    return wanted.bytes_per_hour or min(wanted.max_bytes // _HOURS, _MOST_BYTES_PER_HOUR)
