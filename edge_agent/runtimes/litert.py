"""LiteRT, or its elder tflite-runtime: interpreters for one thread each, lent to many."""

import ctypes
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edge_agent import memory
from edge_agent.config import Runtime
from edge_agent.failures import ArtifactRejected
from edge_agent.runtimes.session import Array, InferenceFailed
from edge_agent.runtimes.size import is_large_batch
from edge_agent.runtimes.strings import as_bytes
from fleet_contract.manifest import Tensor
from fleet_contract.tflite import Signature, names

try:
    import ai_edge_litert as package
    from ai_edge_litert import interpreter as lite
except ModuleNotFoundError:
    import tflite_runtime as package
    from tflite_runtime import interpreter as lite

    if int(np.__version__.partition(".")[0]) >= 2:
        # It says so only when the first model is loaded, and then with a SystemError.
        raise ImportError(f"tflite-runtime needs NumPy below 2, and {np.__version__} is here") from None

VERSION = f"{package.__name__} {package.__version__}"
#: LiteRT's own kernels, without any delegate.
CPU = "CPU"
#: The delegate that LiteRT brings and applies by itself.
XNNPACK = "XNNPACK"
_DTYPES = {
    np.dtype("bool"): "BOOL",
    np.dtype("uint8"): "UINT8",
    np.dtype("uint16"): "UINT16",
    np.dtype("uint32"): "UINT32",
    np.dtype("uint64"): "UINT64",
    np.dtype("int8"): "INT8",
    np.dtype("int16"): "INT16",
    np.dtype("int32"): "INT32",
    np.dtype("int64"): "INT64",
    np.dtype("float16"): "FP16",
    np.dtype("float32"): "FP32",
    np.dtype("float64"): "FP64",
    np.dtype("S"): "BYTES",
}
_FAILURES = (ValueError, RuntimeError, TypeError, SystemError)


class LitertSession:
    """A `Session` of one .tflite file with one delegate, which comes from `library` when LiteRT does not bring it.

    The batch is resized as inputs come. Tensors have the names of the model's signature, where it has one for its main
    graph, else their own. An interpreter serves one thread at a time: a second one is made when two threads ask at
    once, up to `settings.parallel`; they share the file's pages.

    Raises `ArtifactRejected`: "model-unreadable" when the file is none, "provider-unusable" when the delegate does not
    take the model, or is not there.
    """

    def __init__(
        self, path: Path, delegate: str = XNNPACK, settings: Runtime | None = None, library: str | None = None
    ) -> None:
        self._path = path
        self._delegate = delegate
        self._library = library
        self._settings = settings or Runtime()
        self._changed = threading.Condition()
        self._made = 1
        first = self._make()
        self._idle = [first]
        self.inputs = tuple(tensor for tensor, _ in first.takes)
        self.outputs = tuple(tensor for tensor, _ in first.gives)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        if unknown := inputs.keys() - {tensor.name for tensor in self.inputs}:
            raise InferenceFailed(f"The model has no input {', '.join(sorted(unknown))}.")
        given = [_checked(tensor, inputs) for tensor in self.inputs]
        with self._lent(keep=not is_large_batch(inputs)) as interpreter:
            return interpreter.run(given)

    def bears_change(self) -> bool:
        # Each interpreter takes a copy before it looks at anything.
        return True

    def close(self) -> None:
        self._idle.clear()
        memory.give_back()

    def _make(self) -> "_Interpreter":
        return _Interpreter(self._path, self._delegate, self._settings, self._library)

    def _another(self) -> "_Interpreter":
        try:
            return self._make()
        except ArtifactRejected as error:
            raise InferenceFailed(f"The model could not be loaded once more: {error.what}") from error

    @contextmanager
    def _lent(self, keep: bool = True) -> Iterator["_Interpreter"]:
        """One for the caller alone; afterwards it goes unless it is to be kept."""
        with self._changed:
            self._changed.wait_for(lambda: self._idle or self._made < self._settings.parallel)
            interpreter = self._idle.pop() if self._idle else None
            self._made += interpreter is None
        try:
            if interpreter is None:
                interpreter = self._another()
            yield interpreter
        except BaseException:
            # One that failed half way may have other shapes than it thinks; the next is made from the file.
            interpreter = None
            raise
        finally:
            with self._changed:
                if interpreter is None or not keep:
                    self._made -= 1
                else:
                    self._idle.append(interpreter)
                self._changed.notify()


class _Interpreter:
    """One interpreter, for one thread at a time."""

    def __init__(self, path: Path, delegate: str, settings: Runtime, library: str | None) -> None:
        self._lite = _interpreter(path, delegate, settings, library)
        try:
            self._lite.allocate_tensors()
            takes, gives = self._lite.get_input_details(), self._lite.get_output_details()
            known = names([one["index"] for one in takes], [one["index"] for one in gives], _signatures(self._lite))
            self.takes = [_tensor(one, known.inputs) for one in takes]
            self.gives = [_tensor(one, known.outputs) for one in gives]
        except _FAILURES as error:
            raise _unreadable(error) from error
        self._shapes = [tuple(one["shape"]) for one in takes]

    def run(self, given: list[Array]) -> dict[str, Array]:
        """All outputs for the inputs, in the order of `takes`. Raises `InferenceFailed`."""
        try:
            shapes = [array.shape for array in given]
            if shapes != self._shapes:
                for (_, index), shape, before in zip(self.takes, shapes, self._shapes, strict=True):
                    if shape != before:
                        self._lite.resize_tensor_input(index, shape)
                self._lite.allocate_tensors()
                self._shapes = shapes
            for (_, index), array in zip(self.takes, given, strict=True):
                self._set(index, array)
            self._lite.invoke()
            return {tensor.name: self._lite.get_tensor(index) for tensor, index in self.gives}
        except _FAILURES as error:
            raise InferenceFailed(f"The model could not answer: {str(error).strip()}") from error

    def _set(self, index: int, array: Array) -> None:
        if array.dtype == np.uint16:
            # tflite-runtime does not know it in `set_tensor`.
            self._lite.tensor(index)()[...] = array
        else:
            self._lite.set_tensor(index, array)


def _interpreter(path: Path, delegate: str, settings: Runtime, library: str | None) -> Any:
    kinds = lite.OpResolverType
    kind = kinds.AUTO if delegate == XNNPACK else kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    own = []
    if library is not None:
        try:
            own = [_delegate(library, settings.options.get(delegate, {}))]
        except (*_FAILURES, OSError, AttributeError) as error:
            raise _unusable(delegate, error) from error
    try:
        made = lite.Interpreter(str(path), num_threads=settings.threads, experimental_op_resolver_type=kind)
    except _FAILURES as error:
        raise _unreadable(error) from error
    if own:
        # By the constructor it would not be known whose fault it is.
        try:
            made._delegates = own
            made._interpreter.ModifyGraphWithDelegate(own[0]._get_native_delegate_pointer())
        except _FAILURES as error:
            raise _unusable(delegate, error) from error
    return made


def _delegate(library: str, options: Mapping[str, str]) -> Any:
    found = ctypes.CDLL(library)
    for name in ("tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate"):
        # Asked for here, since LiteRT leaves a half made object behind whose destructor fails.
        getattr(found, name)
    return lite.load_delegate(library, dict(options))


def _checked(tensor: Tensor, inputs: Mapping[str, Array]) -> Array:
    array = inputs.get(tensor.name)
    if array is None:
        raise InferenceFailed(f"The input {tensor.name} is missing.")
    if len(array.shape) != len(tensor.shape) or any(
        promised not in (-1, size) for promised, size in zip(tensor.shape, array.shape, strict=True)
    ):
        raise InferenceFailed(f"The input {tensor.name} has the shape {array.shape}, and takes {tensor.shape}.")
    if tensor.dtype == "BYTES":
        return as_bytes(array)
    if _DTYPES.get(array.dtype) != tensor.dtype:
        raise InferenceFailed(f"The input {tensor.name} is {array.dtype}, and takes {tensor.dtype}.")
    return array


def _signatures(interpreter: Any) -> Iterator[Signature]:
    for key, one in interpreter._get_full_signature_list().items():
        yield Signature(interpreter._interpreter.GetSubgraphIndexFromSignature(key), one["inputs"], one["outputs"])


def _tensor(details: Mapping[str, Any], known: Mapping[int, str]) -> tuple[Tensor, int]:
    index = int(details["index"])
    # An empty one: nothing is free.
    shape = details["shape_signature"] if len(details["shape_signature"]) else details["shape"]
    dtype = np.dtype(details["dtype"])
    return (
        Tensor(known.get(index, details["name"]), _DTYPES.get(dtype, str(dtype)), tuple(int(size) for size in shape)),
        index,
    )


def _unreadable(error: Exception) -> ArtifactRejected:
    return ArtifactRejected(
        f"{VERSION} cannot read the artifact: {str(error).strip()}",
        "Build the version again; if it is a newer TFLite, update the agent.",
        code="model-unreadable",
    )


def _unusable(delegate: str, error: Exception) -> ArtifactRejected:
    return ArtifactRejected(
        f"The delegate {delegate} cannot take the model on this device: {str(error).strip()}",
        "Check its library and driver, or leave it out of [runtime] providers.",
        code="provider-unusable",
    )
