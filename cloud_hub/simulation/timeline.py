"""How many of many events have happened by now: one count a second, so that a look costs the time that passed and not
the devices."""

import numpy as np

from cloud_hub.simulation.fleet import Floats


class Timeline:
    """Events within `horizon_seconds`; later ones never happen. Time only goes forward."""

    def __init__(self, horizon_seconds: int) -> None:
        self._at = np.zeros(horizon_seconds + 2, dtype=np.int32)
        self._now = 0
        self.passed = 0

    def add(self, seconds: Floats) -> None:
        """Events to come, or of this very moment."""
        last = len(self._at) - 1
        at = np.ceil(np.minimum(seconds, last)).astype(np.int64)
        happen = at < last
        late = at <= self._now
        self.passed += int(np.count_nonzero(late))
        np.add.at(self._at, at[happen & ~late], 1)

    def advance(self, now_seconds: float) -> None:
        now = min(int(now_seconds), len(self._at) - 2)
        self.passed += int(self._at[self._now + 1 : now + 1].sum())
        self._now = max(self._now, now)

    def next_within(self, seconds: int) -> int | None:
        """In how many seconds the next event comes, if within so many."""
        ahead = self._at[self._now + 1 : self._now + 1 + seconds]
        found = np.flatnonzero(ahead)
        return int(found[0]) + 1 if found.size else None
