"""Numbers in binary, one tensor right behind the other: which bytes are whose."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from edge_agent.runtimes.session import Array


class Packed:
    """Tensors, each with its name, dtype and shape, in the order of their bytes. Safe for any thread."""

    __slots__ = ("_places", "size_bytes", "tensors")

    def __init__(self, tensors: Iterable[tuple[str, np.dtype[Any], tuple[int, ...]]]) -> None:
        self.size_bytes = 0
        self.tensors = tuple(tensors)
        self._places = []
        for name, dtype, shape in self.tensors:
            count = math.prod(shape)
            self._places.append((name, dtype, shape, count, self.size_bytes))
            self.size_bytes += count * dtype.itemsize

    def views(self, data: bytes | memoryview) -> dict[str, Array] | None:
        """The tensors as views of `data`, `size_bytes` long; None where the processor cannot read them as they lie."""
        found: dict[str, Array] = {}
        for name, dtype, shape, count, offset in self._places:
            array: Array = np.frombuffer(data, dtype, count, offset).reshape(shape)
            if not array.flags.aligned:
                return None
            found[name] = array
        return found

    def rooms(self, arrays: dict[str, Array]) -> list[tuple[memoryview, int, int]]:
        """The memory of `arrays`, which have those dtypes and shapes, and which bytes belong there."""
        found = []
        for name, _, _, _, begin in self._places:
            array = arrays[name]
            found.append((array.data.cast("B"), begin, begin + array.nbytes))
        return found
