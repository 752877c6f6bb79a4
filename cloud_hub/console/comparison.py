"""Two cohorts side by side: what they predicted, and how sure they were."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cloud_hub.console.drawing import Drawing, bins, histogram
from cloud_hub.monitoring.views import EvidenceView

#: So many labels have bars of their own; of more, only the most frequent.
MAX_LABELS = 32


@dataclass(frozen=True)
class Cohort:
    """Devices that ran something; `css` is the class that draws them, `name` what people call them."""

    css: str
    name: str
    evidence: EvidenceView


def predictions(labels: Sequence[str], cohorts: Sequence[Cohort]) -> Drawing | None:
    """The share of each predicted label, cohort beside cohort; None before the first record.

    In the order of the model's own `labels`, then those that only an older version knows.
    """
    counts = {cohort.css: cohort.evidence.predictions for cohort in cohorts}
    known = list(dict.fromkeys([*labels, *(label for one in counts.values() for label in sorted(one))]))
    if len(known) > MAX_LABELS:
        frequent = sorted(known, key=lambda label: -sum(one.get(label, 0) for one in counts.values()))[:MAX_LABELS]
        known = [label for label in known if label in frequent]
    series = {css: [one.get(label, 0) for label in known] for css, one in counts.items()}
    return histogram(known, series, {cohort.css: cohort.name for cohort in cohorts})


def confidence(
    edges: Mapping[str, tuple[float, ...]],
    counted: Mapping[str, Mapping[str, tuple[int, ...]]],
    cohorts: Sequence[Cohort],
) -> Drawing | None:
    """How sure the cohorts were; None before the first record.

    `edges` are those of each artifact, by digest; `counted` are counts over them, by the cohort's class and digest.
    Only artifacts on the same edges can be drawn together: those are chosen that have the most records.
    """
    weights: dict[tuple[float, ...], int] = {}
    for by_digest in counted.values():
        for digest, counts in by_digest.items():
            if len(counts) == len(edges.get(digest, ())) + 1:
                weights[edges[digest]] = weights.get(edges[digest], 0) + sum(counts)
    if not weights:
        return None
    chosen = max(weights, key=lambda one: weights[one])
    series = {css: _added(edges, chosen, by_digest) for css, by_digest in counted.items()}
    return histogram(bins(chosen), series, {cohort.css: cohort.name for cohort in cohorts})


def _added(
    edges: Mapping[str, tuple[float, ...]], chosen: tuple[float, ...], by_digest: Mapping[str, tuple[int, ...]]
) -> list[int]:
    total = [0] * (len(chosen) + 1)
    for digest, counts in by_digest.items():
        if edges.get(digest) == chosen and len(counts) == len(total):
            total = [a + b for a, b in zip(total, counts, strict=True)]
    return total
