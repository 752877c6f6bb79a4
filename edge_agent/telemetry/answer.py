"""What a model's outputs say: the label of each record, and how sure the model is."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from edge_agent.errors import OutputWrong
from edge_agent.runtimes.session import Array
from fleet_contract.manifest import Manifest


class Answers(NamedTuple):
    """The predictions for any number of records, one column each.

    `best` has the place of each record's label among the manifest's; `confidence` is a probability, 0 to 1.
    """

    best: Array
    confidence: Array


def answers(manifest: Manifest, outputs: Mapping[str, Array]) -> Answers:
    """One answer for each row of `outputs`. Raises `OutputWrong` for what the manifest does not promise."""
    rows = _rows(manifest, outputs)
    largest = rows.max(axis=1)
    # The largest value is subtracted first, so that no exponential overflows.
    sure = largest if manifest.probabilities else 1.0 / np.exp(rows - largest[:, None]).sum(axis=1)
    return Answers(rows.argmax(axis=1), sure)


def margins(manifest: Manifest, outputs: Mapping[str, Array]) -> Array:
    """How much surer the model is of the label of each row than of its second best, 0 to 1. Raises `OutputWrong`."""
    rows = _rows(manifest, outputs)
    if rows.shape[1] == 1:
        return answers(manifest, outputs).confidence
    second, largest = np.partition(rows, -2, axis=1)[:, -2:].T
    if manifest.probabilities:
        return np.asarray(largest - second)
    # Both are exponentials over the same sum, of which one is the largest.
    return np.asarray((1.0 - np.exp(second - largest)) * answers(manifest, outputs).confidence)


def labels(manifest: Manifest, given: Answers) -> list[str]:
    """The label of each record."""
    return [manifest.labels[at] for at in given.best.tolist()]


def _rows(manifest: Manifest, outputs: Mapping[str, Array]) -> Array:
    """The scores, a row for each record. Raises `OutputWrong`."""
    name = manifest.probabilities or manifest.outputs[0].name
    scores = outputs.get(name)
    if scores is None:
        raise OutputWrong(f"The model gave {', '.join(outputs)}, and no {name!r}.", code="output-missing")
    if scores.ndim < 2 or not len(scores) or scores[0].size != len(manifest.labels):
        raise OutputWrong(
            f"Output {name!r} has the shape {scores.shape}, and there are {len(manifest.labels)} labels.",
            code="output-shape",
        )
    rows = np.asarray(scores, dtype=np.float64).reshape(len(scores), -1)
    if not np.isfinite(rows).all():
        raise OutputWrong(f"Output {name!r} holds a value that is not finite.", code="output-not-finite")
    return rows
