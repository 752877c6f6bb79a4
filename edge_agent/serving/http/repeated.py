"""What the requests of a client have in common: all but the bytes of their tensors, and so with the answers to them.

An application asks the same way again and again. The JSON that describes its tensors is understood once, and so is
told once what comes back; after that a request costs little more than the bytes that it carries.
"""

from collections.abc import Mapping

import msgspec

from edge_agent.runtimes.session import Array
from edge_agent.serving import tensors
from edge_agent.serving.http.response import Part, Response, binary
from edge_agent.serving.packed import Packed
from edge_agent.serving.port import Answered
from fleet_contract.manifest import Manifest

#: Kinds of dtypes, as NumPy calls them.
NUMBERS = "fiu"


class Repeated:
    """One form of request whose inputs are numbers in binary, and the last form of answer to it. Safe for any thread.

    `packed` has its inputs, and `outputs` the names asked for, () for all.
    """

    __slots__ = ("_last", "outputs", "packed")

    def __init__(self, packed: Packed, outputs: tuple[str, ...]) -> None:
        self.packed = packed
        self.outputs = outputs
        # In one piece, for another thread may read it while it changes.
        self._last: _Last | None = None

    def response(self, answered: Answered) -> Response | None:
        """The response to one such request, if the answer has the form of the last."""
        last = self._like(answered)
        if last is None:
            return None
        return binary(last.header, tuple([tensors.to_bytes(one) for one in answered.outputs.values()]))

    def message(self, answered: Answered) -> list[Part] | None:
        """All bytes of that response, on a connection that stays; those of its tensors are the answer's own memory
        where they can be."""
        last = self._like(answered)
        if last is None:
            return None
        return [last.begin, *map(tensors.to_bytes, answered.outputs.values())]

    def remember(self, answered: Answered, response: Response) -> None:
        """Takes `response` for the form of the next, if all its outputs are numbers in binary."""
        outputs = answered.outputs
        asked = not self.outputs or tuple(outputs) == self.outputs
        if asked and len(response.parts) == len(outputs) + 1 and all(is_number(one) for one in outputs.values()):
            header = bytes(response.parts[0])
            self._last = _Last(answered.manifest, form(outputs), header, response.head(closing=False) + header)

    def _like(self, answered: Answered) -> "_Last | None":
        last = self._last
        if last is None or last.manifest is not answered.manifest or last.form != form(answered.outputs):
            return None
        return last


class _Last(msgspec.Struct, frozen=True, eq=False):
    """`begin` is all of a response that comes before its tensors, and `header` the JSON at its end."""

    manifest: Manifest
    form: list[tuple[object, ...]]
    header: bytes
    begin: bytes


def form(outputs: Mapping[str, Array]) -> list[tuple[object, ...]]:
    """What two answers must have in common to be told in the same words."""
    return [(name, array.dtype, array.shape) for name, array in outputs.items()]


def is_number(array: Array) -> bool:
    """Whether its bytes are told by its dtype and shape."""
    return array.dtype.kind in NUMBERS
