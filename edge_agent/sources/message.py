"""What a message says of a record: tensors in JSON, the bytes of one tensor, or a picture."""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, TypeAlias, assert_never

import msgspec
import numpy as np

from edge_agent.errors import AgentError, SourceWrong
from edge_agent.runtimes.session import Array
from edge_agent.sources.picture import PictureUnreadable, Preparation
from edge_agent.sources.rows import dtype_of, only_input, row_of
from edge_agent.sources.settings import Mqtt
from fleet_contract.manifest import Manifest, Tensor

Reading: TypeAlias = Callable[[bytes], Mapping[str, Array]]


class MessageWrong(AgentError):
    """This message holds no record for the model: the next may."""

    code = "message-wrong"


def reading(settings: Mqtt, manifest: Manifest) -> Reading:
    """How to read a payload for the model; it raises `MessageWrong`. Raises `SourceWrong` when none can fit."""
    match settings.payload:
        case "picture":
            return _pictures(Preparation(settings.picture, manifest))
        case "raw":
            return _raw(only_input(manifest), manifest)
        case "json":
            return _json(manifest)
        case _:
            assert_never(settings.payload)


class _Labelled(msgspec.Struct):
    label: Any = None


def label_of(payload: bytes, manifest: Manifest) -> Any:
    """What a JSON `payload` that was read says of its record's true label; None when it says nothing."""
    if any(tensor.name == "label" for tensor in manifest.inputs):
        return None
    return msgspec.json.decode(payload, type=_Labelled).label


def _pictures(preparation: Preparation) -> Reading:
    def read(payload: bytes) -> Mapping[str, Array]:
        try:
            return preparation.read(payload)
        except PictureUnreadable as error:
            raise MessageWrong(error.what) from error

    return read


def _raw(tensor: Tensor, manifest: Manifest) -> Reading:
    dtype, row = np.dtype(dtype_of(tensor, manifest)).newbyteorder("<"), row_of(tensor, manifest)
    if -1 in row:
        raise SourceWrong(
            f"Input {tensor.name} of model {manifest.model} has records of {row}: bytes alone do not say their shape.",
            "Set payload to json.",
        )
    wanted = prod(row) * dtype.itemsize

    def read(payload: bytes) -> Mapping[str, Array]:
        if len(payload) != wanted:
            raise MessageWrong(f"It has {len(payload)} bytes, and {tensor.name} takes {wanted}.")
        return {tensor.name: np.frombuffer(payload, dtype).reshape(1, *row)}

    return read


def _json(manifest: Manifest) -> Reading:
    wanted = {tensor.name: (dtype_of(tensor, manifest), row_of(tensor, manifest)) for tensor in manifest.inputs}

    def read(payload: bytes) -> Mapping[str, Array]:
        values = _values(payload)
        if missing := wanted.keys() - values.keys():
            raise MessageWrong(f"It has no {', '.join(sorted(missing))}.")
        return {name: _row(name, values[name], dtype, row) for name, (dtype, row) in wanted.items()}

    return read


def _values(payload: bytes) -> dict[str, Any]:
    """By the tensor's name, from either of the two forms."""
    try:
        document = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageWrong(f"It is not JSON: {error}.") from error
    if not isinstance(document, dict):
        raise MessageWrong("It is JSON, and no object with a key for each input.")
    listed = document.get("inputs")
    if not (isinstance(listed, list) and listed and isinstance(listed[0], dict)):
        return document
    try:
        return {one["name"]: one["data"] for one in listed}
    except (KeyError, TypeError) as error:
        raise MessageWrong("An element of its `inputs` has no name or no data.") from error


def _row(name: str, value: Any, dtype: type[np.generic], row: tuple[int, ...]) -> Array:
    try:
        with np.errstate(over="raise"):
            array = np.asarray(value, dtype)
    except (ValueError, TypeError, OverflowError, FloatingPointError) as error:
        raise MessageWrong(f"Its {name} is no array of {dtype.__name__}: {error}.") from error
    for shape in (array.shape, array.shape[1:] if array.shape[:1] == (1,) else None):
        if shape is not None and len(shape) == len(row) and all(map(_fits, row, shape)):
            return array.reshape(1, *shape)
    if array.ndim in (1, 2) and -1 not in row and array.size == prod(row) and array.shape[:-1] in ((), (1,)):
        # The protocol's JSON may give the values of any shape in one list.
        return array.reshape(1, *row)
    raise MessageWrong(f"Its {name} has the shape {array.shape}, and a record of it {row}.")


def _fits(want: int, have: int) -> bool:
    return want in (-1, have)
