"""Decides whether an artifact may be registered: it is what its manifest says, loads, and answers its golden set.

Anybody may hand in an artifact, so this runs in a process of its own (`models.compiler.confined`).
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from fleet_contract.encoding import decode
from fleet_contract.errors import ContractError
from fleet_contract.manifest import Blob, Manifest, Tensor, check_manifest
from models.errors import ArtifactUnfit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.compiler.golden import Arrays


_RUNTIMES = ("onnx", "tflite")
_INSTALL_COMPILE = "Install the extra `compile` beside the hub: pip install 'vedette[hub,compile]'."
#: What to do where a package is missing that not every hub needs.
_INSTALL = {
    "ai_edge_litert": "Install the extra `litert` beside the hub, too: pip install 'vedette[hub,compile,litert]'.",
}


class Admitted(msgspec.Struct, frozen=True):
    """What the artifact was seen to do here. `latency_us` is the median of answering one record."""

    target: str
    agreement: float
    max_abs_error: float
    samples: int
    latency_us: float
    size_bytes: int
    ok: bool = True


class Refused(msgspec.Struct, frozen=True):
    """Why not: a stable code, a sentence with the numbers, and what to do next."""

    code: str
    detail: str
    remedy: str
    ok: bool = False


def admit(artifact: Path, manifest: Path, golden_set: Path) -> Admitted:
    """The evidence that these three files fit together.

    Raises `ArtifactUnfit` with code "file-missing", "digest-wrong", "runtime-unsupported", "model-unreadable",
    "signature-mismatch", "golden-set-unreadable" or "golden-set-failed"; `ContractError` for the manifest.
    """
    says = _numbered(decode(_read(manifest), Manifest))
    data = _matching(_read(artifact), says.artifact, "artifact")
    golden_data = _matching(_read(golden_set), says.golden.blob, "golden set")
    if says.runtime not in _RUNTIMES:
        raise ArtifactUnfit(
            f"The manifest names the runtime {says.runtime!r}, and only {' and '.join(_RUNTIMES)} can be checked here.",
            "Compile the model for ONNX Runtime or LiteRT.",
            code="runtime-unsupported",
        )

    # These bring numpy and a runtime, which files that are refused above need not wait for.
    from models.compiler import golden

    model = _opened(says.runtime, data)
    _same("inputs", says.inputs, model.inputs)
    _same("outputs", says.outputs, model.outputs)
    inputs, expected = golden.unpack(golden_data)
    golden.check_fits("inputs", inputs, says.inputs)
    golden.check_fits("outputs", expected, says.outputs)
    samples = len(next(iter(inputs.values())))
    if samples != says.golden.samples:
        raise ArtifactUnfit(
            f"The golden set has {samples} samples, and the manifest says {says.golden.samples}.",
            "Build the version again and register the new folder.",
            code="golden-set-unreadable",
        )
    got = golden.in_steps(model.run, inputs, golden.batch_of(says.inputs) or samples)
    if wrong := [name for name, values in expected.items() if got[name].shape != values.shape]:
        raise ArtifactUnfit(
            f"The model answers the golden set in another shape than the golden outputs: {', '.join(wrong)}.",
            "Build the version again and register the new folder.",
            code="golden-set-failed",
        )
    close = golden.closeness(expected, got, says.probabilities or says.outputs[0].name)
    if close.agreement < says.golden.min_agreement or not close.max_abs_error <= says.golden.max_abs_error:
        raise ArtifactUnfit(
            f"On {samples} golden samples the artifact agrees with its source on {close.agreement:.4f} (it must on "
            f"{says.golden.min_agreement:.4f}) and is off by {close.max_abs_error:.4g} at most (it may be by "
            f"{says.golden.max_abs_error:.4g}).",
            "The artifact is not the model that the golden set was made with, or lost too much in compiling.",
            code="golden-set-failed",
        )
    return Admitted(
        target=says.target,
        agreement=close.agreement,
        max_abs_error=close.max_abs_error,
        samples=samples,
        latency_us=model.latency_us(inputs),
        size_bytes=len(data),
    )


def verdict(artifact: Path, manifest: Path, golden_set: Path) -> Admitted | Refused:
    """`admit`, with the refusal as a value."""
    try:
        return admit(artifact, manifest, golden_set)
    except (ArtifactUnfit, ContractError) as error:
        return Refused(error.code, error.what, error.remedy or "Hand in a folder that `vedette models build` made.")
    except ModuleNotFoundError as error:
        return Refused(
            "tool-missing",
            f"Checking an artifact needs the package {error.name}, and it is not installed here.",
            _INSTALL.get(error.name or "", _INSTALL_COMPILE),
        )
    except MemoryError:
        return Refused(
            "model-unreadable",
            "Loading the model takes more memory than a check may have.",
            "Register a smaller model, or give the check more with --memory-mib.",
        )


class _Model(Protocol):
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def run(self, inputs: "Arrays") -> "dict[str, NDArray[Any]]": ...

    def latency_us(self, inputs: "Arrays") -> float: ...


def _opened(runtime: str, data: bytes) -> _Model:
    if runtime == "tflite":
        from models.compiler.tflite import TfliteModel

        return TfliteModel(data)
    from models.compiler.session import Model, quiet

    quiet()
    return Model(data)


def _numbered(manifest: Manifest) -> Manifest:
    # 0 stands for the number that the hub gives next; everything else must already be right.
    return check_manifest(msgspec.structs.replace(manifest, version=manifest.version or 1))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactUnfit(
            f"{path.name} cannot be read: {error.strerror or error}.", "Name a file that is there.", code="file-missing"
        ) from error


def _matching(data: bytes, blob: Blob, what: str) -> bytes:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    if (digest, len(data)) != (blob.digest, blob.size_bytes):
        raise ArtifactUnfit(
            f"The {what} has {len(data)} bytes and digest {digest}, and its manifest says {blob.size_bytes} bytes and "
            f"{blob.digest}.",
            "It was changed or damaged after the build; upload it again from the build's folder.",
            code="digest-wrong",
        )
    return data


def _same(what: str, said: Sequence[Tensor], found: Sequence[Tensor]) -> None:
    if tuple(said) != tuple(found):
        raise ArtifactUnfit(
            f"The model's {what} are {_words(found)}, and its manifest says {_words(said)}.",
            "Build the manifest from this very model with `vedette models build`.",
            code="signature-mismatch",
        )


def _words(tensors: Sequence[Tensor]) -> str:
    return ", ".join(f"{one.name} {one.dtype} {list(one.shape)}" for one in tensors) or "none"
