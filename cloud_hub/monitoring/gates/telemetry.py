"""The gates on telemetry: from counts to the shares that are weighed, and back to a sentence. Pure.

Every gate comes down to shares of records: those that failed; those with a label; those below each edge of a histogram,
which is a distribution; those slower than a multiple of what was usual, which is a quantile (the 95 % quantile is at
most 1.5 times the usual one when at most 5 % of records are slower than 1.5 times that).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from math import ceil, log

import numpy as np

from cloud_hub.monitoring.evidence import Evidence, Tally, memory_of
from cloud_hub.monitoring.gates.betabinomial import Array
from cloud_hub.monitoring.gates.case import Case, Tolerances
from cloud_hub.monitoring.gates.cohort import RAW, Question
from cloud_hub.monitoring.gates.counting import Count, Counts, above, beyond, cohort, quantile_bucket
from cloud_hub.monitoring.gates.sentences import say
from cloud_hub.monitoring.gates.verdict import Gate
from cloud_hub.monitoring.gates.weighing import Weighed, weigh
from cloud_hub.monitoring.sequences import share_intervals
from fleet_contract.histogram import LATENCY_RELATIVE_ERROR, latency_of

#: A device's windows hardly differ in memory and temperature: it is one witness, however many it sends.
_WINDOWS_CORRELATION = 0.9
_WINDOWS_KNOWN, _USUALLY_BEYOND = 5, 0.05
_CONFIDENCE_EDGES, _FEATURE_EDGES = 12, 5
_BUCKET = log((1 + LATENCY_RELATIVE_ERROR) / (1 - LATENCY_RELATIVE_ERROR))


def errors(case: Case, asked: Tolerances, tolerated: float) -> Gate:
    """Whether the share of failed inferences rose."""

    def count(tally: Tally) -> Counts:
        return (tally.errors,), tally.records + tally.errors

    question = _question(case, asked, count, np.array([0.002]), tolerated, promise=np.zeros(1))
    found = weigh(question, asked.alpha)
    return _gate("errors", found, question, say(question, found, "inferences", "failed", "a rise"))


def predictions(case: Case, asked: Tolerances, tolerated: float) -> Gate | None:
    """Whether the share of any label moved."""
    if not case.about.labels:
        return None
    known = dict.fromkeys(case.about.labels)
    # What another version alone can predict is part of the distribution too.
    labels = (*known, *sorted({*case.treated.predictions, *case.control.predictions} - known.keys()))

    def count(tally: Tally) -> Counts:
        counts = [tally.predictions.get(label, 0) for label in labels]
        return counts, sum(counts)

    reference = np.array([case.about.predictions.get(label, 0) for label in labels], float)
    total = reference.sum()
    guess = (reference + 0.5) / (total + 0.5 * len(labels))
    promise, uncertain = None, np.zeros(len(labels))
    if total:
        promise = reference / total
        uncertain = _unsure(reference, np.full(len(labels), total), promise, asked.alpha / len(labels))
    question = _question(
        case, asked, count, guess, tolerated, promise=promise, uncertain=uncertain, both_ways=True, records=total
    )
    found = weigh(question, asked.alpha)
    return _gate(
        "predictions", found, question, say(question, found, "predictions", f"are {labels[found.at]!r}", "a shift")
    )


def confidence(case: Case, asked: Tolerances, tolerated: float) -> Gate | None:
    """Whether the distribution of confidence, or of any other score that is counted there, moved."""
    cuts = {digest: edges.confidence for digest, edges in case.about.edges.items()}
    seen = {*case.treated.confidence, *case.control.confidence}
    shared = _shared([cuts.get(digest, ()) for digest in seen], _CONFIDENCE_EDGES)
    if not shared:
        return None

    def count(tally: Tally) -> Counts:
        return _below([(cuts.get(digest, ()), counts) for digest, counts in tally.confidence.items()], shared)

    question = _question(case, asked, count, np.full(len(shared), 0.5), tolerated, both_ways=True)
    if not question.concurrent and not question.weighable:
        return None
    found = weigh(question, asked.alpha)
    hit = f"have a confidence below {shared[found.at]:.3g}"
    return _gate("confidence", found, question, say(question, found, "predictions", hit, "a shift"))


def features(case: Case, asked: Tolerances, tolerated: float) -> Gate | None:
    """Whether the inputs moved on the treated devices and not in the control. What moved for both is the world, which
    is told by how far both are from what the version was trained on, and is no fault of the version."""
    seen = sorted({*case.treated.total.features, *case.control.total.features})
    columns: list[tuple[str, float]] = []
    for name in sorted({name for _, name in seen}):
        cuts = [_feature_edges(case, digest, name) for digest, other in seen if other == name]
        columns += [(name, edge) for edge in _shared(cuts, _FEATURE_EDGES)]
    if not columns:
        return None
    names = list(dict.fromkeys(name for name, _ in columns))
    by_name = {name: [edge for other, edge in columns if other == name] for name in names}

    def count(tally: Tally) -> Counts:
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
    question = _question(case, asked, count, guess, tolerated, promise=promise, both_ways=True)
    if not question.concurrent and not question.weighable:
        return None
    found = weigh(question, asked.alpha)
    name, edge = columns[found.at]
    sentence = say(question, found, "inputs", f"have {name} below {edge:.3g}", "a shift")
    if not np.isnan(trained[found.at]) and found.theirs is not None:
        away = [100 * abs(float(one.share[found.at] - trained[found.at])) for one in (found.ours, found.theirs)]
        sentence += f" From what it was trained on, these are {away[0]:.1f} points away, and the control {away[1]:.1f}."
    return _gate("features", found, question, sentence)


def latency(case: Case, asked: Tolerances, ratios: Mapping[float, float]) -> Gate | None:
    """Whether the median or the tail of latency grew beyond its ratio."""
    quantiles = sorted(ratios)
    slack = [ceil(log(ratios[q]) / _BUCKET) for q in quantiles]
    usual = _usual(case, lambda tally: tally.latency, quantiles, [ceil(3 / (1 - q)) for q in quantiles])

    def slower(device: str, tally: Tally) -> Counts:
        limits = [limit + more for limit, more in zip(usual(device), slack, strict=True)]
        return [above(tally.latency, limit) for limit in limits], sum(tally.latency.values())

    def at_least(device: str, tally: Tally) -> Counts:
        # The bucket that holds a quantile holds records on both sides of it.
        return [above(tally.latency, limit - 1) for limit in usual(device)], sum(tally.latency.values())

    question = _thresholds(case, slower, at_least, 1.0 - np.array(quantiles), 0.0, asked.correlation * RAW)
    if question is None:
        return None
    found = weigh(question, asked.alpha)
    q = quantiles[found.at]
    before = "the control" if len(question.control.devices) else "their past"
    ours = case.treated.total.latency_quantile(q) or 0.0
    hit = f"took longer than {ratios[q]:g} times the usual p{100 * q:g} ({_milliseconds(case, q)})"
    sentence = say(question, found, "inferences", hit, "a rise")
    sentence += f" The p{100 * q:g} is {ours / 1000:.3g} ms here; {before} sets what is usual."
    return _gate("latency", found, question, sentence)


def memory(case: Case, asked: Tolerances, ratio: float) -> Gate | None:
    """Whether the agents' processes grew."""
    more = ceil(log(ratio) / log(memory_of(1)))
    hit = f"show more than {ratio:g} times the memory that was the most before"
    return _windows("memory", case, asked, lambda tally: tally.memory, more, hit)


def temperature(case: Case, asked: Tolerances, rise: float) -> Gate | None:
    """Whether the devices grew hot."""
    hit = f"show more than {rise:g} degrees above what was the most before"
    return _windows("temperature", case, asked, lambda tally: tally.temperature, ceil(rise), hit)


def agreement(case: Case, asked: Tolerances, tolerated: float) -> Gate | None:
    """Whether a version that runs beside the live one says the same."""
    if not case.treated.total.compared:
        return None

    def count(tally: Tally) -> Counts:
        return (tally.compared - tally.agreed,), tally.compared

    question = Question(
        cohort(case, case.treated, 1, count),
        cohort(case, Evidence(), 1, count),
        np.zeros(1),
        tolerated,
        both_ways=False,
        correlation=asked.correlation * RAW,
        promised=True,
    )
    found = weigh(question, asked.alpha)
    total = case.treated.total
    sentence = (
        f"{total.agreed:,} of {total.compared:,} records got the label that the version which answers gave them: "
        f"{100 * found.value:.1f} % did not, between {100 * found.lower:.1f} and {100 * found.upper:.1f} % truly; "
        f"{100 * tolerated:.3g} % are tolerated."
    )
    return _gate("agreement", found, question, sentence)


def accuracy(case: Case, asked: Tolerances, tolerated: float) -> Gate | None:
    """Whether more labels are wrong, where true labels arrive."""
    if not (case.treated.total.labelled or case.control.total.labelled):
        return None

    def count(tally: Tally) -> Counts:
        return (max(0, tally.labelled - tally.correct),), tally.labelled

    question = _question(case, asked, count, np.array([0.1]), tolerated)
    if not question.concurrent and not question.weighable:
        return None
    found = weigh(question, asked.alpha)
    return _gate("accuracy", found, question, say(question, found, "labelled records", "were wrong", "a rise"))


def _question(
    case: Case,
    asked: Tolerances,
    count: Count,
    guess: Array,
    tolerated: float,
    *,
    promise: Array | None = None,
    uncertain: Array | float = 0.0,
    both_ways: bool = False,
    records: float = 0.0,
) -> Question:
    """Against the control while there is one, or there was enough of one; else against the treated devices' own past;
    else against what is promised, by `records` of the reference."""
    treated, control = cohort(case, case.treated, len(guess), count), cohort(case, case.control, len(guess), count)
    if not case.concurrent and control.records[:, 0].sum() <= records:
        control = cohort(case, Evidence(), len(guess), count)
        if promise is not None and not treated.known.any():
            return Question(
                treated, control, promise, tolerated, both_ways, asked.correlation * RAW, True, uncertain, False
            )
    question = Question(treated, control, guess, tolerated, both_ways, asked.correlation, concurrent=case.concurrent)
    if question.by_past:
        return question
    return Question(treated, control, guess, tolerated, both_ways, asked.correlation * RAW, concurrent=case.concurrent)


def _thresholds(
    case: Case,
    treated: Callable[[str, Tally], Counts],
    control: Callable[[str, Tally], Counts],
    guess: Array,
    tolerated: float,
    correlation: float,
) -> Question | None:
    """On what is beyond each device's own threshold; None where nothing sets one, and nothing ever will."""
    ours, theirs = beyond(case, case.treated, len(guess), treated), beyond(case, case.control, len(guess), control)
    if len(theirs.devices) or case.concurrent:
        return Question(ours, theirs, guess, tolerated, False, correlation, concurrent=case.concurrent)
    if not any(device in case.past.by_device for device in ours.devices):
        return None
    return Question(ours, theirs, guess, tolerated, False, correlation, promised=True)


def _windows(
    name: str, case: Case, asked: Tolerances, of: Callable[[Tally], Mapping[int, int]], more: int, hit: str
) -> Gate | None:
    if not of(case.treated.total) and not of(case.control.total):
        return None
    usual = _usual(case, of, [1.0], [_WINDOWS_KNOWN])

    def far(device: str, tally: Tally) -> Counts:
        return (above(of(tally), usual(device)[0] + more),), sum(of(tally).values())

    def over(device: str, tally: Tally) -> Counts:
        return (above(of(tally), usual(device)[0]),), sum(of(tally).values())

    question = _thresholds(case, far, over, np.array([_USUALLY_BEYOND]), asked.windows_beyond, _WINDOWS_CORRELATION)
    if question is None:
        return None
    found = weigh(question, asked.alpha)
    return _gate(name, found, question, say(question, found, "windows", hit, "a rise"))


def _usual(
    case: Case, of: Callable[[Tally], Mapping[int, int]], quantiles: Sequence[float], needed: Sequence[int]
) -> Callable[[str], Sequence[int]]:
    """For each device the buckets of `quantiles`: of its own past, where that holds as many as are `needed`; else of
    the control on its hardware target, else of all of the control."""
    targets = case.targets
    by_target: dict[str, list[Mapping[int, int]]] = {}
    for device, tally in case.control:
        by_target.setdefault(targets.get(device, ""), []).append(of(tally))
    shared: dict[str | None, list[int]] = {
        target: _quantiles(_sum(many), quantiles) for target, many in by_target.items()
    }
    shared[None] = _quantiles(_sum(many for all_of in by_target.values() for many in all_of), quantiles)
    own: dict[str, Sequence[int]] = {}

    def usual(device: str) -> Sequence[int]:
        if device not in own:
            others = shared.get(targets.get(device, ""), shared[None])
            past = of(case.past.by_device[device]) if device in case.past.by_device else {}
            total = sum(past.values())
            mine = _quantiles(past, quantiles) if total else others
            own[device] = [
                ours if total >= enough else theirs for ours, theirs, enough in zip(mine, others, needed, strict=True)
            ]
        return own[device]

    return usual


def _quantiles(buckets: Mapping[int, int], quantiles: Sequence[float]) -> list[int]:
    return [quantile_bucket(buckets, q) or 0 for q in quantiles]


def _sum(many: Iterable[Mapping[int, int]]) -> dict[int, int]:
    total: dict[int, int] = {}
    for one in many:
        for bucket, count in one.items():
            total[bucket] = total.get(bucket, 0) + count
    return total


def _milliseconds(case: Case, q: float) -> str:
    known = [case.past.by_device[device].latency for device, _ in case.treated if device in case.past.by_device]
    bucket = quantile_bucket(_sum(known) or case.control.latency, q)
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


def _gate(name: str, found: Weighed, question: Question, sentence: str) -> Gate:
    return Gate(name, found.verdict, sentence, found.value, found.lower, found.upper, question.tolerated)
