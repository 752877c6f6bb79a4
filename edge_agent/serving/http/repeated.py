"""What the requests of a client have in common: all but the bytes of their tensors, and so with the answers to them.

An application asks the same way again and again. The JSON that describes its tensors is understood once, and so is
told once what comes back; after that a request costs little more than the bytes that it carries.
"""

import math
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from edge_agent.runtimes.session import Array
from edge_agent.serving import tensors
from edge_agent.serving.http.response import Response, binary
from edge_agent.serving.port import Answered
from fleet_contract.manifest import Manifest

#: Kinds of dtypes, as NumPy calls them.
NUMBERS = "fiu"


class Repeated:
    """One form of request whose inputs are numbers in binary, and the last form of answer to it. Safe for any thread.

    `places` has the name, dtype and shape of each input, in the order of their bytes.
    """

    __slots__ = ("_last", "_places", "outputs", "size_bytes")

    def __init__(self, places: list[tuple[str, np.dtype[Any], tuple[int, ...]]], outputs: tuple[str, ...]) -> None:
        self.outputs = outputs
        """The names asked for, () for all."""
        self.size_bytes = 0
        self._places = []
        for name, dtype, shape in places:
            count = math.prod(shape)
            self._places.append((name, dtype, shape, count, self.size_bytes))
            self.size_bytes += count * dtype.itemsize
        # In one piece, for another thread may read it while it changes.
        self._last: _Last | None = None

    def inputs(self, data: bytes | memoryview) -> dict[str, Array] | None:
        """The inputs as views of `data`, `size_bytes` long; None where the processor cannot read them as they lie."""
        found: dict[str, Array] = {}
        for name, dtype, shape, count, offset in self._places:
            array: Array = np.frombuffer(data, dtype, count, offset).reshape(shape)
            if not array.flags.aligned:
                return None
            found[name] = array
        return found

    def response(self, answered: Answered) -> Response | None:
        """The response to one such request, if the answer has the form of the last."""
        last = self._like(answered)
        if last is None:
            return None
        return binary(last.header, tuple([tensors.to_bytes(one) for one in answered.outputs.values()]))

    def message(self, answered: Answered) -> bytes | None:
        """All bytes of that response, on a connection that stays."""
        last = self._like(answered)
        if last is None:
            return None
        message = last.begin
        for one in answered.outputs.values():
            message += tensors.to_bytes(one)
        return message

    def remember(self, answered: Answered, response: Response) -> None:
        """Takes `response` for the form of the next, if all its outputs are numbers in binary."""
        outputs = answered.outputs
        asked = not self.outputs or tuple(outputs) == self.outputs
        if asked and len(response.parts) == len(outputs) + 1 and all(_is_number(one) for one in outputs.values()):
            header = bytes(response.parts[0])
            self._last = _Last(answered.manifest, _form(outputs), header, response.head(closing=False) + header)

    def _like(self, answered: Answered) -> "_Last | None":
        last = self._last
        if last is None or last.manifest is not answered.manifest or last.form != _form(answered.outputs):
            return None
        return last


class _Last(msgspec.Struct, frozen=True, eq=False):
    """`begin` is all of a response that comes before its tensors, and `header` the JSON at its end."""

    manifest: Manifest
    form: list[tuple[object, ...]]
    header: bytes
    begin: bytes


def _form(outputs: Mapping[str, Array]) -> list[tuple[object, ...]]:
    return [(name, array.dtype, array.shape) for name, array in outputs.items()]


def _is_number(array: Array) -> bool:
    return array.dtype.kind in NUMBERS
