"""gRPC's inference request, and its answer: tensors as raw bytes, as typed lists, or in shared memory."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from edge_agent.runtimes.session import Array
from edge_agent.serving import shared, tensors
from edge_agent.serving.budget import READ_BYTES, check_elements
from edge_agent.serving.port import Answered, Call, InputWrong
from edge_agent.serving.regions import Regions
from edge_agent.serving.rpc.messages import MESSAGES
from edge_agent.serving.shared import Where

#: Which list of a message holds the elements of a tensor. FP16 has none: it is sent raw.
_LISTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def understand(request: Any, regions: Regions) -> Call:
    """What a `ModelInferRequest` asks. Raises `InputWrong`."""
    raw = iter(request.raw_input_contents)
    inputs: dict[str, Array] = {}
    for one in request.inputs:
        if one.name in inputs:
            raise InputWrong(f"Tensor {one.name!r} is there twice.")
        inputs[one.name] = _input(one, raw, bool(request.raw_input_contents), regions)
    if next(raw, None) is not None:
        raise InputWrong("There are more raw_input_contents than inputs that they could belong to.")
    for one in request.outputs:
        if "classification" in {entry.key for entry in one.parameters}:
            raise InputWrong(f"Output {one.name!r}: classification is not served.", "Take its largest values.")
    outputs = tuple(dict.fromkeys(one.name for one in request.outputs))
    return Call(request.model_name, inputs, outputs, request.model_version)


def _input(one: Any, raw: Iterable[bytes], is_raw: bool, regions: Regions) -> Array:
    shape = tuple(one.shape)
    where = _where(one)
    if where.region:
        return shared.fetch(regions, one.name, one.datatype, shape, where)
    if is_raw:
        for data in raw:
            return tensors.from_bytes(one.name, one.datatype, shape, data)
        raise InputWrong(f"Tensor {one.name!r} has no raw_input_contents.")
    dtype = tensors.dtype_of(one.name, one.datatype)
    count = tensors.check_shape(one.name, shape)
    if one.datatype not in _LISTS:
        raise InputWrong(f"Tensor {one.name!r}: {one.datatype} has no list.", "Send it in raw_input_contents.")
    elements = getattr(one.contents, _LISTS[one.datatype])
    if len(elements) != count:
        raise InputWrong(f"Tensor {one.name!r} has {len(elements)} elements, and the shape {list(shape)} has {count}.")
    check_elements(count, READ_BYTES, "in lists", "Send it in raw_input_contents, or ask again later.")
    try:
        # A list, for of its own containers NumPy would cut off what does not fit.
        array = np.array(list(elements), dtype)
    except (ValueError, OverflowError) as error:
        raise InputWrong(f"Tensor {one.name!r} has data that is not {one.datatype}: {error}.") from error
    return array.reshape(shape)


def answer(request: Any, answered: Answered, regions: Regions) -> Any:
    """The `ModelInferResponse` that tells `answered`. Raises `InputWrong` when it cannot be told as was asked."""
    response = MESSAGES["ModelInferResponse"](
        model_name=answered.manifest.model, model_version=str(answered.manifest.version), id=request.id
    )
    places = {one.name: _where(one) for one in request.outputs}
    for name in places or answered.outputs:
        array = np.asarray(answered.outputs[name])
        output = response.outputs.add(name=name, datatype=tensors.datatype_of(array), shape=array.shape)
        where = places.get(name)
        if where is None or not where.region:
            response.raw_output_contents.append(bytes(tensors.to_bytes(array)))
            continue
        size = shared.put(regions, name, array, where)
        _add(output, "shared_memory_region", string_param=where.region)
        _add(output, "shared_memory_byte_size", int64_param=size)
        if where.offset:
            _add(output, "shared_memory_offset", int64_param=where.offset)
    return response


def _add(output: Any, key: str, **value: str | int) -> None:
    output.parameters.add(key=key, value=MESSAGES["InferParameter"](**value))


def _where(one: Any) -> Where:
    given = {entry.key: entry.value for entry in one.parameters}

    def number(key: str) -> int:
        value = given.get(key)
        return 0 if value is None else int(value.int64_param or value.uint64_param)

    region = given.get("shared_memory_region")
    return Where(
        "" if region is None else region.string_param,
        number("shared_memory_offset"),
        number("shared_memory_byte_size"),
    )
