"""What one record of a model's input is, in NumPy's words."""

import numpy as np

from edge_agent.errors import SourceWrong
from fleet_contract.manifest import Manifest, Tensor

#: The Open Inference Protocol's names of what NumPy can hold and a source can give.
DTYPES: dict[str, type[np.generic]] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}


def dtype_of(tensor: Tensor, manifest: Manifest) -> type[np.generic]:
    """The NumPy type of `tensor`. Raises `SourceWrong` when no source can give it."""
    dtype = DTYPES.get(tensor.dtype)
    if dtype is None:
        raise SourceWrong(f"Model {manifest.model} takes {tensor.dtype} for {tensor.name}, which no source can give.")
    return dtype


def row_of(tensor: Tensor, manifest: Manifest) -> tuple[int, ...]:
    """The shape of one record, without the first dimension, which is the batch. Raises `SourceWrong`."""
    if tensor.shape[:1] not in ((-1,), (1,)):
        raise SourceWrong(
            f"Input {tensor.name} of model {manifest.model} has the shape {tensor.shape}: it takes no single record."
        )
    return tensor.shape[1:]


def only_input(manifest: Manifest) -> Tensor:
    """The input of a model that has one. Raises `SourceWrong`."""
    if len(manifest.inputs) != 1:
        raise SourceWrong(
            f"This source fills one input, and model {manifest.model} has "
            f"{', '.join(tensor.name for tensor in manifest.inputs)}.",
            "Feed it through the socket, or with JSON over MQTT, which may carry several.",
        )
    return manifest.inputs[0]
