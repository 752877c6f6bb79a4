"""ONNX Runtime on the CPU of a gateway: one thread, no spinning, memory given back on close."""

from collections.abc import Mapping
from pathlib import Path

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as state

from edge_agent import memory
from edge_agent.failures import ArtifactRejected
from edge_agent.runtimes.session import Array, InferenceFailed
from fleet_contract.manifest import Tensor

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
# They have no base of their own below Exception.
_FAILURES = (
    state.EPFail,
    state.EngineError,
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NoModel,
    state.NoSuchFile,
    state.NotImplemented,
    state.RuntimeException,
    RuntimeError,
    ValueError,
)


class OnnxSession:
    """A `Session` of one .onnx file. Raises `ArtifactRejected`, "model-unreadable", when it is none."""

    def __init__(self, path: Path) -> None:
        options = ort.SessionOptions()
        # A gateway has other work: by default one model spins on every core between two records.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        options.log_severity_level = 4
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except _FAILURES as error:
            raise ArtifactRejected(
                f"ONNX Runtime {ort.__version__} cannot read the artifact: {str(error).strip()}",
                "Build the version again; if it is a newer ONNX, update the agent.",
                code="model-unreadable",
            ) from error
        self.inputs = tuple(_tensor(node) for node in self._session.get_inputs())
        self.outputs = tuple(_tensor(node) for node in self._session.get_outputs())

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        try:
            values = self._session.run(None, dict(inputs))
        except _FAILURES as error:
            raise InferenceFailed(f"The model could not answer: {str(error).strip()}") from error
        return {tensor.name: value for tensor, value in zip(self.outputs, values, strict=True)}

    def close(self) -> None:
        del self._session
        memory.give_back()


def _tensor(node: ort.NodeArg) -> Tensor:
    # A free dimension comes as a name or None.
    shape = tuple(size if isinstance(size, int) else -1 for size in node.shape)
    return Tensor(node.name, _DTYPES.get(node.type, node.type), shape)
