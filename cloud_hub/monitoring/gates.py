"""Whether a version is as good as the one before it, as far as telemetry can tell. No I/O, no clock, no randomness.

Each gate compares the treated cohort (devices that run the version) with a baseline: the concurrent control cohort
(devices that run another version in the same time), or, when no device does, what the manifest says of held-out
data. It fails once the change is proved to be larger than is tolerated, is passed once it is proved not to be, and
says "not enough evidence" until one of both is so. Never enough is never passed.

The bounds are confidence sequences (`sequences.py`, with their source), so verdicts are valid however often, and
whenever, they are looked at. The allowed rate of false alarms is shared out over the gates, the labels of a gate and
the cohorts of a comparison (union bound): all gates together fail with at most that probability, over the whole
rollout, for a version that changes nothing beyond the tolerance.

Records are taken as independent within a cohort. Those of one device resemble each other, so where few devices carry
a cohort the intervals are narrower than they should be; `Evidence` keeps devices apart for a gate that weighs that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from cloud_hub.monitoring.evidence import Evidence
from cloud_hub.monitoring.sequences import Interval, share_interval

#: Treated, control and reference: how many intervals of one share can be looked at during one rollout.
_COHORTS = 3


class _Shift(NamedTuple):
    """How far one label's share moved."""

    label: str
    value: float
    lower: float
    upper: float


class Verdict(StrEnum):
    PASS = "pass"  # noqa: S105  (a verdict, no password)
    FAIL = "fail"
    NOT_ENOUGH_EVIDENCE = "not-enough-evidence"


@dataclass(frozen=True)
class Gate:
    """One gate's verdict. Shares of 1: `value` was observed and truly lies within `lower` and `upper`."""

    name: str
    verdict: Verdict
    sentence: str
    value: float
    lower: float
    upper: float
    threshold: float


@dataclass(frozen=True)
class Tolerances:
    """How much worse is still fine, in shares of 1; None switches a gate off. `false_alarms` is for all of them."""

    error_increase: float | None = 0.02
    prediction_shift: float | None = 0.1
    false_alarms: float = 0.01

    @property
    def alpha(self) -> float:
        """What each gate may spend."""
        gates = (self.error_increase, self.prediction_shift)
        return self.false_alarms / max(1, sum(gate is not None for gate in gates))


@dataclass(frozen=True)
class Baseline:
    """What the treated are compared with; `name` is how a sentence calls it."""

    name: str
    records: int
    errors: int
    predictions: Mapping[str, int]
    promised: bool = False
    """Whether it is a reference, which cannot grow: it is passed by being near the shares that it names, as a promise;
    its own uncertainty counts only against failing. It knows of no failed inferences, so none are expected."""


def baseline(control: Evidence, reference: Mapping[str, int], *, concurrent: bool) -> Baseline:
    """The control, while any device is left to be one (`concurrent`); else the larger of control and reference.

    A reference knows the world only as it was in training, so it never stands in for a control that can still grow.
    """
    if concurrent or control.records >= sum(reference.values()):
        return Baseline("the control", control.records, control.errors, control.predictions)
    return Baseline("the reference", sum(reference.values()), 0, reference, promised=True)


def judge(treated: Evidence, against: Baseline, labels: Sequence[str], tolerances: Tolerances) -> tuple[Gate, ...]:
    """The verdicts of all gates that are on. `labels` are all that the model can predict, known beforehand."""
    gates = []
    if tolerances.error_increase is not None:
        gates.append(_errors(treated, against, tolerances.error_increase, tolerances.alpha))
    if tolerances.prediction_shift is not None and labels:
        gates.append(_predictions(treated, against, labels, tolerances.prediction_shift, tolerances.alpha))
    return tuple(gates)


def _errors(treated: Evidence, against: Baseline, tolerated: float, alpha: float) -> Gate:
    asked, of_old = treated.records + treated.errors, against.records + against.errors
    ours = share_interval(treated.errors, asked, alpha / _COHORTS)
    before = Interval(0.0, 0.0) if against.promised else share_interval(against.errors, of_old, alpha / _COHORTS)
    value = _share(treated.errors, asked) - _share(against.errors, of_old)
    lower, upper = ours.lower - before.upper, ours.upper - before.lower
    verdict = _verdict(lower, upper, tolerated)
    sentence = f"{_percent(treated.errors, asked)} of {asked:,} inferences failed, "
    if against.promised:
        sentence += "and no device runs another version to compare with"
    else:
        sentence += f"against {_percent(against.errors, of_old)} of {of_old:,} in {against.name}"
    return Gate(
        "errors", verdict, _say(sentence, "a rise", value, lower, upper, tolerated), value, lower, upper, tolerated
    )


def _predictions(treated: Evidence, against: Baseline, labels: Sequence[str], tolerated: float, alpha: float) -> Gate:
    each = alpha / (_COHORTS * len(labels))
    ours, before = _counts(treated.predictions, labels), _counts(against.predictions, labels)
    ours_total, before_total = sum(ours.values()), sum(before.values())
    shifts = []
    for label in labels:
        here = share_interval(ours[label], ours_total, each)
        there = share_interval(before[label], before_total, each)
        expected = _share(before[label], before_total)
        value = abs(_share(ours[label], ours_total) - expected)
        lower = max(here.lower - there.upper, there.lower - here.upper, 0.0)
        if against.promised and before_total:
            there = Interval(expected, expected)
        upper = max(here.upper - there.lower, there.upper - here.lower)
        shifts.append(_Shift(label, value, lower, upper))
    worst = max(shifts, key=lambda shift: shift.lower)
    verdict = _verdict(worst.lower, max(shift.upper for shift in shifts), tolerated)
    if verdict is not Verdict.FAIL:
        # Not the label that moved most, but the one that may have: it is what there is to wait for.
        worst = max(shifts, key=lambda shift: shift.upper)
    label, value, lower, upper = worst
    sentence = (
        f"{_percent(ours[label], ours_total)} of {ours_total:,} predictions are {label!r}, against "
        f"{_percent(before[label], before_total)} of {before_total:,} in {against.name}"
    )
    return Gate(
        "predictions",
        verdict,
        _say(sentence, "a shift", value, lower, upper, tolerated),
        value,
        lower,
        upper,
        tolerated,
    )


def _verdict(lower: float, upper: float, tolerated: float) -> Verdict:
    if lower > tolerated:
        return Verdict.FAIL
    return Verdict.PASS if upper <= tolerated else Verdict.NOT_ENOUGH_EVIDENCE


def _say(what: str, change: str, value: float, lower: float, upper: float, tolerated: float) -> str:
    allowed = f"{100 * tolerated:.3g} points are tolerated"
    match _verdict(lower, upper, tolerated):
        case Verdict.FAIL:
            return f"{what}: {change} of {100 * value:.1f} points, and of {100 * lower:.1f} at the least; {allowed}."
        case Verdict.PASS:
            return f"{what}: {change} of {100 * upper:.1f} points at the most; {allowed}."
        case Verdict.NOT_ENOUGH_EVIDENCE:
            return (
                f"{what}: {change} of {100 * value:.1f} points, which may truly be up to {100 * upper:.1f}; "
                f"{allowed}, so more records are needed."
            )


def _counts(predictions: Mapping[str, int], labels: Sequence[str]) -> dict[str, int]:
    return {label: predictions.get(label, 0) for label in labels}


def _share(hits: int, records: int) -> float:
    return hits / records if records else 0.0


def _percent(hits: int, records: int) -> str:
    return f"{100 * _share(hits, records):.1f} %"
