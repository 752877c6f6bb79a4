"""Tensors in shared memory: where a request's parameters say that one lies, and what is fetched from or put there."""

from collections.abc import Mapping

import msgspec
import numpy as np

from edge_agent.runtimes.session import Array
from edge_agent.serving import tensors
from edge_agent.serving.packed import Packed
from edge_agent.serving.port import InputWrong
from edge_agent.serving.regions import Regions


class Where(msgspec.Struct, frozen=True):
    """The place of a tensor; `region` is "" for one that is not in shared memory."""

    region: str
    offset: int
    byte_size: int


class Placed:
    """Numbers at `places`, in the order of `packed`, which were fetched from there before. Safe for any thread."""

    __slots__ = ("_places", "_regions", "packed")

    def __init__(self, regions: Regions, places: Mapping[str, Where], packed: Packed) -> None:
        self._regions = regions
        self._places = places
        self.packed = packed

    @property
    def readable(self) -> bool:
        """Whether the processor can read all as they lie, one right behind the other."""
        return self.packed.views(self._memory()) is not None

    def fetch(self) -> memoryview:
        """All of them anew, in memory of the agent's own that nobody else has. Raises `InputWrong`."""
        memory, at = self._memory(), 0
        for name, where in self._places.items():
            end = at + where.byte_size
            self._regions.read_into(memory[at:end], name, where.region, where.offset)
            at = end
        return memory

    def _memory(self) -> memoryview:
        # What the last request had comes back: nothing is filled with zeros, and no page is new.
        return np.empty(self.packed.size_bytes, np.uint8).data


def fetch(regions: Regions, name: str, datatype: str, shape: tuple[int, ...], where: Where) -> Array:
    """The tensor at `where`, in memory of the agent's own. Raises `InputWrong`."""
    # Looked at before memory is taken for what the caller merely says.
    tensors.check_size(name, datatype, shape, where.byte_size)
    regions.check(name, where.region, where.offset, where.byte_size)
    memory = np.empty(where.byte_size, np.uint8)
    regions.read_into(memory.data, name, where.region, where.offset)
    return tensors.from_bytes(name, datatype, shape, memory)


def put(regions: Regions, name: str, array: Array, where: Where) -> int:
    """Writes `array` to `where`; how many bytes it took. Raises `InputWrong` when it does not fit."""
    data = tensors.to_bytes(array)
    if len(data) > where.byte_size:
        raise InputWrong(f"Output {name!r} has {len(data)} bytes, and {where.byte_size} are given to it.")
    regions.write(data, name, where.region, where.offset)
    return len(data)
