"""What a number of records add to a window, counted in one go."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edge_agent.errors import OutputWrong
from edge_agent.runtimes.session import Array
from edge_agent.telemetry import features
from edge_agent.telemetry.answer import Answers, answers, labels
from fleet_contract.histogram import LOG_GAMMA, MAX_LATENCY_BUCKET
from fleet_contract.manifest import Manifest

#: Inputs of fewer bytes are put together before a statistic is computed; with more it would only be a copy.
_SMALL_BYTES = 16 * 1024


@dataclass(slots=True)
class Counts:
    """`count` records that were answered. Histograms have the edges of the manifest's reference."""

    count: int = 0
    latency: Counter[int] = field(default_factory=Counter)
    predictions: Counter[str] = field(default_factory=Counter)
    confidence: Sequence[int] = ()
    features: Mapping[str, Sequence[int]] = field(default_factory=dict)
    compared: int = 0
    agreed: int = 0
    labelled: int = 0
    correct: int = 0


def together(manifest: Manifest, scores: Sequence[Array | None]) -> Answers:
    """The answers of several calls, as if they had been one. Raises `OutputWrong` when any of them is wrong."""
    return answers(manifest, joined(manifest, scores))


def joined(manifest: Manifest, scores: Sequence[Array | None]) -> dict[str, Array]:
    """The `scores` of several calls as an output of one. Raises `OutputWrong` when they do not fit together."""
    name = manifest.probabilities or manifest.outputs[0].name
    given = [one for one in scores if one is not None]
    if len(given) < len(scores):
        raise OutputWrong(f"The model gave no {name!r}.", code="output-missing")
    if len(given) == 1:
        return {name: given[0]}
    try:
        return {name: np.concatenate(given)}
    except ValueError as error:
        raise OutputWrong(f"Output {name!r} comes in several shapes.", code="output-shape") from error


def count(manifest: Manifest, given: Answers, latencies_us: Sequence[float] | Array, rows: Sequence[int]) -> Counts:
    """The counts of the answers `given`, to calls of as many `rows` each, which took as long as `latencies_us` says."""
    edges, bins = manifest.reference.confidence.edges, len(manifest.reference.confidence.counts)
    places = np.bincount(given.best).tolist()
    return Counts(
        len(given.best),
        _latencies(latencies_us, rows),
        Counter({manifest.labels[at]: many for at, many in enumerate(places) if many}),
        np.bincount(np.searchsorted(np.asarray(edges), given.confidence, side="right"), minlength=bins).tolist(),
    )


def agreement(
    named: Sequence[str], beside: Sequence[tuple[tuple[Manifest, Array | None] | None, int]]
) -> tuple[int, int]:
    """Of the records whose labels are `named`, how many could be compared with those of another version beside them,
    and how many have the same label. `beside` has the other's manifest and scores, and the number of rows, of each
    call."""
    compared = agreed = start = 0
    for other, rows in beside:
        mine, start = named[start : start + rows], start + rows
        if other is None:
            continue
        manifest, scores = other
        try:
            theirs = labels(manifest, together(manifest, [scores]))
        except OutputWrong:
            # The live version's own window counts that.
            continue
        if len(theirs) == len(mine):
            compared += len(mine)
            agreed += sum(one == two for one, two in zip(mine, theirs, strict=True))
    return compared, agreed


def accuracy(named: Sequence[str], truths: Sequence[tuple[Sequence[str], int]]) -> tuple[int, int]:
    """Of the records whose labels are `named`, of how many the true label is known, and how many have it. `truths` has
    the labels, none or one for each row, and the number of rows, of each call."""
    labelled = correct = start = 0
    for truth, rows in truths:
        mine, start = named[start : start + rows], start + rows
        if len(truth) == len(mine):
            labelled += len(mine)
            correct += sum(one == label for one, label in zip(mine, truth, strict=True))
    return labelled, correct


def count_unnamed(latencies_us: Sequence[float] | Array, rows: Sequence[int]) -> Counts:
    """The counts of answers that name no labels, to calls of as many `rows` each."""
    return Counts(sum(rows), _latencies(latencies_us, rows))


def _latencies(latencies_us: Sequence[float] | Array, rows: Sequence[int]) -> Counter[int]:
    """What `latency_bucket` says of each, for as many rows each."""
    logarithms = np.log(np.maximum(np.asarray(latencies_us), 1.0))
    buckets = np.ceil(np.minimum(logarithms / LOG_GAMMA, MAX_LATENCY_BUCKET)).astype(np.int64)
    counted = np.bincount(buckets, rows).tolist()
    return Counter({bucket: int(many) for bucket, many in enumerate(counted) if many})


def count_features(manifest: Manifest, calls: Sequence[tuple[Mapping[str, Array], int]]) -> dict[str, list[int]]:
    """How the features of `calls`, inputs and their number of records, fall on the edges of the reference. Nothing of
    a feature that the inputs do not have."""
    found: dict[str, list[int]] = {}
    merged = _merged(calls)
    for name, reference in manifest.reference.features.items():
        for inputs, rows in merged:
            values = features.values(name, inputs, rows)
            if values is None:
                continue
            # NaN comes last in NumPy's order, as in `bin_of`.
            bins = np.searchsorted(np.asarray(reference.edges), values, side="right")
            counted = np.bincount(bins, minlength=len(reference.counts)).tolist()
            before = found.get(name)
            found[name] = counted if before is None else [a + b for a, b in zip(before, counted, strict=True)]
    return found


def _merged(calls: Sequence[tuple[Mapping[str, Array], int]]) -> list[tuple[Mapping[str, Array], int]]:
    """The same records in fewer calls: many small ones cost a statistic each."""
    groups: dict[object, list[tuple[Mapping[str, Array], int]]] = {}
    kept = []
    for inputs, rows in calls:
        if all(array.nbytes < _SMALL_BYTES and array.shape[:1] == (rows,) for array in inputs.values()):
            kind = tuple((name, array.dtype, array.shape[1:]) for name, array in inputs.items())
            groups.setdefault(kind, []).append((inputs, rows))
        else:
            kept.append((inputs, rows))
    for group in groups.values():
        arrays = {name: np.concatenate([inputs[name] for inputs, _ in group]) for name in group[0][0]}
        kept.append((arrays, sum(rows for _, rows in group)))
    return kept
