"""Numbers in shared memory that are fetched from there again and again."""

from collections.abc import Mapping

import numpy as np

from edge_agent.serving.packed import Packed
from edge_agent.serving.regions import Regions
from edge_agent.serving.shared import Where


class Placed:
    """Numbers at `places`, in the order of `packed`, which were fetched from there before. Safe for any thread."""

    __slots__ = ("_regions", "packed", "places")

    def __init__(self, regions: Regions, places: Mapping[str, Where], packed: Packed) -> None:
        self._regions = regions
        self.places = places
        self.packed = packed

    @property
    def readable(self) -> bool:
        """Whether the processor can read all as they lie, one right behind the other."""
        return self.packed.views(self._memory()) is not None

    def fetch(self) -> memoryview:
        """All of them anew, in memory of the agent's own that nobody else has. Raises `InputWrong`."""
        memory, at = self._memory(), 0
        for name, where in self.places.items():
            end = at + where.byte_size
            self._regions.read_into(memory[at:end], name, where.region, where.offset)
            at = end
        return memory

    def _memory(self) -> memoryview:
        # What the last request had comes back: nothing is filled with zeros, and no page is new.
        return np.empty(self.packed.size_bytes, np.uint8).data
