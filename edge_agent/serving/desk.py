"""Where a worker reads the tensors of the calls that it runs: memory of its own, which runs of the model are bound to.

It is the same each time, so it lies in the caches of the core that the worker is on; and to hand arrays to a runtime
and take others from it costs a tenth of what serving costs beside a model of a millisecond.
"""

import logging
from collections.abc import Mapping

import numpy as np

from edge_agent.live import Loaded
from edge_agent.runtimes.session import Array
from edge_agent.serving.bound import BoundCall, bind
from edge_agent.serving.packed import Packed
from edge_agent.serving.port import Answered
from edge_agent.serving.signature import Signature

_log = logging.getLogger(__name__)
#: Of so many forms of calls.
_KEPT = 4
#: To bind one takes another run, which is to be a few percent of those that came before.
_WORTH_RUNS = 16
#: For what comes before the tensors, at most.
_BEFORE_BYTES = 4096


class Place:
    """For one form of calls, `packed`, of one model as it was loaded."""

    __slots__ = ("_memory", "_runs", "bound", "loaded", "packed")

    def __init__(self, loaded: Loaded, packed: Packed) -> None:
        self.loaded = loaded
        self.packed = packed
        self.bound: BoundCall | None = None
        """A run of what was read there, once there is one."""
        self._memory = memoryview(b"")
        self._runs = 0

    def room(self, before: int) -> memoryview | None:
        """Where `bound` wants the tensors, behind room for so many bytes `before` them."""
        return self._memory[_BEFORE_BYTES - before :] if self.bound is not None and before <= _BEFORE_BYTES else None

    def ran(self, signature: Signature, data: bytes | memoryview, outputs: Mapping[str, Array], told: Answered) -> None:
        """The model has made `outputs` of `data` in the ordinary way, and `told` of these. Raises nothing."""
        self._runs += 1
        if self._runs != _WORTH_RUNS:
            return
        try:
            memory: Array = np.empty(_BEFORE_BYTES + self.packed.size_bytes, np.uint8)
            inputs = self.packed.views(memory.data[_BEFORE_BYTES:])
            if inputs is not None:
                self.bound = bind(self.loaded.session, signature, self.packed, data, outputs, told, inputs)
            if self.bound is not None:
                self._memory = memory.data
        except Exception:  # noqa: BLE001, it was answered already
            _log.exception("Calls of %s are not bound.", self.loaded.manifest.model)

    def clear(self) -> None:
        """What was bound does not run any more, and never will."""
        self.bound = None
        self._memory = memoryview(b"")


class Desk:
    """The places of one thread."""

    def __init__(self) -> None:
        self._places: list[Place] = []

    def place(self, loaded: Loaded, packed: Packed) -> Place:
        """The one for such calls."""
        for at, place in enumerate(self._places):
            if place.loaded is loaded and place.packed is packed:
                if at:
                    self._places.insert(0, self._places.pop(at))
                return place
        # What is in its place in memory now is of another version, or has not been asked for longest.
        self._places = [
            one for one in self._places if one.loaded.manifest.model != loaded.manifest.model or one.loaded is loaded
        ]
        self._places = [Place(loaded, packed), *self._places[: _KEPT - 1]]
        return self._places[0]
