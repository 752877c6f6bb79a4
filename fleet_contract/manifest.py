"""A model's manifest: what an artifact is, what it takes and gives, and what it was proved to do.

There is one manifest for each model, version and hardware target; the release key signs it.
"""

from collections import Counter

import msgspec

from fleet_contract.bounds import Moment, Number
from fleet_contract.encoding import decode
from fleet_contract.errors import ManifestWrong
from fleet_contract.signing import Check, PrivateKey, PublicKey, Signed, sign, verify
from fleet_contract.topics import check_id


class Blob(msgspec.Struct, frozen=True):
    """Bytes by content: `digest` is "sha256:" and 64 hexadecimal digits."""

    digest: str
    size_bytes: Number


class Tensor(msgspec.Struct, frozen=True):
    """An input or output. `dtype` in the Open Inference Protocol's words (FP32, UINT8, ...); -1 in `shape` is free."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class Histogram(msgspec.Struct, frozen=True):
    """Counts of a reference over bins: len(edges) + 1 counts (`fleet_contract.histogram.bin_of`)."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class Reference(msgspec.Struct, frozen=True):
    """How the model behaved on held-out data when it was built: what windows are compared with."""

    records: Number
    predictions: dict[str, int]
    confidence: Histogram
    features: dict[str, Histogram] = {}
    """"<input>.<statistic>" to its histogram; a statistic of one record is mean, std, min, max or zeros (a share)."""


class Golden(msgspec.Struct, frozen=True):
    """The golden set: inputs with the outputs that the source model gave them, and how close is close enough.

    `blob` is a NumPy .npz with `inputs/<name>` and `outputs/<name>` arrays, `samples` rows each.
    """

    blob: Blob
    samples: Number
    min_agreement: float
    """The share, 0 to 1, of samples whose predicted label must be that of the source model."""
    max_abs_error: float
    """The largest allowed absolute difference of any output value, averaged over a sample."""


class Provenance(msgspec.Struct, frozen=True):
    """Where the artifact comes from, and the evidence that it is good."""

    recipe: str
    source_digest: str
    built_at: Moment
    tools: dict[str, str]
    training_records: int
    accuracy: float
    """On held-out data, of this very artifact, 0 to 1."""
    source_accuracy: float
    """Of the source model before it was compiled, on the same data."""


class Manifest(msgspec.Struct, frozen=True):
    model: str
    version: Number
    target: str
    runtime: str
    """What loads it: "onnx" or "tflite"."""
    artifact: Blob
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    task: str
    """"classification": the arg-max of output 0 names the label; its largest softmax value is the confidence."""
    labels: tuple[str, ...]
    reference: Reference
    golden: Golden
    provenance: Provenance
    probabilities: str = ""
    """The output that holds class probabilities; empty when output 0 holds logits."""


def check_manifest(manifest: Manifest) -> Manifest:
    """`manifest` if it does not contradict itself. Raises `ManifestWrong`, which says what does."""
    check_id(manifest.model, "model name")
    check_id(manifest.target, "hardware target")
    problems = []
    if manifest.version < 1:
        problems.append(f"version {manifest.version} is below 1")
    for blob, name in ((manifest.artifact, "artifact"), (manifest.golden.blob, "golden set")):
        if not _is_digest(blob.digest):
            problems.append(f"the {name}'s digest {blob.digest!r} is not sha256:<64 hex digits>")
        if blob.size_bytes < 1:
            problems.append(f"the {name} has {blob.size_bytes} bytes")
    if not manifest.inputs or not manifest.outputs:
        problems.append("it names no inputs or no outputs")
    for names, what in (
        ([tensor.name for tensor in manifest.inputs], "input"),
        ([tensor.name for tensor in manifest.outputs], "output"),
        (manifest.labels, "label"),
    ):
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            problems.append(f"it names the {what} {', '.join(sorted(twice))} more than once")
    if manifest.probabilities not in {"", *(tensor.name for tensor in manifest.outputs)}:
        problems.append(f"its probabilities {manifest.probabilities!r} are none of its outputs")
    if manifest.task == "classification" and len(manifest.labels) < 2:
        problems.append(f"a classification needs 2 labels or more, and it has {len(manifest.labels)}")
    if manifest.task == "classification" and any(
        tensor.name == (manifest.probabilities or manifest.outputs[0].name) and tensor.dtype == "BYTES"
        for tensor in manifest.outputs
    ):
        problems.append("its labels are the arg-max of an output of strings: `probabilities` must name one of numbers")
    if unknown := set(manifest.reference.predictions) - set(manifest.labels):
        problems.append(f"its reference counts labels that it does not have: {', '.join(sorted(unknown))}")
    for name, histogram in {
        "confidence": manifest.reference.confidence,
        **manifest.reference.features,
    }.items():
        if len(histogram.counts) != len(histogram.edges) + 1:
            problems.append(f"histogram {name} has {len(histogram.counts)} counts for {len(histogram.edges)} edges")
        if list(histogram.edges) != sorted(histogram.edges):
            problems.append(f"the edges of histogram {name} do not rise")
        if any(count < 0 for count in histogram.counts):
            problems.append(f"histogram {name} has a count below 0")
    if manifest.golden.samples < 1:
        problems.append("its golden set has no samples")
    if not 0.0 <= manifest.golden.min_agreement <= 1.0:
        problems.append(f"min_agreement {manifest.golden.min_agreement} is not between 0 and 1")
    if problems:
        raise ManifestWrong(
            f"The manifest of {manifest.model} version {manifest.version} for {manifest.target} is wrong: "
            f"{'; '.join(problems)}.",
            "Build it again with `vedette models build`.",
        )
    return manifest


def sign_manifest(manifest: Manifest, release_key: PrivateKey) -> Signed:
    return sign("manifest", check_manifest(manifest), release_key)


def open_manifest(envelope: Signed, trusted: tuple[PublicKey, ...], check: Check = verify) -> Manifest:
    """The manifest, if a `trusted` release key signed it. Raises `SignatureWrong`, `Undecodable`, `ManifestWrong`."""
    return check_manifest(decode(check("manifest", envelope, trusted), Manifest))


def _is_digest(text: str) -> bool:
    kind, _, digits = text.partition(":")
    return kind == "sha256" and len(digits) == 64 and set(digits) <= set("0123456789abcdef")
