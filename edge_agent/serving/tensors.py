"""Tensors between the protocol's words and NumPy: raw little-endian bytes, JSON lists, and back. No I/O.

Whatever a caller gets wrong is an `InputWrong` that names the tensor.
"""

import functools
import math
import sys
from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec
import numpy as np

from edge_agent.runtimes.session import Array
from edge_agent.serving.port import InputWrong
from fleet_contract.manifest import Tensor

Buffer: TypeAlias = bytes | bytearray | memoryview | Array

#: The protocol's dtypes that NumPy has. BF16 is the one that it lacks.
DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(object),
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_LARGEST_RANK = 32
_LENGTH_BYTES = 4


def dtype_of(name: str, datatype: str) -> np.dtype[Any]:
    """NumPy's dtype for the protocol's `datatype` of the tensor `name`. Raises `InputWrong`."""
    try:
        return DTYPES[datatype]
    except KeyError:
        if datatype == "BF16":
            raise InputWrong(f"Tensor {name!r}: no model here takes BF16.", "Send it as FP32.") from None
        raise InputWrong(
            f"Tensor {name!r} has the unknown datatype {datatype!r}.", f"Use one of {', '.join(DTYPES)}."
        ) from None


def datatype_of(array: Array) -> str:
    """The protocol's word for what `array` holds."""
    return _NAMES.get(array.dtype, "BYTES")


def check_shape(name: str, shape: Sequence[int]) -> int:
    """The number of elements of the tensor `name`. Raises `InputWrong`."""
    if len(shape) > _LARGEST_RANK:
        raise InputWrong(f"Tensor {name!r} has {len(shape)} dimensions, and {_LARGEST_RANK} may be.")
    if shape and min(shape) < 0:
        raise InputWrong(f"Tensor {name!r} has the shape {list(shape)}.", "A tensor that is sent has no free size.")
    # NumPy can address no such tensor, even where one size is 0 and it has no element at all.
    if math.prod(size or 1 for size in shape) > sys.maxsize >> 4:
        raise InputWrong(f"Tensor {name!r} of the shape {list(shape)} fits into no memory.")
    return math.prod(shape)


def check_size(name: str, datatype: str, shape: Sequence[int], size: int) -> None:
    """Whether `size` bytes can be such a tensor. Raises `InputWrong`."""
    dtype = dtype_of(name, datatype)
    needed = check_shape(name, shape) * dtype.itemsize
    if size < 0:
        raise InputWrong(f"Tensor {name!r} has {size} bytes.")
    if datatype != "BYTES" and size != needed:
        raise InputWrong(f"Tensor {name!r} has {size} bytes, and {datatype} of the shape {list(shape)} has {needed}.")


def shape_of(tensor: Tensor, size: int) -> tuple[int, ...]:
    """The shape that `size` bytes of `tensor` have, when no more than one of its sizes is free. Raises `InputWrong`."""
    if tensor.dtype == "BYTES":
        return (1,) * len(tensor.shape)
    free = [index for index, one in enumerate(tensor.shape) if one < 0]
    row = math.prod(one for one in tensor.shape if one >= 0) * dtype_of(tensor.name, tensor.dtype).itemsize
    if len(free) > 1 or (free and (row == 0 or size % row)):
        raise InputWrong(f"Tensor {tensor.name!r}: {size} bytes do not tell its shape.", "Say it in JSON.")
    return tuple(size // row if one < 0 else one for one in tensor.shape)


def from_bytes(name: str, datatype: str, shape: Sequence[int], data: Buffer) -> Array:
    """The tensor in `data`, row by row: a view of it where memory can be used as it is. Raises `InputWrong`."""
    check_size(name, datatype, shape, len(data))
    if datatype == "BYTES":
        return _split(name, bytes(data), math.prod(shape)).reshape(shape)
    if datatype == "BOOL":
        # Any byte but 0 and 1 is no value that a runtime knows.
        truth: Array = np.frombuffer(data, np.uint8) != 0
        return truth.reshape(shape)
    array: Array = np.frombuffer(data, DTYPES[datatype])
    # Behind an odd number of bytes there is no address that every processor reads from.
    return (array if array.flags.aligned else array.copy()).reshape(shape)


def _split(name: str, data: bytes, count: int) -> Array:
    """BYTES: each element behind its length in 4 bytes."""
    if count * _LENGTH_BYTES > len(data):
        raise InputWrong(f"Tensor {name!r} has {len(data)} bytes, too few for {count} elements.")
    elements = np.empty(count, object)
    at = 0
    for index in range(count):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(data[at:start], "little")
        if at > len(data):
            raise InputWrong(f"Tensor {name!r} ends within its element {index}.")
        elements[index] = data[start:at]
    if at != len(data):
        raise InputWrong(f"Tensor {name!r} has {len(data) - at} bytes after its last element.")
    return elements


def from_json(name: str, datatype: str, shape: Sequence[int], data: msgspec.Raw | object) -> Array:
    """The tensor whose elements are the JSON list `data`, flat or nested as `shape` is. Raises `InputWrong`."""
    dtype = dtype_of(name, datatype)
    count = check_shape(name, shape)
    kind = _kind(datatype)
    try:
        # Most clients send it flat, and for a tensor of one dimension that is the same.
        values = _decoded(data, kind, 1)
    except (msgspec.ValidationError, RecursionError) as flat:
        if len(shape) < 2:
            raise _not_of(name, datatype, shape, flat) from flat
        try:
            values = _decoded(data, kind, len(shape))
        except (msgspec.ValidationError, RecursionError) as error:
            raise _not_of(name, datatype, shape, error) from error
    try:
        with np.errstate(over="ignore"):
            array = _strings(values) if kind is str else np.array(values, dtype)
    except (ValueError, OverflowError) as error:
        raise _not_of(name, datatype, shape, error) from error
    if array.shape not in ((count,), tuple(shape)):
        raise InputWrong(f"Tensor {name!r} has data of the shape {list(array.shape)}, and says {list(shape)}.")
    return array.reshape(shape)


def _strings(values: list[Any]) -> Array:
    """Strings as the agent has them: `bytes`. Raises ValueError when `values` is no rectangle."""
    array = np.array(values, object)
    flat = array.reshape(-1)
    for index, one in enumerate(flat):
        if isinstance(one, list):
            raise ValueError("its lists have different lengths")
        flat[index] = one.encode(errors="surrogatepass")
    return array


def _not_of(name: str, datatype: str, shape: Sequence[int], error: Exception) -> InputWrong:
    return InputWrong(f"Tensor {name!r} has data that is not {datatype} of the shape {list(shape)}: {error}.")


def _kind(datatype: str) -> Any:
    match datatype:
        case "BOOL":
            return bool
        case "BYTES":
            return str
        case "FP16" | "FP32" | "FP64":
            # What is not a number, in JSON.
            return float | None
        case _:
            return int


@functools.lru_cache(maxsize=64)
def _nested(kind: Any, depth: int) -> Any:
    for _ in range(depth):
        kind = list[kind]
    return kind


def _decoded(data: msgspec.Raw | object, kind: Any, depth: int) -> Any:
    if isinstance(data, msgspec.Raw):
        return msgspec.json.decode(data, type=_nested(kind, depth))
    return msgspec.convert(data, _nested(kind, depth))


def to_bytes(array: Array) -> memoryview | bytes:
    """The bytes of `array`, row by row: its own memory where that can be sent as it is."""
    if array.dtype.kind in "OSU":
        parts: list[bytes] = []
        for element in array.flat:
            data = element if isinstance(element, bytes) else str(element).encode()
            parts += (len(data).to_bytes(_LENGTH_BYTES, "little"), data)
        return b"".join(parts)
    if array.flags.c_contiguous and array.size and array.dtype.byteorder != ">":
        return array.data.cast("B")
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def to_json(name: str, array: Array) -> bytes:
    """The elements of `array` as one flat JSON list.

    What is not a number is null, as with KServe. Raises `InputWrong` for what no JSON can hold: infinity, and strings
    that are not UTF-8.
    """
    flat = array.reshape(-1)
    if flat.dtype.kind == "f" and np.isinf(flat).any():
        raise InputWrong(f"Tensor {name!r} holds infinity, and JSON has no word for it.", "Ask for it as binary_data.")
    if flat.dtype.kind in "OSU":
        try:
            return msgspec.json.encode([e.decode() if isinstance(e, bytes) else str(e) for e in flat])
        except UnicodeDecodeError as error:
            raise InputWrong(
                f"Tensor {name!r} holds a string that is not UTF-8.", "Ask for it as binary_data."
            ) from error
    return msgspec.json.encode(flat.tolist())
