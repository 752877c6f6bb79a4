"""Tensors in sealed memory, which a model reads and writes where they lie."""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from edge_agent.runtimes.session import Array
from edge_agent.serving.placed import Placed
from edge_agent.serving.regions import Entry, Regions
from edge_agent.serving.shared import Where

#: Less is copied in no time, and may be bound to memory of the agent's own.
_LEAST_BYTES = 64 * 1024


class Laid(msgspec.Struct, frozen=True, eq=False):
    """The inputs of a call, and the rooms of those of its outputs that go to sealed memory. Their client may
    write there, and does so as soon as it has its answer."""

    inputs: dict[str, Array]
    rooms: dict[str, memoryview]


class InPlace:
    """Finds the inputs and outputs of a call that comes again and again. For one thread."""

    __slots__ = ("_entries", "_inputs", "_laid", "_may", "_outputs", "_regions")

    def __init__(self, regions: Regions, inputs: Placed, outputs: Mapping[str, Where]) -> None:
        packed = inputs.packed
        self._regions = regions
        self._inputs = inputs
        self._outputs = outputs
        self._may = packed.size_bytes >= _LEAST_BYTES and all(_bears_change(dtype) for _, dtype, _ in packed.tensors)
        self._laid: Laid | None = None
        # The regions that they were found in. Of one that is unregistered nothing is kept by this: its pages are gone.
        self._entries: tuple[Entry, ...] = ()

    def laid(self) -> Laid | None:
        """Where they lie now, the same as last time if nothing has changed; None where a model may not read them there,
        and they are to be fetched."""
        if not self._may:
            return None
        if self._laid is None or not self.lasts:
            self._laid = self._look()
        return self._laid

    @property
    def lasts(self) -> bool:
        """Whether what was found last is still there."""
        return all(map(self._regions.holds, self._entries))

    def _look(self) -> Laid | None:
        found: dict[str, Entry] = {}
        inputs: dict[str, Array] = {}
        for name, dtype, shape in self._inputs.packed.tensors:
            room = self._room(self._inputs.places[name], found)
            if room is None:
                return None
            array: Array = np.frombuffer(room, dtype).reshape(shape)
            if not array.flags.aligned:
                return None
            inputs[name] = array
        rooms = {name: self._room(where, found) for name, where in self._outputs.items()}
        self._entries = tuple(found.values())
        return Laid(inputs, {name: room for name, room in rooms.items() if room is not None})

    def _room(self, where: Where, found: dict[str, Entry]) -> memoryview | None:
        """None where there is no such sealed memory: whoever fetches or puts says why."""
        entry = found.get(where.region) or self._regions.sealed(where.region)
        if entry is None or entry.sealed is None:
            return None
        room = entry.sealed.memory[where.offset : where.offset + where.byte_size]
        if where.offset < 0 or len(room) != where.byte_size or not room:
            return None
        found[where.region] = entry
        return room


def _bears_change(dtype: "np.dtype[Any]") -> bool:
    """Whether numbers may change while a model runs that bears that (`session.BearsChange`). None bears it with
    indices, of 4 or 8 bytes, which are checked once and then used."""
    return dtype.kind == "f" or dtype.itemsize < 4
