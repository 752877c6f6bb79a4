"""How much memory the agent takes, and how much of it came since a model was last loaded."""

import math
import re
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeAlias

from edge_agent import memory

_STATUS = Path("/proc/self/status")
_RESIDENT, _SHARED, _SWAPPED = (
    re.compile(rb"^%s:\s+(\d+) kB$" % name, re.MULTILINE) for name in (b"VmRSS", b"RssShmem", b"VmSwap")
)
#: What a burst of requests leaves in the allocator is worth looking for from so much on: it takes milliseconds.
WORTH_BYTES = 32 * 1024 * 1024
_LONGEST_PAUSE = 31
#: What is there for so long may have been kept, which is worth a rest to know: what a run needs comes and goes, but
#: where one follows the other, whoever looks finds one under way each time.
LASTING_SECONDS = 5.0
#: What is there for so long has been kept, where no rest is to be had.
RESTLESS_SECONDS = 30.0
#: The longest from a rest in which nothing turned out to be kept to the next, unless memory is short: requests wait.
_CALM_SECONDS = 60.0
#: What is being read or answered at that moment takes many times what it holds, 140 MB for 8 MB of JSON: so many looks
#: are taken, with pauses, before a rest shows that something was kept.
_LOOKS, _PAUSE_SECONDS = 10, 0.1

Rest: TypeAlias = Callable[[], AbstractContextManager[bool]]


def _nothing() -> int:
    return 0


def resident_bytes() -> int:
    """Of this process, all models together. Not what it shares with others, which clients have it make
    (`serving/sealed.py`): that would be held against a model."""
    own, _ = own_and_shared()
    return own


def own_and_shared() -> tuple[int, int]:
    """What the process takes of its own memory, and what is resident of what it shares, in bytes. What a model leaks
    nobody touches again: on a device that swaps it would be out of sight."""
    status = _STATUS.read_bytes()
    shared = _bytes(_SHARED, status)
    return _bytes(_RESIDENT, status) - shared + _bytes(_SWAPPED, status), shared


class Footprint:
    """Measures from where things were when what is loaded last changed. What was freed meanwhile is given back to the
    system first, for it is nobody's leak; nor is what requests hold.

    Inside `rest` no model is at work, if that is what it gives; `short` says whether little memory is left, with so
    many bytes resident. Times are in monotonic seconds.
    """

    def __init__(self, rest: Rest, short: Callable[[int], bool], sleep: Callable[[float], None] = time.sleep) -> None:
        self.resident_bytes = 0
        self.grown_bytes = 0
        """What it has kept of what it has grown by: only that is more than it may be, whatever comes and goes."""
        self._rest = rest
        self._short = short
        self._sleep = sleep
        self._loaded: object = None
        self._from_bytes = 0
        self._seen: deque[tuple[float, int]] = deque()
        self._rested_at = -math.inf
        self._calm_seconds = LASTING_SECONDS
        """How long after a rest there is none."""
        self._left = self._pause = 0
        """How many more looks go by before it is tried again, where little was to be had."""

    def measure(
        self, loaded: object, now: float, most_bytes: int | None = None, held_bytes: Callable[[], int] = _nothing
    ) -> None:
        """Takes a new look, with `loaded` being all that is in memory now. It may grow by `most_bytes` beside what
        requests hold."""
        grown = self._look(loaded, held_bytes)
        if grown <= WORTH_BYTES:
            self._left = self._pause = 0
        elif not self._left or (most_bytes is not None and grown > most_bytes):
            before = self.resident_bytes
            memory.give_back()
            grown = self._look(loaded, held_bytes)
            gained = before - self.resident_bytes > WORTH_BYTES
            self._left = self._pause = 0 if gained else min(2 * self._pause + 1, _LONGEST_PAUSE)
        else:
            self._left -= 1
        self._saw(now, grown)
        lasting = self._least(now, LASTING_SECONDS)
        if most_bytes is None or grown <= most_bytes:
            self.grown_bytes = lasting
            return
        short = self._short(self.resident_bytes)
        if lasting <= most_bytes and not short:
            self.grown_bytes = lasting
        elif now - self._rested_at >= (LASTING_SECONDS if short else self._calm_seconds):
            self._rested_at = now
            with self._rest() as at_rest:
                if at_rest:
                    kept = self._kept(loaded, most_bytes, held_bytes)
                    self._saw(now, kept)
                    self._calm_seconds = (
                        LASTING_SECONDS if kept > most_bytes else min(2 * self._calm_seconds, _CALM_SECONDS)
                    )
            restless = LASTING_SECONDS if short else RESTLESS_SECONDS
            self.grown_bytes = self._seen[-1][1] if at_rest else self._least(now, restless)

    def _kept(self, loaded: object, most_bytes: int, held_bytes: Callable[[], int]) -> int:
        """What is there at rest, once it is no more than it may be or has not become less."""
        looks = 1
        while True:
            memory.give_back()
            grown = self._look(loaded, held_bytes)
            if grown <= most_bytes or looks == _LOOKS:
                return grown
            looks += 1
            self._sleep(_PAUSE_SECONDS)

    def _look(self, loaded: object, held_bytes: Callable[[], int]) -> int:
        """By how much it has grown."""
        new = loaded != self._loaded
        if new:
            # What a load, or the model before, has freed would be room for a leak.
            memory.give_back()
        self.resident_bytes = resident_bytes()
        kept = self.resident_bytes - held_bytes()
        if new:
            self._loaded, self._from_bytes = loaded, kept
            self._calm_seconds = LASTING_SECONDS
        return max(0, kept - self._from_bytes)

    def _saw(self, now: float, grown: int) -> None:
        self._seen.append((now, grown))
        while len(self._seen) > 1 and self._seen[1][0] <= now - RESTLESS_SECONDS:
            self._seen.popleft()

    def _least(self, now: float, seconds: float) -> int:
        """What has been there in all looks for so long; 0 where nobody has looked for so long."""
        least = self._seen[-1][1]
        for at, grown in reversed(self._seen):
            least = min(least, grown)
            if at <= now - seconds:
                return least
        return 0


def _bytes(line: "re.Pattern[bytes]", status: bytes) -> int:
    # Kernels before 4.5 do not tell all of them.
    found = line.search(status)
    return 0 if found is None else int(found[1]) * 1024
