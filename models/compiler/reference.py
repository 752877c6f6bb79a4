"""How a model behaves on data it has never seen, as histograms: what telemetry windows are compared with."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleet_contract.histogram import bin_of
from fleet_contract.manifest import Histogram, Reference

BINS = 20
#: 20 equal bins of a confidence, 0 to 1.
CONFIDENCE_EDGES = tuple(round(i / BINS, 2) for i in range(1, BINS))


def reference(
    inputs: Mapping[str, NDArray[Any]], scores: NDArray[Any], labels: Sequence[str], *, logits: bool
) -> Reference:
    """The reference of a classifier that gave `scores`, one row a record and one column a label, for `inputs`."""
    chances = _softmax(scores) if logits else scores
    counted = Counter(labels[index] for index in scores.argmax(1))
    features = {
        f"{name}.{statistic}": _histogram(values)
        for name, array in inputs.items()
        for statistic, values in statistics(array).items()
    }
    return Reference(
        records=len(scores),
        predictions={label: counted[label] for label in labels},
        confidence=_count(CONFIDENCE_EDGES, chances.max(1)),
        features=features,
    )


def statistics(array: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """What is measured of one input, a value a record (the contract's `Reference.features` names them)."""
    rows = array.reshape(len(array), -1).astype(np.float64)
    return {
        "mean": rows.mean(1),
        "std": rows.std(1),
        "min": rows.min(1),
        "max": rows.max(1),
        "zeros": (rows == 0).mean(1),
    }


def _histogram(values: NDArray[np.float64]) -> Histogram:
    low, high = float(values.min()), float(values.max())
    if low == high:
        # Nothing varies yet: one bin for what it is, one on either side for what it may become.
        margin = max(abs(low), 1.0) * 1e-3
        return _count((low - margin, low + margin), values)
    return _count(tuple(float(edge) for edge in np.linspace(low, high, BINS + 1)[1:-1].round(6)), values)


def _count(edges: tuple[float, ...], values: NDArray[Any]) -> Histogram:
    counts = [0] * (len(edges) + 1)
    for value in values:
        counts[bin_of(edges, float(value))] += 1
    return Histogram(edges, tuple(counts))


def _softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    powers = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))
