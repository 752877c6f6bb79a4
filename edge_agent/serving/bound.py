"""A standing call in memory of its own: its tensors are written where the runtime reads, and read where it writes."""

import itertools
from collections.abc import Iterable, Mapping

import numpy as np

from edge_agent.runtimes.session import Array, Binds, Bound, InferenceFailed, Session
from edge_agent.serving.in_place import Laid
from edge_agent.serving.packed import Packed
from edge_agent.serving.port import Answered, AnsweredInPlace
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

    def run_read(self) -> None:
        """The same for what lies in its inputs already."""
        self._bound.run()


def bind(
    session: Session,
    signature: Signature,
    packed: Packed,
    data: bytes | memoryview,
    outputs: Mapping[str, Array],
    told: Answered,
    inputs: dict[str, Array] | None = None,
) -> BoundCall | None:
    """What asks `session` in the way of `data`, which it has just made `outputs` of, and `told` of these; None where it
    cannot be asked so, or would say something else. It reads its tensors from `inputs`, or from memory of its own."""
    views = packed.views(data)
    if views is None or not isinstance(session, Binds):
        return None
    if not _are_numbers((*views.values(), *outputs.values())):
        return None
    own = views.values() if inputs is None else ()
    if sum(one.nbytes for one in (*own, *outputs.values())) > _MOST_BYTES:
        return None
    if inputs is None:
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
    return call if _are_same(results, outputs) else None


class BoundInPlace:
    """The same in memory that a client has laid out: inputs and outputs as in `laid`. For one thread at a time."""

    __slots__ = ("_bound", "_found", "answered", "laid", "scores")

    def __init__(self, bound: Bound, laid: Laid, answered: Answered, scores: Array | None) -> None:
        self._bound = bound
        self._found = scores
        self.laid = laid
        self.answered = answered
        # Of its own: they are looked at when the client may have written there.
        self.scores = None if scores is None else scores.copy()

    def run(self) -> None:
        """Raises `InferenceFailed`, as `BoundCall`."""
        self._bound.run()
        if self.scores is not None:
            self.scores[...] = self._found


def bind_in_place(
    session: Session, signature: Signature, laid: Laid, outputs: Mapping[str, Array], told: Answered
) -> BoundInPlace | None:
    """What asks `session` in the way of `laid`, as it has just made `outputs` of it, and `told` of these; None where
    that cannot be, or one of the outputs is not to be put there."""
    if not isinstance(session, Binds) or outputs.keys() != laid.rooms.keys() or not _are_numbers(outputs.values()):
        return None
    results: dict[str, Array] = {}
    for name, one in outputs.items():
        room = laid.rooms[name]
        if one.nbytes > len(room):
            return None
        results[name] = np.frombuffer(room[: one.nbytes], one.dtype).reshape(one.shape)
        if not results[name].flags.aligned:
            return None
    if _overlap([*laid.inputs.values(), *results.values()], results.values()):
        # It would write over what it has yet to read.
        return None
    for name, one in outputs.items():
        results[name][...] = _anything_but(one)
    bound = session.bind(laid.inputs, results)
    if bound is None:
        return None
    answered = AnsweredInPlace(told.manifest, {name: results[name] for name in told.outputs})
    call = BoundInPlace(bound, laid, answered, signature.scores(results))
    try:
        call.run()
    except InferenceFailed:
        return None
    return call if _are_same(results, outputs) else None


def _are_numbers(outputs: Iterable[object]) -> bool:
    # A model may also give what is no tensor, such as a list of dictionaries beside the label.
    return all(isinstance(one, np.ndarray) and one.dtype.kind in _NUMBERS and one.size for one in outputs)


def _overlap(arrays: Iterable[Array], others: Iterable[Array]) -> bool:
    pairs = itertools.product(arrays, others)
    return any(one is not other and np.may_share_memory(one, other) for one, other in pairs)


def _are_same(results: Mapping[str, Array], outputs: Mapping[str, Array]) -> bool:
    return all(results[name].tobytes() == one.tobytes() for name, one in outputs.items())


def _anything_but(array: Array) -> Array:
    """Of the same form, and different in every byte."""
    other: Array = np.empty(array.shape, array.dtype)
    np.invert(np.frombuffer(array.tobytes(), np.uint8), out=other.reshape(-1).view(np.uint8))
    return other
