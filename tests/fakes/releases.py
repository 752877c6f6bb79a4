"""Manifests that are small, true to the contract, and as different as a test asks for."""

import hashlib
from datetime import UTC, datetime

from fleet_contract.because import Because
from fleet_contract.manifest import Blob, Golden, Histogram, Manifest, Provenance, Reference, Tensor

BUILT_AT = datetime(2026, 11, 1, tzinfo=UTC)


def blob_of(data: bytes) -> Blob:
    return Blob("sha256:" + hashlib.sha256(data).hexdigest(), len(data))


def a_manifest(
    version: int = 1,
    *,
    model: str = "digits",
    target: str = "cpu-vnni",
    artifact: Blob | None = None,
    golden: Golden | None = None,
    inputs: tuple[Tensor, ...] = (Tensor("image", "FP32", (-1, 4)),),
    outputs: tuple[Tensor, ...] = (Tensor("scores", "FP32", (-1, 3)),),
    labels: tuple[str, ...] = ("0", "1", "2"),
    task: str = "classification",
    probabilities: str = "",
    runtime: str = "onnx",
) -> Manifest:
    """A manifest of `version`; blobs that are not given are named, but nowhere."""
    return Manifest(
        model=model,
        version=version,
        target=target,
        runtime=runtime,
        artifact=artifact or blob_of(f"artifact of {model} {version} {target}".encode()),
        inputs=inputs,
        outputs=outputs,
        task=task,
        labels=labels,
        reference=Reference(10, {"0": 5, "1": 5}, Histogram((0.5,), (2, 8))),
        golden=golden or Golden(blob_of(f"golden of {model} {version}".encode()), 8, 0.9, 0.5),
        provenance=Provenance("tests", "sha256:" + "0" * 64, BUILT_AT, {}, 100, 0.9, 0.91),
        probabilities=probabilities,
    )


def why(code: str = "rolled-out") -> Because:
    return Because(code, "A rollout says so.")
