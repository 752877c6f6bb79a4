"""The gates on telemetry: from counts to the shares that are weighed, and back to a sentence. Pure.

Every gate comes down to shares of records: those that failed; those with a label; those below each edge of a histogram,
which is a distribution; those slower than a multiple of what was usual, which is a quantile (the 95 % quantile is at
most 1.5 times the usual one when at most 5 % of records are slower than 1.5 times that).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from math import ceil, log
from typing import TypeVar

import numpy as np

from cloud_hub.monitoring.evidence import Evidence, Tally, memory_of
from cloud_hub.monitoring.gates.asking import ask_shares, ask_thresholds
from cloud_hub.monitoring.gates.betabinomial import Array
from cloud_hub.monitoring.gates.case import Case, Tolerances
from cloud_hub.monitoring.gates.cohort import RAW, Cohort, Question
from cloud_hub.monitoring.gates.counting import Compared, Count, Counts, above, quantile_bucket
from cloud_hub.monitoring.gates.sentences import say
from cloud_hub.monitoring.gates.usual import Usual, summed
from cloud_hub.monitoring.gates.verdict import Gate, Verdict
from cloud_hub.monitoring.gates.weighing import Weighed, weigh
from cloud_hub.monitoring.sequences import share_intervals
from fleet_contract.histogram import LATENCY_RELATIVE_ERROR, latency_of, latency_quantile

#: A device's windows hardly differ in memory and temperature: it is one witness, however many it sends.
_WINDOWS_CORRELATION = 0.9
_WINDOWS_KNOWN, _USUALLY_BEYOND = 5, 0.05
#: Each hardware target answers for itself up to this quantile: to know more of the tail takes a single canary minutes.
_KNOWN_SOON = 0.95
_CONFIDENCE_EDGES, _FEATURE_EDGES = 12, 5
_Key = TypeVar("_Key")
_BUCKET = log((1 + LATENCY_RELATIVE_ERROR) / (1 - LATENCY_RELATIVE_ERROR))


def errors(case: Case, asked: Tolerances, tolerated: float) -> Gate:
    """Whether the share of failed inferences rose."""

    def count(_: str, tally: Tally) -> Counts:
        return (tally.errors,), tally.records + tally.errors

    of = Count("errors", None, count)
    each = np.array([True])
    question = ask_shares(
        case, asked, of, np.array([0.002]), tolerated, promise=np.zeros(1), unmistakable=True, apart=each
    )
    found = weigh(question, asked.alpha)
    return _gate("errors", found, say(found, "inferences", "failed", "a rise"))


def predictions(case: Case, asked: Tolerances, tolerated: float) -> Gate | None:
    """Whether the share of any label moved."""
    if not case.about.labels:
        return None
    known = dict.fromkeys(case.about.labels)
    # What another version alone can predict is part of the distribution too.
    seen = _seen(case, "labels", lambda tally: tally.predictions)
    labels = (*known, *sorted(seen - known.keys()))

    def count(_: str, tally: Tally) -> Counts:
        counts = [tally.predictions.get(label, 0) for label in labels]
        return counts, sum(counts)

    reference = np.array([case.about.predictions.get(label, 0) for label in labels], float)
    total = reference.sum()
    guess = (reference + 0.5) / (total + 0.5 * len(labels))
    promise, uncertain = None, np.zeros(len(labels))
    if total:
        promise = reference / total
        uncertain = _unsure(reference, np.full(len(labels), total), promise, asked.alpha / len(labels))
    question = ask_shares(
        case,
        asked,
        Count("predictions", labels, count),
        guess,
        tolerated,
        promise=promise,
        uncertain=uncertain,
        both_ways=True,
        records=total,
    )
    if not question.concurrent and not question.weighable and len(question.treated.devices):
        return None
    found = weigh(question, asked.alpha)
    return _gate("predictions", found, say(found, "predictions", f"are {labels[found.at]!r}", "a shift"))


def confidence(case: Case, asked: Tolerances, tolerated: float) -> Gate | None:
    """Whether the distribution of confidence, or of any other score that is counted there, moved."""
    cuts = {digest: edges.confidence for digest, edges in case.about.edges.items()}
    seen = _seen(case, "confidence-digests", lambda tally: tally.confidence)
    shared = _shared([cuts.get(digest, ()) for digest in sorted(seen)], _CONFIDENCE_EDGES)
    if not shared:
        return None

    def count(_: str, tally: Tally) -> Counts:
        return _below([(cuts.get(digest, ()), counts) for digest, counts in tally.confidence.items()], shared)

    of = Count("confidence", (cuts, shared), count)
    question = ask_shares(case, asked, of, np.full(len(shared), 0.5), tolerated, both_ways=True)
    if not question.concurrent and not question.weighable:
        return None
    found = weigh(question, asked.alpha)
    hit = f"have a confidence below {shared[found.at]:.3g}"
    return _gate("confidence", found, say(found, "predictions", hit, "a shift"))


def features(case: Case, asked: Tolerances, tolerated: float) -> Gate | None:
    """Whether the inputs moved on the treated devices and not in the control. What moved for both is the world, which
    is told by how far both are from what the version was trained on, and is no fault of the version."""
    seen = sorted(_seen(case, "feature-names", lambda tally: tally.features))
    columns: list[tuple[str, float]] = []
    for name in sorted({name for _, name in seen}):
        cuts = [_feature_edges(case, digest, name) for digest, other in seen if other == name]
        columns += [(name, edge) for edge in _shared(cuts, _FEATURE_EDGES)]
    if not columns:
        return None
    names = list(dict.fromkeys(name for name, _ in columns))
    by_name = {name: [edge for other, edge in columns if other == name] for name in names}

    def count(_: str, tally: Tally) -> Counts:
        hits: list[int] = []
        totals: list[int] = []
        for name in names:
            parts = [
                (_feature_edges(case, digest, name), counts)
                for (digest, other), counts in tally.features.items()
                if other == name
            ]
            below, total = _below(parts, by_name[name])
            hits += below
            totals.append(total)
        # All features of a record are counted at once, so they differ only where a version lacks one.
        return (hits, totals[0]) if len(set(totals)) == 1 else ([0] * len(hits), 0)

    trained = np.array([_trained(case, name, edge) for name, edge in columns])
    guess = np.where(np.isnan(trained), 0.5, trained).clip(0.01, 0.99)
    promise = None if np.isnan(trained).any() else trained
    of = Count("features", (case.about.edges, columns), count)
    question = ask_shares(case, asked, of, guess, tolerated, promise=promise, both_ways=True)
    if not question.concurrent and not question.weighable:
        return None
    found = weigh(question, asked.alpha)
    name, edge = columns[found.at]
    sentence = say(found, "inputs", f"have {name} below {edge:.3g}", "a shift")
    if not np.isnan(trained[found.at]) and found.theirs is not None:
        away = [100 * abs(float(one.share[found.at] - trained[found.at])) for one in (found.ours, found.theirs)]
        sentence += f" From what it was trained on, these are {away[0]:.1f} points away, and the control {away[1]:.1f}."
    return _gate("features", found, sentence)


def latency(case: Case, asked: Tolerances, ratios: Mapping[float, float]) -> Gate | None:
    """Whether the median or the tail of latency grew beyond its ratio."""
    quantiles = sorted(ratios)
    slack = [ceil(log(ratios[q]) / _BUCKET) for q in quantiles]
    usual = Usual(case, "latency", _latency, quantiles, [ceil(3 / (1 - q)) for q in quantiles])

    def slower(device: str, tally: Tally) -> Counts:
        return beyond(tally, usual.of(device), slack)

    def at_least(device: str, tally: Tally) -> Counts:
        # The bucket that holds a quantile holds records on both sides of it.
        return beyond(tally, usual.of(device), [-1] * len(quantiles))

    def beyond(tally: Tally, limits: Sequence[int] | None, more: Sequence[int]) -> Counts:
        if limits is None:
            return [0] * len(quantiles), 0
        counted = [above(tally.latency, limit + by) for limit, by in zip(limits, more, strict=True)]
        return counted, sum(tally.latency.values())

    at = np.array(quantiles)
    question = ask_thresholds(
        case,
        usual,
        slower,
        at_least,
        1.0 - at,
        0.0,
        asked.correlation * RAW,
        unmistakable=True,
        apart=at <= _KNOWN_SOON,
    )
    if question is None:
        return None
    found = weigh(question, asked.alpha)
    q = quantiles[found.at]
    before = "the control" if len(question.control.devices) else "their past"
    ours = latency_quantile(_total([period.treated for period in case.periods], "latency", _latency), q) or 0.0
    hit = f"took longer than {ratios[q]:g} times the usual p{100 * q:g} ({_milliseconds(case, q)})"
    sentence = say(found, "inferences", hit, "a rise")
    sentence += f" The p{100 * q:g} is {ours / 1000:.3g} ms here; {before} sets what is usual."
    return _gate("latency", found, sentence)


def memory(case: Case, asked: Tolerances, ratio: float) -> Gate | None:
    """Whether the agents' processes grew."""
    more = ceil(log(ratio) / log(memory_of(1)))
    hit = f"show more than {ratio:g} times the memory that was the most before"
    return _windows("memory", case, asked, _memory, more, hit, unmistakable=True)


def temperature(case: Case, asked: Tolerances, rise: float) -> Gate | None:
    """Whether the devices grew hot."""
    hit = f"show more than {rise:g} degrees above what was the most before"
    return _windows("temperature", case, asked, _temperature, ceil(rise), hit, unmistakable=False)


def agreement(case: Case, asked: Tolerances, tolerated: float) -> Gate | None:
    """Whether a version that runs beside the live one says the same."""

    def count(_: str, tally: Tally) -> Counts:
        return (tally.compared - tally.agreed,), tally.compared

    of = Count("agreement", None, count)
    whole = Compared(case, 1, of, of, None).whole
    if not len(whole.devices):
        return None
    question = Question(
        whole,
        Cohort.empty(1),
        np.zeros(1),
        tolerated,
        both_ways=False,
        correlation=asked.correlation * RAW,
        promised=True,
    )
    found = weigh(question, asked.alpha)
    compared = found.ours.records[0]
    sentence = (
        f"{compared - found.ours.hits[0]:,.0f} of {compared:,.0f} records got the label that the version which answers "
        f"gave them: {100 * found.value:.1f} % did not, between {100 * found.lower:.1f} and {100 * found.upper:.1f} % "
        f"truly; {100 * tolerated:.3g} % are tolerated."
    )
    return _gate("agreement", found, sentence)


def accuracy(case: Case, asked: Tolerances, tolerated: float) -> Gate | None:
    """Whether more labels are wrong, where true labels arrive."""

    def count(_: str, tally: Tally) -> Counts:
        return (max(0, tally.labelled - tally.correct),), tally.labelled

    if not _any(case, "labelled", lambda tally: tally.labelled):
        return None
    question = ask_shares(case, asked, Count("accuracy", None, count), np.array([0.1]), tolerated)
    if not question.concurrent and not question.weighable:
        return None
    found = weigh(question, asked.alpha)
    return _gate("accuracy", found, say(found, "labelled records", "were wrong", "a rise"))


def _windows(
    name: str,
    case: Case,
    asked: Tolerances,
    of: Callable[[Tally], Mapping[int, int]],
    more: int,
    hit: str,
    *,
    unmistakable: bool,
) -> Gate | None:
    if not _any(case, name, of):
        return None
    usual = Usual(case, name, of, [1.0], [_WINDOWS_KNOWN])

    def far(device: str, tally: Tally) -> Counts:
        return beyond(tally, usual.of(device), more)

    def over(device: str, tally: Tally) -> Counts:
        return beyond(tally, usual.of(device), 0)

    def beyond(tally: Tally, limits: Sequence[int] | None, by: int) -> Counts:
        return ((0,), 0) if limits is None else ((above(of(tally), limits[0] + by),), sum(of(tally).values()))

    question = ask_thresholds(
        case,
        usual,
        far,
        over,
        np.array([_USUALLY_BEYOND]),
        asked.windows_beyond,
        _WINDOWS_CORRELATION,
        unmistakable=unmistakable,
    )
    if question is None:
        return None
    found = weigh(question, asked.alpha)
    return _gate(name, found, say(found, "windows", hit, "a rise"))


def _seen(case: Case, name: str, of: Callable[[Tally], Iterable[_Key]]) -> set[_Key]:
    """The keys that anybody counted anything by."""

    def keys(evidence: Evidence) -> set[_Key]:
        return evidence.once(name, None, lambda: set().union(*(of(tally) for _, tally in evidence)))

    found: set[_Key] = set()
    for period in case.periods:
        found |= keys(period.treated) | keys(period.control)
    return found


def _any(case: Case, name: str, of: Callable[[Tally], object]) -> bool:
    """Whether anybody showed any of it."""

    def shown(evidence: Evidence) -> bool:
        return evidence.once(f"any-{name}", None, lambda: any(of(tally) for _, tally in evidence))

    return any(shown(period.treated) or shown(period.control) for period in case.periods)


def _latency(tally: Tally) -> Mapping[int, int]:
    return tally.latency


def _memory(tally: Tally) -> Mapping[int, int]:
    return tally.memory


def _temperature(tally: Tally) -> Mapping[int, int]:
    return tally.temperature


def _total(shown: Iterable[Evidence], name: str, of: Callable[[Tally], Mapping[int, int]]) -> dict[int, int]:
    def total(evidence: Evidence) -> dict[int, int]:
        return evidence.once(f"{name}-total", None, lambda: summed(of(tally) for _, tally in evidence))

    return summed(total(evidence) for evidence in shown)


def _milliseconds(case: Case, q: float) -> str:
    past, treated = case.past, {device for period in case.periods for device in period.treated.by_device}
    known = past.once(
        "latency-of-treated",
        treated,
        lambda: summed(tally.latency for device, tally in past if device in treated),
    )
    bucket = quantile_bucket(known or _total([period.control for period in case.periods], "latency", _latency), q)
    return f"{latency_of(bucket) / 1000:.3g} ms" if bucket is not None else "unknown"


def _shared(cuts: Sequence[Sequence[float]], most: int) -> list[float]:
    """The edges that all artifacts have, thinned out evenly to at most so many."""
    if not cuts:
        return []
    edges = sorted(set(cuts[0]).intersection(*cuts[1:]))
    if len(edges) <= most:
        return edges
    return [edges[round(at * (len(edges) - 1) / (most - 1))] for at in range(most)]


def _below(parts: Sequence[tuple[Sequence[float], Sequence[int]]], edges: Sequence[float]) -> tuple[list[int], int]:
    """How many values were below each of `edges`, and how many there were. What is no number is below nothing."""
    hits, total = [0] * len(edges), 0
    for cuts, counts in parts:
        if len(counts) != len(cuts) + 1:
            # Another artifact's, or a device that is wrong: it cannot be said where these belong.
            continue
        at = {edge: number for number, edge in enumerate(cuts)}
        if not all(edge in at for edge in edges):
            continue
        running = list(accumulate(counts))
        for column, edge in enumerate(edges):
            hits[column] += running[at[edge]]
        total += running[-1]
    return hits, total


def _feature_edges(case: Case, digest: str, name: str) -> tuple[float, ...]:
    known = case.about.edges.get(digest)
    return known.features.get(name, ()) if known else ()


def _trained(case: Case, name: str, edge: float) -> float:
    counts, edges = case.about.features.get(name, ()), case.about.feature_edges.get(name, ())
    if edge not in edges or not sum(counts):
        return float("nan")
    return sum(counts[: edges.index(edge) + 1]) / sum(counts)


def _unsure(hits: Array, records: Array, share: Array, alpha: float) -> Array:
    lower, upper = share_intervals(hits, records, alpha)
    return np.asarray(np.maximum(share - lower, upper - share))


def _gate(name: str, found: Weighed, sentence: str) -> Gate:
    clear = found.clear and found.verdict is Verdict.NOT_ENOUGH_EVIDENCE
    numbers = (found.value, found.lower, found.upper, found.question.tolerated)
    return Gate(name, found.verdict, sentence, *numbers, found.exhausted, clear)
