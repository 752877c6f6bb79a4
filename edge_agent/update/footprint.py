"""How much memory the agent takes, and how much of it came since a model was last loaded."""

import re
from collections import deque
from pathlib import Path

from edge_agent import memory

_STATUS = Path("/proc/self/status")
_ALL, _SHARED = (re.compile(rb"^%s:\s+(\d+) kB$" % name, re.MULTILINE) for name in (b"VmRSS", b"RssShmem"))
#: What a burst of requests leaves in the allocator is worth looking for from so much on: it takes milliseconds.
WORTH_BYTES = 32 * 1024 * 1024
_LONGEST_PAUSE = 31
#: What is there in so many looks, one after the other, has been kept: what a run needs comes and goes.
LOOKS = 5


def resident_bytes() -> int:
    """Of this process, all models together. Not what it shares with others, which clients have it make
    (`serving/sealed.py`): that would be held against a model."""
    status = _STATUS.read_bytes()
    return _bytes(_ALL, status) - _bytes(_SHARED, status)


class Footprint:
    """Measures from where things were when what is loaded last changed. What was freed meanwhile is given back to the
    system first, for it is nobody's leak."""

    def __init__(self) -> None:
        self.resident_bytes = 0
        self.grown_bytes = 0
        """As seen in the last `LOOKS`."""
        self._loaded: object = None
        self._from_bytes = 0
        self._grown: deque[int] = deque(maxlen=LOOKS)
        self._left = self._pause = 0
        """How many more looks go by before it is tried again, where little was to be had."""

    def measure(self, loaded: object, most_bytes: int | None = None) -> None:
        """Takes a new look, with `loaded` being all that is in memory now. It may grow by `most_bytes`."""
        grown = self._look(loaded)
        if grown <= WORTH_BYTES:
            self._left = self._pause = 0
        elif not self._left or (most_bytes is not None and grown > most_bytes):
            before = self.resident_bytes
            memory.give_back()
            grown = self._look(loaded)
            gained = before - self.resident_bytes > WORTH_BYTES
            self._left = self._pause = 0 if gained else min(2 * self._pause + 1, _LONGEST_PAUSE)
        else:
            self._left -= 1
        self._grown.append(grown)
        # The first look after a load sees no growth.
        self.grown_bytes = min(self._grown)

    def _look(self, loaded: object) -> int:
        """By how much it has grown."""
        self.resident_bytes = resident_bytes()
        if loaded != self._loaded:
            self._loaded, self._from_bytes = loaded, self.resident_bytes
        return max(0, self.resident_bytes - self._from_bytes)


def _bytes(line: "re.Pattern[bytes]", status: bytes) -> int:
    # Kernels before 4.5 do not tell all of them.
    found = line.search(status)
    return 0 if found is None else int(found[1]) * 1024
