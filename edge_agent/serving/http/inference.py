"""The protocol's inference request, and its answer: JSON alone, with binary tensors behind it, or in shared memory.

It is imported with the first inference, for it brings NumPy.
"""

import functools
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from edge_agent.allotment import allotted_bytes
from edge_agent.runtimes.session import Array
from edge_agent.serving import shared, tensors
from edge_agent.serving.budget import READ_BYTES, TOLD_BYTES, check_elements
from edge_agent.serving.http.body import Body
from edge_agent.serving.http.lent import Lent
from edge_agent.serving.http.repeated import NUMBERS, Repeated
from edge_agent.serving.http.response import Part, Response, binary, plain_json
from edge_agent.serving.http.status import Refused
from edge_agent.serving.http.usual import Usual
from edge_agent.serving.in_place import InPlace
from edge_agent.serving.packed import Packed
from edge_agent.serving.placed import Placed
from edge_agent.serving.port import Answered, Call, Engine, InputWrong
from edge_agent.serving.regions import Regions
from edge_agent.serving.shared import Where
from fleet_contract.manifest import Manifest

#: JSON that describes binary tensors is what a client repeats: up to this length it is read once for all requests.
_REMEMBERED_BYTES = 2048
#: From so much JSON on it is worth a look how much it unpacks to: up to 25 times as much.
_LARGE_BYTES = 256 * 1024
#: Fewer elements are not worth it.
_MANY = 50_000
#: Never more than this part of the memory: the agent and its models have the other.
_SHARE = 2
_NONE = msgspec.Raw()


class Parameters(msgspec.Struct, frozen=True):
    """What the protocol's extensions add to a tensor. Others are somebody else's, and ignored."""

    binary_data_size: int | None = None
    binary_data: bool | None = None
    shared_memory_region: str = ""
    shared_memory_offset: int = 0
    shared_memory_byte_size: int = 0
    classification: int = 0

    @property
    def where(self) -> Where:
        """In shared memory."""
        return Where(self.shared_memory_region, self.shared_memory_offset, self.shared_memory_byte_size)


class Input(msgspec.Struct, frozen=True):
    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: Parameters = Parameters()
    data: msgspec.Raw = _NONE


class Requested(msgspec.Struct, frozen=True):
    """An output that is asked for."""

    name: str
    parameters: Parameters = Parameters()


class RequestParameters(msgspec.Struct, frozen=True):
    binary_data_output: bool = False


class Request(msgspec.Struct, frozen=True):
    inputs: tuple[Input, ...]
    id: str = ""
    parameters: RequestParameters = RequestParameters()
    outputs: tuple[Requested, ...] = ()


class Output(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: dict[str, int | str] = {}
    data: msgspec.Raw = _NONE


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    model_name: str
    model_version: str
    outputs: list[Output]
    id: str = ""


class Asked:
    """One request, understood: what the engine is asked, and how its answer goes back."""

    __slots__ = ("_regions", "_request", "call", "repeated")

    def __init__(self, call: Call, request: Request, regions: Regions, repeated: Repeated | None = None) -> None:
        self.call = call
        self._request = request
        self._regions = regions
        self.repeated = repeated
        """What it has in common with the next, where its inputs are numbers in binary."""

    def response(self, answered: Answered) -> Response:
        """The response that tells `answered`. Raises `ServingError` when an output cannot be told as was asked."""
        repeated = self.repeated
        if repeated is None:
            return self._told(answered)
        response = repeated.response(answered)
        if response is None:
            response = self._told(answered)
            repeated.remember(answered, response)
        return response

    def usual(self, prefix: bytes, engine: Engine) -> Usual | Lent | None:
        """What answers the same once more, which was found right: a request of the bytes `prefix` and then its tensors,
        or of these bytes alone where its tensors lie in shared memory. None for any other, and where `engine` cannot
        answer it now."""
        request = self._request
        # The tensors of this one may be megabytes, and are others the next time.
        asked = Asked(msgspec.structs.replace(self.call, inputs={}), request, self._regions, self.repeated)
        if (repeated := self.repeated) is not None:
            standing = engine.standing(self.call, repeated.packed)
            return None if standing is None else Usual(prefix, asked, repeated, standing)
        inputs = _placed(request, self._regions)
        standing = None if inputs is None else engine.standing(self.call, inputs.packed)
        if inputs is None or standing is None:
            return None
        outputs = {one.name: one.parameters.where for one in request.outputs}
        return Lent(prefix, asked, inputs, InPlace(self._regions, inputs, outputs), outputs, standing)

    def put(self, answered: Answered, places: Mapping[str, Where]) -> None:
        """Writes the outputs to `places` in shared memory, and says nothing. Raises `InputWrong`."""
        for name, where in places.items():
            shared.put(self._regions, name, answered.outputs[name], where)

    def _told(self, answered: Answered) -> Response:
        request = self._request
        wanted = {one.name: one.parameters for one in request.outputs}
        outputs = []
        parts: list[Part] = []
        for name in wanted or answered.outputs:
            array = np.asarray(answered.outputs[name])
            outputs.append(self._output(name, array, wanted.get(name), parts))
        header = msgspec.json.encode(
            Answer(answered.manifest.model, str(answered.manifest.version), outputs, request.id)
        )
        return binary(header, tuple(parts)) if parts else plain_json(header)

    def _output(self, name: str, array: Array, how: Parameters | None, parts: list[Part]) -> Output:
        datatype = tensors.datatype_of(array)
        as_binary = self._request.parameters.binary_data_output
        if how is not None:
            if how.shared_memory_region:
                return self._shared(name, datatype, array, how)
            if how.binary_data is not None:
                as_binary = how.binary_data
        if not as_binary:
            _check_json(array.size, TOLD_BYTES, "Ask for binary data.")
            return Output(name, datatype, array.shape, data=msgspec.Raw(tensors.to_json(name, array)))
        data = tensors.to_bytes(array)
        parts.append(data)
        return Output(name, datatype, array.shape, {"binary_data_size": len(data)})

    def _shared(self, name: str, datatype: str, array: Array, how: Parameters) -> Output:
        size = shared.put(self._regions, name, array, how.where)
        where: dict[str, int | str] = {
            "shared_memory_region": how.shared_memory_region,
            "shared_memory_byte_size": size,
        }
        if how.shared_memory_offset:
            where["shared_memory_offset"] = how.shared_memory_offset
        return Output(name, datatype, array.shape, where)


def understand(model: str, version: str, body: Body, engine: Engine, regions: Regions) -> Asked:
    """The request in `body`. Raises `ServingError`, `Refused` among them."""
    if body.binary is not None and not body.json:
        return _bare(model, version, body.binary, engine, regions)
    request, repeated, loose = _request(body)
    if repeated is not None and body.binary is not None and len(body.binary) == repeated.packed.size_bytes:
        given = repeated.packed.views(body.binary)
        if given is not None:
            return Asked(Call(model, given, repeated.outputs, version), request, regions, repeated)
    inputs: dict[str, Array] = {}
    binary: bytes | memoryview = body.binary if body.binary is not None else b""
    at = 0
    for index, one in enumerate(request.inputs):
        if one.name in inputs:
            raise InputWrong(f"Tensor {one.name!r} is there twice.")
        size = one.parameters.binary_data_size
        if one.parameters.shared_memory_region:
            inputs[one.name] = shared.fetch(regions, one.name, one.datatype, one.shape, one.parameters.where)
        elif size is not None:
            if size < 0 or at + size > len(binary):
                raise InputWrong(f"Tensor {one.name!r} has {size} bytes, and {len(binary) - at} are left for it.")
            inputs[one.name] = tensors.from_bytes(one.name, one.datatype, one.shape, binary[at : at + size])
            at += size
        elif loose is not None and loose[index] is not None:
            inputs[one.name] = tensors.from_json(one.name, one.datatype, one.shape, loose[index])
        elif memoryview(one.data).nbytes:
            inputs[one.name] = tensors.from_json(one.name, one.datatype, one.shape, one.data)
        else:
            raise InputWrong(f"Tensor {one.name!r} has no data.")
    if at != len(binary):
        raise InputWrong(f"{len(binary) - at} bytes belong to no tensor.")
    for requested in request.outputs:
        if requested.parameters.classification:
            raise InputWrong(f"Output {requested.name!r}: classification is not served.", "Take its largest values.")
    return Asked(Call(model, inputs, _names(request), version), request, regions)


def _bare(model: str, version: str, data: bytes | memoryview, engine: Engine, regions: Regions) -> Asked:
    """No JSON at all: the bytes are the only input of the model, and the answer is binary, as with Triton."""
    manifest: Manifest = engine.manifest(model, version)
    if len(manifest.inputs) != 1:
        raise InputWrong(f"Model {model!r} has {len(manifest.inputs)} inputs.", "Say in JSON which bytes are which.")
    tensor = manifest.inputs[0]
    shape = tensors.shape_of(tensor, len(data))
    array = tensors.from_bytes(tensor.name, tensor.dtype, shape, data)
    request = Request((), parameters=RequestParameters(binary_data_output=True))
    return Asked(Call(model, {tensor.name: array}, (), version), request, regions)


def _request(body: Body) -> tuple[Request, Repeated | None, list[Any] | None]:
    """The request; what it has in common with others, if that is known; and the data of its inputs where it is JSON
    only by Python's measure."""
    try:
        if body.binary is not None and len(body.json) <= _REMEMBERED_BYTES:
            return *_remembered(body.json), None
        if len(body.json) >= _LARGE_BYTES:
            _check_json(_elements(body.json), READ_BYTES, "Send tensors as binary.")
        return _decode(body.json), None, None
    except msgspec.ValidationError as error:
        raise InputWrong(f"{_whose(body.json)}{error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if b"NaN" not in body.json and b"Infinity" not in body.json:
            raise InputWrong(f"The request is not JSON: {error}.") from error
        request, loose = _with_nan(body.json)
        return request, None, loose


def _check_json(elements: int, each_bytes: int, remedy: str) -> None:
    """Raises `Refused` where the memory here is too small for so many elements, and `Overloaded` where it is now."""
    if elements < _MANY:
        return
    if each_bytes * elements > allotted_bytes() // _SHARE:
        raise Refused.large(f"The memory here is too small for {elements} elements in JSON.", remedy)
    check_elements(elements, each_bytes, "in JSON", f"{remedy[:-1]}, or ask again later.")


def _elements(text: bytes) -> int:
    """About how many numbers `text` makes. A string takes as much as three of them, and so does a list or an object."""
    return text.count(b",") + text.count(b'"') + 2 * (text.count(b"[") + text.count(b"{"))


def _decode(text: bytes) -> Request:
    return msgspec.json.decode(text, type=Request)


@functools.lru_cache(maxsize=64)
def _remembered(text: bytes) -> tuple[Request, Repeated | None]:
    request = _decode(text)
    return request, _repeated(request)


def _repeated(request: Request) -> Repeated | None:
    """None where each request is to be looked at: for strings, shared memory, and whatever is wrong with it."""
    places = []
    for one in request.inputs:
        dtype, size = tensors.DTYPES.get(one.datatype), one.parameters.binary_data_size
        if dtype is None or dtype.kind not in NUMBERS or one.parameters.shared_memory_region:
            return None
        try:
            needed = tensors.check_shape(one.name, one.shape) * dtype.itemsize
        except InputWrong:
            return None
        if size != needed:
            return None
        places.append((one.name, dtype, one.shape))
    if len({name for name, _, _ in places}) < len(places) or any(
        one.parameters.classification for one in request.outputs
    ):
        return None
    return Repeated(Packed(places), _names(request))


def _placed(request: Request, regions: Regions) -> Placed | None:
    """The inputs of `request`, which were found right, where all are numbers in shared memory."""
    packed, places = [], {}
    for one in request.inputs:
        dtype, where = tensors.DTYPES[one.datatype], one.parameters.where
        if dtype.kind not in NUMBERS or not where.region:
            return None
        packed.append((one.name, dtype, one.shape))
        places[one.name] = where
    found = Placed(regions, places, Packed(packed))
    return found if places and found.readable else None


def _names(request: Request) -> tuple[str, ...]:
    """The outputs asked for."""
    return tuple(dict.fromkeys(one.name for one in request.outputs))


def _with_nan(text: bytes) -> tuple[Request, list[Any]]:
    """The same with NaN and Infinity in it, which JSON lacks and Python's clients write."""
    # A second reader, which hardly anybody needs, and nobody before the first answer.
    import json

    try:
        loose = json.loads(text)
        given = [one.pop("data", None) for one in loose["inputs"]]
        return msgspec.convert(loose, Request), given
    except msgspec.ValidationError as error:
        raise InputWrong(f"The request is wrong: {error}.") from error
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError) as error:
        raise InputWrong("The request is not JSON, or has no inputs.") from error


def _whose(text: bytes) -> str:
    """The input that `text` is wrong in, where it is one."""
    try:
        parts = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        inputs = msgspec.json.decode(parts.get("inputs", msgspec.Raw(b"[]")), type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "The request is wrong: "
    for index, one in enumerate(inputs):
        try:
            msgspec.json.decode(one, type=Input)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return f"Tensor {_name(one) or index!r} is wrong: "
    return "The request is wrong: "


def _name(one: msgspec.Raw) -> str:
    try:
        return str(msgspec.json.decode(one, type=dict[str, Any]).get("name", ""))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
