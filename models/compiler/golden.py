"""Golden sets: inputs with the outputs of the source model, and how far an artifact is from them."""

import io
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleet_contract.manifest import Tensor
from models.errors import ArtifactUnfit

#: A golden set travels to every device, so no honest one is larger.
MAX_UNPACKED_BYTES = 64 * 1024 * 1024

#: Kinds of dtypes, as NumPy calls them, that a file may hold strings in.
_STRINGS = "SU"

Arrays = Mapping[str, NDArray[Any]]

_DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
}


@dataclass(frozen=True)
class Closeness:
    """How close outputs are to the golden ones.

    `agreement` is the share, 0 to 1, of samples with the same arg-max of the first output. `max_abs_error` is the
    largest over samples and outputs of the mean absolute difference within a sample; infinite when an output is no
    number, or a string that is not the same.
    """

    agreement: float
    max_abs_error: float

    def worse(self, other: "Closeness") -> "Closeness":
        """What holds for both."""
        return Closeness(min(self.agreement, other.agreement), max(self.max_abs_error, other.max_abs_error))


def pack(inputs: Arrays, outputs: Arrays) -> bytes:
    """An .npz with `inputs/<name>` and `outputs/<name>`: equal arrays give equal bytes."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        **{f"inputs/{name}": values for name, values in inputs.items()},
        **{f"outputs/{name}": values for name, values in outputs.items()},
    }
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def unpack(data: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """The inputs and outputs in `data`, from anybody. Raises `ArtifactUnfit`, "golden-set-unreadable"."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(item.file_size for item in archive.infolist())
        if size > MAX_UNPACKED_BYTES:
            raise ValueError(f"it unpacks to {size} bytes, and at most {MAX_UNPACKED_BYTES} may be")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            loaded = {name: np.asarray(arrays[name]) for name in arrays.files}
    except (ValueError, KeyError, OSError, EOFError, NotImplementedError, MemoryError, RuntimeError) as error:
        raise _unreadable(str(error)) from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise _unreadable(str(error)) from error
    inputs = {name.removeprefix("inputs/"): array for name, array in loaded.items() if name.startswith("inputs/")}
    outputs = {name.removeprefix("outputs/"): array for name, array in loaded.items() if name.startswith("outputs/")}
    if not inputs or not outputs:
        raise _unreadable("it has no inputs/<name> or no outputs/<name>")
    if any(array.ndim == 0 for array in loaded.values()):
        raise _unreadable("one of its arrays has no rows")
    if len(rows := {len(array) for array in loaded.values()}) != 1 or 0 in rows:
        raise _unreadable(f"its arrays have {sorted(rows)} rows, and all must have the same, at least one")
    return inputs, outputs


def check_fits(what: str, arrays: Arrays, tensors: Sequence[Tensor]) -> None:
    """Raises `ArtifactUnfit`, "golden-set-unreadable", unless `arrays` are rows of exactly these `tensors`."""
    names = {tensor.name for tensor in tensors}
    wrong = [f"{name} is {'missing' if name in names else 'unknown'}" for name in sorted(names ^ set(arrays))]
    for tensor in tensors:
        if (array := arrays.get(tensor.name)) is None:
            continue
        shape_fits = array.ndim == len(tensor.shape) and all(
            # Of the first dimension, the batch, there may be several.
            wanted in (-1, size) or (not at and wanted > 0 and not size % wanted)
            for at, (wanted, size) in enumerate(zip(tensor.shape, array.shape, strict=True))
        )
        dtype_fits = (
            array.dtype.kind in _STRINGS if tensor.dtype == "BYTES" else array.dtype == _DTYPES.get(tensor.dtype)
        )
        if not dtype_fits or not shape_fits:
            wrong.append(
                f"{tensor.name} is {array.dtype} {list(array.shape)} and must be {tensor.dtype} {list(tensor.shape)}"
            )
    if wrong:
        raise _unreadable(f"of its {what}, {'; '.join(wrong)}")


def batch_of(inputs: Sequence[Tensor]) -> int:
    """How many records a model takes at a time; 0 for any number."""
    return max(0, inputs[0].shape[0]) if inputs[0].shape else 1


def in_steps(run: Callable[[Arrays], Arrays], inputs: Arrays, rows: int) -> dict[str, NDArray[Any]]:
    """What `run` gives of `inputs`, so many rows at a time."""
    total = len(next(iter(inputs.values())))
    steps = [run({name: one[at : at + rows] for name, one in inputs.items()}) for at in range(0, total, rows)]
    return {name: np.concatenate([step[name] for step in steps]) for name in steps[0]}


def closeness(expected: Arrays, got: Arrays, first: str) -> Closeness:
    """How close `got` is to `expected`, where `first` is the output whose arg-max names the label."""
    same = _labels(expected[first]) == _labels(got[first])
    error = 0.0
    for name, values in expected.items():
        if values.dtype.kind in _STRINGS:
            error = error if np.array_equal(texts(values), texts(got[name])) else float("inf")
            continue
        rows = np.abs(got[name].astype(np.float64) - values.astype(np.float64)).reshape(len(values), -1).mean(1)
        error = max(error, float(rows.max()) if np.isfinite(rows).all() else float("inf"))
    return Closeness(float(same.mean()), error)


def texts(array: NDArray[Any]) -> NDArray[Any]:
    """`array` of strings of any kind as an array of `str` objects. Raises `ArtifactUnfit` where it is not UTF-8."""
    found = np.empty(array.shape, object)
    try:
        found.reshape(-1)[:] = [one.decode() if isinstance(one, bytes) else str(one) for one in array.reshape(-1)]
    except UnicodeDecodeError as error:
        raise _unreadable(f"a string of it is not UTF-8: {error}") from error
    return found


def _labels(scores: NDArray[Any]) -> NDArray[Any]:
    if scores.dtype.kind in (*_STRINGS, "O"):
        return np.array(["\0".join(row) for row in texts(scores).reshape(len(scores), -1)])
    return np.asarray(scores.reshape(len(scores), -1).argmax(1))


def _unreadable(why: str) -> ArtifactUnfit:
    return ArtifactUnfit(
        f"The golden set is not a NumPy .npz of inputs and outputs: {why}.",
        "Build the version again and register the new folder.",
        code="golden-set-unreadable",
    )
