"""Answers to calls that are alike, in columns until they are counted: each leaves some bytes behind, and no objects.

What thousands of answers a second leave lying about drives what answers the next out of the processor's caches.
"""

import threading
from array import array
from collections.abc import Callable
from typing import Any

from edge_agent.live import Lease, LiveModel
from edge_agent.runtimes.session import Array
from fleet_contract.desired import DEFAULT_SLOT

#: They are counted together, at once, when there are more.
MOST_CALLS = 512
#: Larger scores are better kept than copied.
_MOST_BYTES = 4096
_NUMBERS = "fiu"


class Streak:
    """Answers of the model that `lease` is of, to calls of `rows` records, with scores of the form of `like`. Safe for
    any number of threads.

    Calls `begun` with itself when there is something to take, and `full` when it is to be taken at once.
    """

    size_bytes = 0
    """Of what is bounded elsewhere: this bounds itself."""
    slot = DEFAULT_SLOT

    def __init__(
        self,
        live: LiveModel,
        lease: Lease,
        rows: int,
        like: Array,
        begun: "Callable[[Streak], None]",
        full: Callable[[], None],
    ) -> None:
        self.live = live
        self.lease = lease
        self.manifest = lease.loaded.manifest
        self.rows = rows
        self.now_ms = 0
        self._loaded = lease.loaded
        self._dtype, self._shape = like.dtype, like.shape
        self._begun = begun
        self._full = full
        self._lock = threading.Lock()
        self._scores = bytearray()
        self._latencies_us = array("d")

    @staticmethod
    def takes(scores: Array | None) -> bool:
        """Whether such scores can be kept in a column."""
        return scores is not None and scores.ndim > 1 and scores.dtype.kind in _NUMBERS and scores.nbytes <= _MOST_BYTES

    def fits(self, lease: Lease, rows: int, scores: Array) -> bool:
        """Whether an answer under `lease` to so many `rows` belongs here."""
        return self._loaded is lease.loaded and self.rows == rows and self._is_alike(scores)

    def add(self, scores: Array | None, latency_us: float) -> bool:
        """One more answer; False where its scores have another form. Returns soon."""
        if scores is None or not self._is_alike(scores):
            return False
        with self._lock:
            self._scores += scores.tobytes()
            self._latencies_us.append(latency_us)
            count = len(self._latencies_us)
        if count == 1:
            self._begun(self)
        elif count > MOST_CALLS:
            self._full()
        return True

    def take(self) -> "Taken":
        """All there are; from now on there are none."""
        with self._lock:
            scores, self._scores = self._scores, bytearray()
            latencies_us, self._latencies_us = self._latencies_us, array("d")
        return Taken(self, scores, latencies_us, self._dtype, self._shape)

    def _is_alike(self, scores: Array) -> bool:
        # The same dtype is nearly always the same object.
        return scores.shape == self._shape and (scores.dtype is self._dtype or bool(scores.dtype == self._dtype))


class Taken:
    """What a streak has gathered: columns with a row, or several, for each call."""

    __slots__ = ("_dtype", "_latencies_us", "_scores", "_shape", "manifest", "now_ms", "slot", "streak")

    def __init__(
        self, streak: Streak, scores: bytearray, latencies_us: "array[float]", dtype: Any, shape: tuple[int, ...]
    ) -> None:
        self.streak = streak
        self.manifest, self.slot, self.now_ms = streak.manifest, streak.slot, streak.now_ms
        self._scores = scores
        self._latencies_us = latencies_us
        self._dtype, self._shape = dtype, shape

    def scores(self) -> Array:
        """Those of each call below those of the call before."""
        first, *others = self._shape
        return self._as_array(self._scores, self._dtype).reshape(len(self._latencies_us) * first, *others)

    def latencies_us(self) -> Array:
        """How long each call took."""
        return self._as_array(self._latencies_us, float)

    def apart(self) -> list[tuple[Array, float]]:
        """Scores and latency of each call."""
        scores = self.scores().reshape(len(self._latencies_us), *self._shape)
        return list(zip(scores, self._latencies_us, strict=True))

    def _as_array(self, column: "bytearray | array[float]", dtype: Any) -> Array:
        # NumPy comes with the first answer, not with the agent.
        import numpy as np

        return np.frombuffer(column, dtype)
