"""One ONNX model in ONNX Runtime, on one thread of the processor."""

import time
from collections.abc import Mapping
from statistics import median
from typing import TYPE_CHECKING, Any

import onnxruntime as ort

from fleet_contract.manifest import Tensor
from models.compiler import golden
from models.errors import ArtifactUnfit

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DTYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}


class Model:
    """A model, loaded. Raises `ArtifactUnfit`, "model-unreadable", when `onnx` is not a model that runs.

    `exact` asks for integer arithmetic that cannot saturate, as processors with VNNI have it; on those, and on ARM,
    it changes nothing.
    """

    def __init__(self, onnx: bytes, *, exact: bool = False) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.x64quantprecision", "1" if exact else "0")
        try:
            self._session = ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no base of their own
            raise ArtifactUnfit(
                f"ONNX Runtime {ort.__version__} cannot read the model: {_first_line(error)}",
                "Export it again as ONNX, and register that file.",
                code="model-unreadable",
            ) from error
        self.inputs = tuple(map(_tensor, self._session.get_inputs()))
        self.outputs = tuple(map(_tensor, self._session.get_outputs()))

    def run(self, inputs: "Mapping[str, NDArray[Any]]") -> "dict[str, NDArray[Any]]":
        """All outputs by name. Raises `ArtifactUnfit`, "model-unreadable", when the model cannot answer."""
        try:
            values = self._session.run(None, _fed(inputs))
        except Exception as error:  # as above
            raise ArtifactUnfit(
                f"ONNX Runtime {ort.__version__} cannot run the model: {_first_line(error)}",
                "Check that the source model answers these inputs, and compile it again.",
                code="model-unreadable",
            ) from error
        return {tensor.name: value for tensor, value in zip(self.outputs, values, strict=True)}

    def latency_us(self, inputs: "Mapping[str, NDArray[Any]]", runs: int = 200, seconds: float = 0.5) -> float:
        """The median time of answering the first record of `inputs`, or as many as the model takes, in microseconds,
        within some `seconds`."""
        rows = golden.batch_of(self.inputs) or 1
        one = _fed({name: values[:rows] for name, values in inputs.items()})
        self.run(one)
        times: list[float] = []
        end = time.perf_counter() + seconds
        while len(times) < runs and (not times or time.perf_counter() < end):
            start = time.perf_counter()
            self._session.run(None, one)
            times.append(time.perf_counter() - start)
        return median(times) * 1e6


def quiet() -> None:
    """Keeps ONNX Runtime's notes about graphs, which nobody can act on, off the terminal."""
    ort.set_default_logger_severity(4)


def _fed(inputs: "Mapping[str, NDArray[Any]]") -> "dict[str, NDArray[Any]]":
    """As ONNX Runtime takes them: of strings of bytes it reads on behind the last one."""
    return {name: golden.texts(values) if values.dtype.kind == "S" else values for name, values in inputs.items()}


def _tensor(node: Any) -> Tensor:
    # A free dimension comes as a name or None.
    return Tensor(
        node.name,
        _DTYPES.get(node.type, node.type),
        tuple(size if isinstance(size, int) else -1 for size in node.shape),
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
