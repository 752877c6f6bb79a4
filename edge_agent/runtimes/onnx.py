"""ONNX Runtime on a gateway: one thread, no spinning, memory given back on close."""

import logging
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# First, and as a whole: ONNX Runtime imports a part of it, which two threads at once turn into an import that fails.
import numpy  # noqa: F401
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as state

from edge_agent import memory
from edge_agent.config import Runtime
from edge_agent.failures import ArtifactRejected
from edge_agent.runtimes.optimized import Optimized
from edge_agent.runtimes.readers import bear_change
from edge_agent.runtimes.session import Array, InferenceFailed, InputUnfit
from edge_agent.runtimes.size import is_large_batch
from edge_agent.runtimes.strings import as_bytes, as_text
from fleet_contract.manifest import Tensor

_log = logging.getLogger(__name__)
CPU = "CPUExecutionProvider"
VERSION = f"onnxruntime {ort.__version__}"
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
    "tensor(bfloat16)": "BF16",
    "tensor(string)": "BYTES",
}
_HOST = state.OrtDevice(state.OrtDevice.cpu(), state.OrtDevice.default_memory(), 0)
#: The defaults, which nobody changes: where there are none, looking for them costs as much as half a small model.
_OPTIONS = ort.RunOptions()
#: 60 MB of input have been seen to leave 900 MB in the arena.
_GIVING_BACK = ort.RunOptions()
_GIVING_BACK.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
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


def available() -> tuple[str, ...]:
    """The execution providers that the installed ONNX Runtime was built with."""
    return tuple(ort.get_available_providers())


class OnnxSession:
    """A `Session` of one .onnx file on one execution provider, which leaves to the CPU what it does not know.

    Raises `ArtifactRejected`: "model-unreadable" when the file is none, "provider-unusable" when the provider does
    not take part here. `meanwhile` is called just before ONNX Runtime reads the file, for which it needs no Python.
    """

    def __init__(
        self,
        path: Path,
        provider: str = CPU,
        settings: Runtime | None = None,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        try:
            self._session: Any = _load(path, provider, settings or Runtime(), meanwhile)
        except _FAILURES as error:
            raise ArtifactRejected(
                f"ONNX Runtime {ort.__version__} cannot read the artifact: {str(error).strip()}",
                "Build the version again; if it is a newer ONNX, update the agent.",
                code="model-unreadable",
            ) from error
        # It goes on without a provider that it cannot start.
        if provider not in self._session.get_providers():
            self.close()
            raise ArtifactRejected(
                f"{provider} cannot be started on this device.",
                "Check its driver, or leave it out of [runtime] providers.",
                code="provider-unusable",
            )
        self.inputs = tuple(_tensor(node) for node in self._session.get_inputs())
        self.outputs = tuple(_tensor(node) for node in self._session.get_outputs())
        self._strings_in = frozenset(tensor.name for tensor in self.inputs if tensor.dtype == "BYTES")
        self._strings_out = frozenset(tensor.name for tensor in self.outputs if tensor.dtype == "BYTES")
        self._names = [tensor.name for tensor in self.outputs]
        # What `InferenceSession.run` puts around it costs as much as a small model, and where a provider fails it would
        # go on with another without a word.
        self._run: Any = self._session._sess.run
        self._host_memory = provider == CPU
        self._bound: weakref.WeakSet[OnnxBound] = weakref.WeakSet()
        self._path = path
        self._bears_change: bool | None = None

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        if self._strings_in:
            # ONNX Runtime takes the `repr` of what is not a str.
            inputs = {name: _text(name, one) if name in self._strings_in else one for name, one in inputs.items()}
        try:
            values = self._run(self._names, inputs, _OPTIONS)
            if is_large_batch(inputs):
                # What lies beside an answer stays with it.
                values = [value.copy() for value in values]
                self._give_back(inputs)
        except _FAILURES as error:
            raise InferenceFailed(f"The model could not answer: {str(error).strip()}") from error
        answer: dict[str, Array] = dict(zip(self._names, values, strict=True))
        for name in self._strings_out:
            answer[name] = as_bytes(answer[name])
        return answer

    def _give_back(self, inputs: Mapping[str, Array]) -> None:
        """Has the arena give back what `inputs` have needed, which it does at the end of a run: of one row."""
        try:
            # A threshold or the like may come beside the batch, as a scalar, which has no rows.
            row = {name: one[:1] if one.ndim else one for name, one in inputs.items()}
            self._run(self._names, row, _GIVING_BACK)
        except _FAILURES as error:
            # A batch of a size that never changes is what the model always needs.
            _log.debug("Memory is not given back: %s", error)

    def bind(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> "OnnxBound | None":
        if not self._host_memory:
            return None
        try:
            bound = OnnxBound(self._session._sess, inputs, outputs)
        except (*_FAILURES, TypeError) as error:
            _log.debug("A call of this kind is not bound: %s", error)
            return None
        self._bound.add(bound)
        return bound

    def bears_change(self) -> bool:
        if self._bears_change is None:
            self._bears_change = _bears_change(self._path, [tensor.name for tensor in self.inputs])
        return self._bears_change

    def close(self) -> None:
        # Each of them keeps the session from being given back, and whoever has it may keep it for long.
        for bound in self._bound:
            bound.close()
        self._session = self._run = None
        memory.give_back()


class OnnxBound:
    """A `Bound` of a session on the CPU. `session` is what ONNX Runtime's own is made of."""

    def __init__(self, session: Any, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        binding = state.SessionIOBinding(session)
        for name, array in inputs.items():
            binding.bind_input(name, _HOST, array.dtype.type, array.shape, array.ctypes.data)
        for name, array in outputs.items():
            binding.bind_output(name, _HOST, array.dtype.type, array.shape, array.ctypes.data)
        # Only their addresses are bound.
        self._arrays = inputs, outputs
        self._binding: Any = binding
        self._run: Any = session.run_with_iobinding

    def run(self) -> None:
        try:
            self._run(self._binding, _OPTIONS)
        except _FAILURES as error:
            raise InferenceFailed(f"The model could not answer: {str(error).strip()}") from error

    def close(self) -> None:
        """After the last run."""
        self._binding = self._run = None


def _bears_change(path: Path, inputs: list[str]) -> bool:
    try:
        # Of a large file hardly anything is looked at.
        with path.open("rb") as file:
            return bear_change(file, inputs)
    except (OSError, ValueError) as error:
        _log.warning("Who reads the inputs of %s cannot be told: %s", path.name, error)
        return False


def _load(path: Path, provider: str, settings: Runtime, meanwhile: Callable[[], None]) -> Any:
    """Raises one of `_FAILURES`."""
    if provider == CPU and (session := _load_optimized(path, settings, meanwhile)) is not None:
        return session
    try:
        return _open(path, provider, settings, meanwhile)
    except _FAILURES:
        # A disk may fail to give a byte, once, and ONNX Runtime says that as if the file was no model. "Unreadable" is
        # for ever, so it is asked again.
        return _open(path, provider, settings, meanwhile)


def _load_optimized(path: Path, settings: Runtime, meanwhile: Callable[[], None]) -> Any:
    """The session of what ONNX Runtime has made of the artifact here, now or before; None where there is no such.

    Also the first time it is loaded from the file: what is proved is then what later starts will run.
    """
    kept = Optimized(path, VERSION)
    try:
        found = kept.find()
        if found is None and (target := kept.begin()) is not None:
            _open(path, CPU, settings, meanwhile, write_to=target)
            memory.give_back()
            found = kept.finish()
        return None if found is None else _open(found, CPU, settings, meanwhile, optimize=False)
    except _FAILURES as error:
        _log.warning("%s is loaded as it came: %s", path.name, str(error).strip())
        kept.forget()
        return None


def _open(
    path: Path,
    provider: str,
    settings: Runtime,
    meanwhile: Callable[[], None],
    *,
    optimize: bool = True,
    write_to: Path | None = None,
) -> Any:
    options = ort.SessionOptions()
    # A gateway has other work: by default one model spins on every core between two records.
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 4
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if write_to is not None:
        options.optimized_model_filepath = str(write_to)
        options.add_session_config_entry("session.save_model_format", "ONNX")
    providers = list(dict.fromkeys((provider, CPU)))
    own = [dict(settings.options.get(one, {})) for one in providers]
    # Not sooner: whoever is told takes the interpreter's lock, and this thread would wait for it before it can load.
    meanwhile()
    return ort.InferenceSession(str(path), options, providers=providers, provider_options=own)


def _text(name: str, array: Array) -> Array:
    try:
        return as_text(array)
    except InferenceFailed as error:
        raise InputUnfit(f"Input {name!r} cannot be taken: {error.what}") from error


def _tensor(node: ort.NodeArg) -> Tensor:
    # A free dimension comes as a name or None.
    shape = tuple(size if isinstance(size, int) else -1 for size in node.shape)
    return Tensor(node.name, _DTYPES.get(node.type, node.type), shape)
