"""Whether the processors of this device have time to spare, whoever uses them."""

import os
import time
from collections.abc import Callable
from pathlib import Path

#: How much of one core must have been idle lately.
RESERVE_CORES = 0.25
_LOOK_SECONDS = 0.1


class SpareCycles:
    """Says so when called, from what the kernel counts; looks at most ten times a second. For one thread."""

    def __init__(
        self, stat: Path = Path("/proc/stat"), monotonic: Callable[[], float] = time.monotonic, cores: int | None = None
    ) -> None:
        self._stat = stat
        self._monotonic = monotonic
        self._cores = cores or os.cpu_count() or 1
        self._looked_at = monotonic()
        self._before = self._read()
        self._spare = False

    def __call__(self) -> bool:
        now = self._monotonic()
        if now - self._looked_at < _LOOK_SECONDS:
            return self._spare
        before, self._before, self._looked_at = self._before, self._read(), now
        if before is None or self._before is None:
            # A kernel that does not tell: then its priority must do.
            self._spare = True
        else:
            idle, total = (after - was for after, was in zip(self._before, before, strict=True))
            self._spare = total > 0 and idle / total * self._cores >= RESERVE_CORES
        return self._spare

    def _read(self) -> tuple[int, int] | None:
        """Ticks of all cores together: idle ones, and all."""
        try:
            with self._stat.open("rb") as file:
                ticks = [int(one) for one in file.readline().split()[1:9]]
        except (OSError, ValueError):
            return None
        # user, nice, system, idle, iowait, irq, softirq, steal
        return (ticks[3] + ticks[4], sum(ticks)) if len(ticks) == 8 else None
