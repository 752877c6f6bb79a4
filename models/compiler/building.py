"""Builds one version of a model: train, compile for each target, measure, write the folder."""

import hashlib
import math
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fleet_contract.encoding import encode
from fleet_contract.manifest import Blob, Golden, Manifest, Provenance
from models.compiler import folder, golden
from models.compiler.compiling import Compiled, Evidence, Truth, compile_for, worst_closeness
from models.compiler.reference import reference
from models.compiler.session import Model, quiet
from models.compiler.targets import Target
from models.errors import RecipeWrong
from models.recipe import Budget, Card, Options, Progress, Recipe, Source

# A golden set is replayed on processors that differ in more than saturation (order of sums, fused multiply-adds), so
# it leaves room: this share of its samples, and this much more error than the worst that was measured here.
_AGREEMENT_SLACK = 0.03
_ERROR_FACTOR = 2.0
_ERROR_FLOOR = 0.005


@dataclass(frozen=True)
class Built:
    """One artifact of a finished build."""

    target: str
    digest: str
    evidence: Evidence
    golden_agreement: float
    per_channel: bool


def build(
    card: Card,
    recipe: Recipe,
    options: Options,
    targets: Sequence[Target],
    out: Path,
    built_at: datetime,
    progress: Progress,
) -> tuple[Built, ...]:
    """Builds the model of `recipe` for `targets` into the folder `out` (`models.compiler.folder` says what is there).

    Raises `RecipeWrong`, `OverBudget` or `FolderTaken`; then `out` is as it was.
    """
    folder.check_free(out)
    quiet()
    source = recipe.train(options, progress)
    model = Model(source.onnx)
    outputs = model.run(source.held_out.inputs)
    truth = Truth(source.held_out, outputs, model.outputs[0].name)
    progress(f"source model: accuracy {truth.accuracy:.4f} on {len(source.held_out)} held-out records")
    _check(card, model, truth)

    rows = _spread(len(source.held_out), card.golden_samples)
    golden_set = source.held_out.at(rows)
    expected = {name: values[rows] for name, values in outputs.items()}
    golden_bytes = golden.pack(golden_set.inputs, expected)
    calibration = source.training.at(_spread(len(source.training), card.calibration_records)).inputs

    files = {folder.SOURCE: source.onnx, folder.GOLDEN: golden_bytes}
    built = []
    for target in targets:
        compiled = compile_for(target, source.onnx, calibration, truth, card.budget, progress)
        close = worst_closeness(compiled.onnx, golden_set.inputs, expected, truth.first)
        manifest = _manifest(
            card, options, source, compiled, built_at, _golden(golden_bytes, len(rows), close, card.budget)
        )
        files[folder.artifact_name(target.name)] = compiled.onnx
        files[folder.manifest_name(target.name)] = encode(manifest)
        digest = manifest.artifact.digest
        built.append(Built(target.name, digest, compiled.evidence, close.agreement, compiled.per_channel))
    folder.write(out, files)
    progress(f"wrote {len(files)} files to {out}")
    return tuple(built)


def _check(card: Card, model: Model, truth: Truth) -> None:
    scores = truth.outputs[truth.first]
    if card.task != "classification":
        raise RecipeWrong(f"{card.name} is for the task {card.task!r}, and only classifications can be built.")
    if scores.ndim != 2 or scores.shape[1] != len(card.labels):
        raise RecipeWrong(
            f"The first output of {card.name} has shape {list(scores.shape)}, and its card {len(card.labels)} labels."
        )
    if card.probabilities not in {"", *(tensor.name for tensor in model.outputs)}:
        raise RecipeWrong(f"{card.name} has no output {card.probabilities!r}, which its card calls its probabilities.")


def _spread(count: int, wanted: int) -> NDArray[np.int64]:
    """`wanted` rows of `count`, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(np.int64))


def _golden(data: bytes, samples: int, close: golden.Closeness, budget: Budget) -> Golden:
    # A processor that is not what its device says may saturate: that is borne as far as the budget, and no further.
    bound = max(close.agreement, budget.min_agreement) - _AGREEMENT_SLACK
    return Golden(
        blob=_blob(data),
        samples=samples,
        min_agreement=max(0, math.floor(bound * samples)) / samples,
        max_abs_error=math.ceil((close.max_abs_error * _ERROR_FACTOR + _ERROR_FLOOR) * 1e4) / 1e4,
    )


def _manifest(
    card: Card, options: Options, source: Source, compiled: Compiled, built_at: datetime, golden_set: Golden
) -> Manifest:
    model, inputs = Model(compiled.onnx), source.held_out.inputs
    first = model.outputs[0].name
    return Manifest(
        model=card.name,
        version=0,
        target=compiled.target.name,
        runtime="onnx",
        artifact=_blob(compiled.onnx),
        inputs=model.inputs,
        outputs=model.outputs,
        task=card.task,
        labels=card.labels,
        reference=reference(inputs, compiled.outputs[first], card.labels, logits=card.probabilities != first),
        golden=golden_set,
        provenance=Provenance(
            recipe=_words(card, options),
            source_digest=_blob(source.onnx).digest,
            built_at=built_at,
            tools=_tools(("vedette", *source.packages, "onnxruntime")),
            training_records=len(source.training),
            accuracy=compiled.evidence.accuracy,
            source_accuracy=compiled.evidence.source_accuracy,
        ),
        probabilities=card.probabilities,
    )


def _blob(data: bytes) -> Blob:
    return Blob(f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))


def _words(card: Card, options: Options) -> str:
    """What to type after `python -m models build` to get this again."""
    images = "" if options.train_images is None else f" --train-images {options.train_images}"
    return f"{card.name} --seed {options.seed}{images}"


def _tools(packages: Sequence[str]) -> dict[str, str]:
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found
