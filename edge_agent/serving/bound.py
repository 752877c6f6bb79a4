"""A standing call in memory of its own: its tensors are written where the runtime reads, and read where it writes."""

from collections.abc import Mapping

import numpy as np

from edge_agent.runtimes.session import Array, Binds, Bound, InferenceFailed, Session
from edge_agent.serving.packed import Packed
from edge_agent.serving.port import Answered
from edge_agent.serving.signature import Signature

_NUMBERS = "fiu"
#: Larger tensors are not kept for each connection: what there is to be saved does not grow with them.
_MOST_BYTES = 64 * 1024


class BoundCall:
    """`answered` is what the last run has given: the next writes over it. For one thread at a time."""

    __slots__ = ("_bound", "_rooms", "answered", "inputs", "scores")

    def __init__(
        self, bound: Bound, packed: Packed, inputs: dict[str, Array], answered: Answered, scores: Array | None
    ) -> None:
        self._bound = bound
        self._rooms = packed.rooms(inputs)
        self.inputs = inputs
        self.answered = answered
        self.scores = scores

    def run(self, data: bytes | memoryview) -> None:
        """Raises `InferenceFailed`: then the same is to be asked in the ordinary way, which knows why."""
        for room, begin, end in self._rooms:
            room[:] = data[begin:end]
        self._bound.run()


def bind(
    session: Session,
    signature: Signature,
    packed: Packed,
    data: bytes | memoryview,
    outputs: Mapping[str, Array],
    told: Answered,
) -> BoundCall | None:
    """What asks `session` in the way of `data`, which it has just made `outputs` of, and `told` of these; None where it
    cannot be asked so, or would say something else."""
    views = packed.views(data)
    if views is None or not isinstance(session, Binds):
        return None
    # A model may also give what is no tensor, such as a list of dictionaries beside the label.
    arrays = all(isinstance(one, np.ndarray) for one in outputs.values())
    if not arrays or not all(one.dtype.kind in _NUMBERS and one.size for one in (*views.values(), *outputs.values())):
        return None
    if sum(one.nbytes for one in (*views.values(), *outputs.values())) > _MOST_BYTES:
        return None
    inputs = {name: np.empty(one.shape, one.dtype) for name, one in views.items()}
    # What lies there by chance may be the answer of before, and an output that is never written would pass for right.
    results = {name: _anything_but(one) for name, one in outputs.items()}
    bound = session.bind(inputs, results)
    if bound is None:
        return None
    answered = Answered(told.manifest, {name: results[name] for name in told.outputs})
    call = BoundCall(bound, packed, inputs, answered, signature.scores(results))
    try:
        call.run(data)
    except InferenceFailed:
        return None
    if any(results[name].tobytes() != one.tobytes() for name, one in outputs.items()):
        return None
    return call


def _anything_but(array: Array) -> Array:
    """Of the same form, and different in every byte."""
    other: Array = np.empty(array.shape, array.dtype)
    np.invert(np.frombuffer(array.tobytes(), np.uint8), out=other.reshape(-1).view(np.uint8))
    return other
