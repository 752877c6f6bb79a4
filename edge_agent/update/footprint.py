"""How much memory the agent takes, and how much of it came since a model was last loaded."""

import resource
from pathlib import Path

_STATM = Path("/proc/self/statm")


def resident_bytes() -> int:
    """Of this process, all models together."""
    return int(_STATM.read_text().split()[1]) * resource.getpagesize()


class Footprint:
    """Measures from where things were when what is loaded last changed."""

    def __init__(self) -> None:
        self.resident_bytes = 0
        self.grown_bytes = 0
        self._loaded: object = None
        self._from_bytes = 0

    def measure(self, loaded: object) -> None:
        """Takes a new look, with `loaded` being all that is in memory now."""
        self.resident_bytes = resident_bytes()
        if loaded != self._loaded:
            self._loaded, self._from_bytes = loaded, self.resident_bytes
        self.grown_bytes = max(0, self.resident_bytes - self._from_bytes)
