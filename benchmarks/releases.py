"""A part of `benchmarks.decide` and `benchmarks.orders`: versions of models that nobody has to compile or fetch."""

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session

from cloud_hub.releases.tables import Artifact, Model, Version
from fleet_contract.encoding import encode
from fleet_contract.manifest import Blob, Golden, Histogram, Manifest, Provenance, Reference, Tensor, sign_manifest
from fleet_contract.signing import PrivateKey

_KEY = PrivateKey(b"r" * 32)
_LABELS = tuple(map(str, range(10)))


def register(session: Session, model: str, versions: int, targets: Sequence[str], at: datetime) -> None:
    """`model` with versions 1 to `versions`, each with an artifact for each of `targets`."""
    session.add(Model(name=model, created_at=at, newest=versions))
    session.flush()
    for number in range(1, versions + 1):
        session.add(
            Version(
                model=model,
                version=number,
                created_at=at,
                task="classification",
                labels=list(_LABELS),
                content=f"{model}{number}",
            )
        )
        session.flush()
        session.add_all(
            _artifact(model, number, target, digest(number, place), at) for place, target in enumerate(targets)
        )


def digest(version: int, place: int) -> str:
    """What the artifact for the target at `place` of `targets` is called."""
    return f"sha256:{version:032}{place:032}"


def _artifact(model: str, version: int, target: str, digest: str, at: datetime) -> Artifact:
    blob, golden = Blob(digest, 1), Blob("sha256:" + "5a" * 32, 1)
    manifest = Manifest(
        model=model,
        version=version,
        target=target,
        runtime="onnx",
        artifact=blob,
        inputs=(Tensor("image", "FP32", (-1, 64)),),
        outputs=(Tensor("scores", "FP32", (-1, len(_LABELS))),),
        task="classification",
        labels=_LABELS,
        reference=Reference(100, dict.fromkeys(_LABELS, 10), Histogram((0.5,), (20, 80))),
        golden=Golden(golden, 8, 0.9, 0.5),
        provenance=Provenance("benchmark", blob.digest, at, {}, 100, 0.9, 0.9),
    )
    return Artifact(
        model=model,
        version=version,
        target=target,
        runtime="onnx",
        digest=digest,
        size_bytes=1,
        golden_digest=golden.digest,
        accuracy=1.0,
        source_accuracy=1.0,
        golden_agreement=1.0,
        signed=encode(sign_manifest(manifest, _KEY)).decode(),
    )
