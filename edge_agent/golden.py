"""The golden set, replayed on this device: does the model give here what its source model gave?"""

import errno
import math
import time
import zipfile
import zlib
from pathlib import Path
from typing import IO

import msgspec
import numpy as np
from numpy.lib import format as npy

from edge_agent.failures import ArtifactRejected, disk_trouble
from edge_agent.runtimes.session import Array, Session
from edge_agent.runtimes.strings import as_bytes
from fleet_contract.manifest import Manifest

#: A golden set that unpacks to more is refused: the model that it is replayed on needs memory too.
MAX_UNPACKED_BYTES = 64 * 1024 * 1024
#: Kinds of dtypes, as NumPy calls them.
_NUMBERS = "fiub"


class Verdict(msgspec.Struct, frozen=True):
    """What a replay measured. `agreement` is None for a task that names no labels."""

    samples: int
    agreement: float | None
    error: float
    """The largest, over samples and outputs, of a sample's mean absolute difference."""
    median_ms: float
    slowest_ms: float
    on: str = ""
    """The provider or delegate that computed it, where there is a choice."""

    def __str__(self) -> str:
        where = f" on {self.on}" if self.on else ""
        labels = "" if self.agreement is None else f"{self.agreement:.1%} of the labels agree, "
        return (
            f"Golden set of {self.samples}{where}: {labels}largest error {self.error:.3g}, "
            f"median {self.median_ms:.2f} ms, slowest {self.slowest_ms:.2f} ms."
        )


def replay(session: Session, manifest: Manifest, path: Path) -> Verdict:
    """Replays the golden set at `path` record by record.

    Raises `ArtifactRejected`: "golden-unreadable" when the set is not what the manifest says, "golden-disagrees" when
    the answers are not close enough. Raises `InferenceFailed` when the model cannot answer, `TryLater` when the disk
    cannot be read.
    """
    try:
        arrays = _read(path, manifest)
    except ArtifactRejected:
        # Where a disk fails, once, zipfile sees the end of the file. "Unreadable" is for ever, so it is read again.
        arrays = _read(path, manifest)
    rows = manifest.golden.samples
    step = max(1, manifest.inputs[0].shape[0] if manifest.inputs[0].shape else 1)
    if rows % step:
        raise _unreadable(f"it has {rows} samples, and the model takes {step} at a time")
    answers: dict[str, list[Array]] = {name.removeprefix("outputs/"): [] for name in arrays if "outputs/" in name}
    milliseconds = []
    for start in range(0, rows, step):
        inputs = {tensor.name: arrays[f"inputs/{tensor.name}"][start : start + step] for tensor in manifest.inputs}
        began = time.perf_counter()
        outputs = session.run(inputs)
        milliseconds.append((time.perf_counter() - began) * 1000)
        for name, values in answers.items():
            values.append(outputs[name])
    verdict = Verdict(
        samples=rows,
        agreement=_agreement(manifest, arrays, answers),
        error=max((_error(arrays[f"outputs/{name}"], values) for name, values in answers.items()), default=0.0),
        median_ms=float(np.median(milliseconds)),
        slowest_ms=max(milliseconds),
    )
    _judge(verdict, manifest)
    return verdict


def _judge(verdict: Verdict, manifest: Manifest) -> None:
    golden = manifest.golden
    problems = []
    if verdict.agreement is not None and verdict.agreement < golden.min_agreement:
        problems.append(f"{verdict.agreement:.1%} of the labels agree, and {golden.min_agreement:.1%} must")
    # Also when the error is not a number.
    if not verdict.error <= golden.max_abs_error:
        problems.append(f"the largest error is {verdict.error:.3g}, and {golden.max_abs_error:.3g} may be")
    if problems:
        raise ArtifactRejected(
            f"On the golden set of {verdict.samples} samples, {' and '.join(problems)}.",
            "This device computes it differently; compile the version for this device's target.",
            code="golden-disagrees",
        )


def _agreement(manifest: Manifest, arrays: dict[str, Array], answers: dict[str, list[Array]]) -> float | None:
    if manifest.task != "classification":
        return None
    name = manifest.probabilities or manifest.outputs[0].name
    if name not in answers:
        raise _unreadable(f"it lacks the output {name!r} that names the labels")
    if arrays[f"outputs/{name}"].dtype.kind not in _NUMBERS:
        raise _unreadable(f"the output {name!r} that names the labels holds no numbers")
    rows = manifest.golden.samples
    expected = arrays[f"outputs/{name}"].reshape(rows, -1).argmax(axis=1)
    found = np.concatenate(answers[name]).reshape(rows, -1).argmax(axis=1)
    return float((expected == found).mean())


def _error(expected: Array, answers: list[Array]) -> float:
    found = np.concatenate(answers)
    if found.shape != expected.shape:
        return math.inf
    if found.dtype.kind not in _NUMBERS:
        # A file holds strings as NumPy's own, of one length; a session gives them as they are.
        return 0.0 if np.array_equal(as_bytes(found), as_bytes(expected)) else math.inf
    if expected.dtype.kind not in _NUMBERS:
        return math.inf
    difference = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    return float(difference.reshape(len(expected), -1).mean(axis=1).max())


def _read(path: Path, manifest: Manifest) -> dict[str, Array]:
    """The arrays of the .npz at `path`, if they are those that the manifest names and fit into memory."""
    wanted = {f"inputs/{tensor.name}" for tensor in manifest.inputs}
    known = wanted | {f"outputs/{tensor.name}" for tensor in manifest.outputs}
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if missing := wanted - set(members):
                raise _unreadable(f"it lacks {', '.join(sorted(missing))}")
            if not set(members) & (known - wanted):
                raise _unreadable("it has none of the model's outputs")
            members = {name: info for name, info in members.items() if name in known}
            unpacked = sum(info.file_size for info in members.values())
            if unpacked > MAX_UNPACKED_BYTES:
                raise _unreadable(f"it unpacks to {unpacked} bytes, and {MAX_UNPACKED_BYTES} may be")
            arrays = {}
            for name, info in members.items():
                with archive.open(info) as file:
                    _check_header(file, info.file_size)
                with archive.open(info) as file:
                    arrays[name] = npy.read_array(file, allow_pickle=False)
    except OSError as error:
        # What the archive says may lead to a place that no file has; all else is the disk's fault.
        if error.errno in {None, errno.EINVAL}:
            raise _unreadable(str(error)) from error
        raise disk_trouble(error, f"reading {path.name}") from error
    # RuntimeError: an encrypted member; NotImplementedError, a kind of it: an unknown compression.
    except (ValueError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise _unreadable(str(error)) from error
    for name, array in arrays.items():
        if array.shape[:1] != (manifest.golden.samples,):
            raise _unreadable(f"{name} has the shape {array.shape}, and the manifest names {manifest.golden.samples}")
    return arrays


def _check_header(file: IO[bytes], size_bytes: int) -> None:
    """A header may claim any shape, and NumPy allocates what it claims before it reads. Raises ValueError."""
    read = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    if math.prod(shape) * dtype.itemsize > size_bytes:
        raise ValueError(f"an array claims the shape {shape} and has {size_bytes} bytes")


def _unreadable(why: str) -> ArtifactRejected:
    return ArtifactRejected(
        f"The golden set cannot be used: {why}.", "Build the version again.", code="golden-unreadable"
    )
