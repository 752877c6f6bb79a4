"""Before a model may answer: it loads here, is what its manifest says, answers, and answers what it should."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import msgspec

from edge_agent.allotment import available_bytes
from edge_agent.core.limits import UNLIMITED, Limits
from edge_agent.failures import ArtifactRejected, TryLater, disk_trouble
from edge_agent.live import Loaded
from edge_agent.runtimes.session import Array, InferenceFailed, Session
from edge_agent.update.footprint import resident_bytes
from fleet_contract.manifest import Manifest, Tensor

OpenSession: TypeAlias = Callable[[str, Path], Session]

#: What loading takes besides the artifact itself, in memory, measured for small models.
_LOAD_BYTES = 16 * 1024 * 1024
#: ONNX Runtime lays out the memory that runs need when it has seen one: a client's first would meet that. And it never
#: gives back what the first run of all took: 270 MB where that is one of 40 MB.
_WARM_UPS = 2
_NUMPY_DTYPES = {
    "BOOL": "bool",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "object",
    **{f"{kind}INT{bits}": f"{kind.lower()}int{bits}" for kind in ("", "U") for bits in (8, 16, 32, 64)},
}


class Preflight(msgspec.Struct, frozen=True):
    """Loads models with `open_session`, inside `limits`."""

    open_session: OpenSession
    limits: Limits = UNLIMITED

    def load(self, manifest: Manifest, artifact: Path) -> Loaded:
        """The model, loaded and warmed up.

        Raises `ArtifactRejected` ("model-unreadable", "signature-mismatch", "runtime-missing", "warm-up-failed",
        "memory-exceeded") or `TryLater` ("memory-short").
        """
        before = resident_bytes()
        session = self._open(manifest, artifact)
        try:
            check_signature(manifest, session)
            try:
                _warm_up(session)
            except InferenceFailed as error:
                raise ArtifactRejected(
                    f"The model cannot answer a record of zeros: {error.what}",
                    "Build the version again.",
                    code="warm-up-failed",
                ) from error
            self._check_resident(manifest)
        except BaseException:
            session.close()
            raise
        return Loaded(manifest, session, memory_bytes=max(manifest.artifact.size_bytes, resident_bytes() - before))

    def reopen(self, manifest: Manifest, artifact: Path) -> Session:
        """A session of what `load` has found fit, warmed up as there, after its hash was read back from disk once more.

        Raises `ArtifactRejected` ("digest-wrong", "model-unreadable") or `TryLater` ("memory-short", "disk-failed").
        """
        try:
            with artifact.open("rb") as file:
                digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        except OSError as error:
            raise disk_trouble(error, f"reading {artifact.name} back") from error
        if digest != manifest.artifact.digest:
            raise ArtifactRejected(
                f"The artifact of version {manifest.version} has changed on disk: its digest is {digest[:19]}.",
                "Check the disk; the artifact is fetched again.",
                code="digest-wrong",
            )
        session = self._open(manifest, artifact)
        # It has answered zeros before. If it cannot now, whoever asks it is told why.
        with suppress(InferenceFailed):
            _warm_up(session)
        return session

    def _open(self, manifest: Manifest, artifact: Path) -> Session:
        self._check_room(manifest)
        try:
            return self.open_session(manifest.runtime, artifact)
        except MemoryError as error:
            raise _short(manifest, "there was too little") from error

    def prove(self, loaded: Loaded, golden: Path) -> str:
        """Replays the golden set; a sentence with what it measured.

        Raises `ArtifactRejected` ("golden-unreadable", "golden-disagrees", "golden-failed", "latency-exceeded").
        """
        # NumPy comes with the first model, not with the agent.
        from edge_agent.parity import prove

        try:
            verdict = prove(loaded.session, loaded.manifest, golden)
        except InferenceFailed as error:
            raise ArtifactRejected(
                f"The model cannot answer its golden set: {error.what}",
                "Build the version again.",
                code="golden-failed",
            ) from error
        if self.limits.latency_ms is not None and verdict.median_ms > self.limits.latency_ms:
            raise ArtifactRejected(
                f"A record takes {verdict.median_ms:.2f} ms, and may take {self.limits.latency_ms:.2f} ms here.",
                "Compile a faster version for this target.",
                code="latency-exceeded",
            )
        return str(verdict)

    def _check_room(self, manifest: Manifest) -> None:
        available = available_bytes()
        needed = 2 * manifest.artifact.size_bytes + _LOAD_BYTES
        if available is not None and available < needed:
            raise _short(manifest, f"{available} bytes are available and {needed} are needed")

    def _check_resident(self, manifest: Manifest) -> None:
        resident = resident_bytes()
        if self.limits.resident_bytes is not None and resident > self.limits.resident_bytes:
            raise ArtifactRejected(
                f"With version {manifest.version} loaded the agent takes {resident} bytes of memory, and may take "
                f"{self.limits.resident_bytes}.",
                "Compile a smaller version for this target.",
                code="memory-exceeded",
            )


def _warm_up(session: Session) -> None:
    """Raises `InferenceFailed`."""
    zeros = {tensor.name: _zeros(tensor) for tensor in session.inputs}
    for _ in range(_WARM_UPS):
        session.run(zeros)


def check_signature(manifest: Manifest, session: Session) -> None:
    """Raises `ArtifactRejected`, "signature-mismatch", unless `session` takes what the manifest says that it takes,
    and gives what it says that it gives."""
    problems = []
    takes, gives = ({tensor.name: tensor for tensor in side} for side in (session.inputs, session.outputs))
    if set(takes) != {tensor.name for tensor in manifest.inputs}:
        named = ", ".join(tensor.name for tensor in manifest.inputs)
        problems.append(f"it takes {', '.join(takes)}, and the manifest names {named}")
    for promised in manifest.inputs:
        found = takes.get(promised.name)
        # Free in the model, fixed in the manifest: fine, the model takes that size too.
        if found is not None and not _fits(promised, found, free=found):
            problems.append(f"input {_shown(found)} is {_shown(promised)} in the manifest")
    for promised in manifest.outputs:
        found = gives.get(promised.name)
        if found is None:
            problems.append(f"it gives {', '.join(gives)}, and not {promised.name}")
        # Free in the model: known only when it answers.
        elif not _fits(promised, found, free=promised) and not _fits(promised, found, free=found):
            problems.append(f"output {_shown(found)} is {_shown(promised)} in the manifest")
    if problems:
        raise ArtifactRejected(
            f"The artifact is not what its manifest says: {'; '.join(problems)}.",
            "Build and register the version again.",
            code="signature-mismatch",
        )


def _fits(promised: Tensor, found: Tensor, free: Tensor) -> bool:
    return (
        promised.dtype == found.dtype
        and len(promised.shape) == len(found.shape)
        and all(a == b or c == -1 for a, b, c in zip(promised.shape, found.shape, free.shape, strict=True))
    )


def _shown(tensor: Tensor) -> str:
    return f"{tensor.name} {tensor.dtype}[{','.join(str(size) for size in tensor.shape)}]"


def _zeros(tensor: Tensor) -> Array:
    import numpy as np

    shape = tuple(1 if size < 0 else size for size in tensor.shape)
    if tensor.dtype == "BYTES":
        return np.full(shape, "", dtype=object)
    return np.zeros(shape, dtype=_NUMPY_DTYPES[tensor.dtype])


def _short(manifest: Manifest, how: str) -> TryLater:
    return TryLater(
        f"Memory is short for version {manifest.version}: {how}.",
        "Stop something else on this device; it goes on by itself.",
        code="memory-short",
    )
