"""One TFLite model in LiteRT, on one thread of the processor."""

import time
from collections.abc import Iterator, Mapping
from statistics import median
from typing import TYPE_CHECKING, Any

import ai_edge_litert
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from fleet_contract.manifest import Tensor
from fleet_contract.tflite import Signature, names
from models.compiler import golden
from models.errors import ArtifactUnfit

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = f"LiteRT {ai_edge_litert.__version__}"
_DTYPES = {
    np.dtype("bool"): "BOOL",
    **{np.dtype(f"{kind}{bits}"): f"{kind.upper()}{bits}" for kind in ("uint", "int") for bits in (8, 16, 32, 64)},
    **{np.dtype(f"float{bits}"): f"FP{bits}" for bits in (16, 32, 64)},
    np.dtype("S"): "BYTES",
}
_FAILURES = (ValueError, RuntimeError, TypeError, SystemError)


class TfliteModel:
    """A model, loaded. Raises `ArtifactUnfit`, "model-unreadable", when `data` is not a model that runs.

    Tensors have the names of the model's signature, where it has one for its main graph, as on a device.
    """

    def __init__(self, data: bytes) -> None:
        try:
            self._lite = Interpreter(model_content=data, num_threads=1)
            self._lite.allocate_tensors()
            takes, gives = self._lite.get_input_details(), self._lite.get_output_details()
            known = names([one["index"] for one in takes], [one["index"] for one in gives], _signatures(self._lite))
            self._takes = [_tensor(one, known.inputs) for one in takes]
            self._gives = [_tensor(one, known.outputs) for one in gives]
        except _FAILURES as error:
            raise ArtifactUnfit(
                f"{VERSION} cannot read the model: {_first_line(error)}",
                "Convert it again to TFLite, and register that file.",
                code="model-unreadable",
            ) from error
        self.inputs = tuple(tensor for tensor, _ in self._takes)
        self.outputs = tuple(tensor for tensor, _ in self._gives)

    def run(self, inputs: "Mapping[str, NDArray[Any]]") -> "dict[str, NDArray[Any]]":
        """All outputs by name. Raises `ArtifactUnfit`, "model-unreadable", when the model cannot answer."""
        try:
            given = {index: _fed(inputs[tensor.name]) for tensor, index in self._takes}
            for index, array in given.items():
                self._lite.resize_tensor_input(index, array.shape)
            self._lite.allocate_tensors()
            for index, array in given.items():
                self._lite.set_tensor(index, array)
            self._lite.invoke()
            return {tensor.name: self._lite.get_tensor(index) for tensor, index in self._gives}
        except _FAILURES as error:
            raise ArtifactUnfit(
                f"{VERSION} cannot run the model: {_first_line(error)}",
                "Check that the source model answers these inputs, and convert it again.",
                code="model-unreadable",
            ) from error

    def latency_us(self, inputs: "Mapping[str, NDArray[Any]]", runs: int = 200, seconds: float = 0.5) -> float:
        """The median time of answering the first record of `inputs`, or as many as the model takes, in microseconds,
        within some `seconds`."""
        rows = golden.batch_of(self.inputs) or 1
        self.run({name: values[:rows] for name, values in inputs.items()})
        times: list[float] = []
        end = time.perf_counter() + seconds
        while len(times) < runs and (not times or time.perf_counter() < end):
            start = time.perf_counter()
            self._lite.invoke()
            times.append(time.perf_counter() - start)
        return median(times) * 1e6


def _fed(array: "NDArray[Any]") -> "NDArray[Any]":
    return np.char.encode(array).astype(object) if array.dtype.kind == "U" else array


def _signatures(interpreter: Any) -> Iterator[Signature]:
    for key, one in interpreter._get_full_signature_list().items():
        yield Signature(interpreter._interpreter.GetSubgraphIndexFromSignature(key), one["inputs"], one["outputs"])


def _tensor(details: Mapping[str, Any], known: Mapping[int, str]) -> tuple[Tensor, int]:
    index = int(details["index"])
    # An empty one: nothing is free.
    shape = details["shape_signature"] if len(details["shape_signature"]) else details["shape"]
    dtype = np.dtype(details["dtype"])
    name = known.get(index, details["name"])
    return Tensor(name, _DTYPES.get(dtype, str(dtype)), tuple(int(size) for size in shape)), index


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
