"""What the agent takes of the device, and how hot that is: read once a window, which costs less than a millisecond."""

import re
from pathlib import Path
from typing import NamedTuple

from edge_agent import inventory
from edge_agent.update.footprint import own_and_shared
from fleet_contract.bounds import COLDEST_C, HOTTEST_C

_PEAK = re.compile(rb"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
#: Has the kernel count the peak afresh.
_FROM_NOW_ON = "5"
_ROOT = Path("/")


class Strain(NamedTuple):
    """`memory_bytes` is the agent's peak since the reading before, without what it shares with clients; `temperature_c`
    of the hottest sensor, if any."""

    memory_bytes: int = 0
    temperature_c: float | None = None


class Gauge:
    """Reads below `root`. Who reads resets the peak: one gauge a process."""

    def __init__(self, root: Path = _ROOT) -> None:
        self._root = root
        self._proc = root / "proc/self"
        self._shared_bytes = 0

    def read(self) -> Strain:
        """The strain since the last reading, or since the start of the process."""
        # A sensor that is broken may say anything, and must not have a whole window refused.
        degrees = [one for one in inventory.temperatures(self._root).values() if COLDEST_C <= one <= HOTTEST_C]
        return Strain(self._peak_bytes(), max(degrees, default=None))

    def _peak_bytes(self) -> int:
        try:
            found = _PEAK.search((self._proc / "status").read_bytes())
            (self._proc / "clear_refs").write_text(_FROM_NOW_ON)
        except OSError:
            # Where the peak cannot be reset it is that of the whole life, which says nothing of a window.
            found = None
        own, shared = own_and_shared()
        # The peak has what clients had made in it, which says nothing of a model. Where that has changed meanwhile, no
        # model is accused of it.
        most_shared = max(shared, self._shared_bytes)
        self._shared_bytes = shared
        return own if found is None else max(own, int(found[1]) * 1024 - most_shared)
