"""Gates by simulation: rarely wrong however often they are looked at, with devices that differ, and not blind."""

from collections.abc import Iterator

import numpy as np
import pytest

from cloud_hub.monitoring.evidence import Evidence, Tally
from cloud_hub.monitoring.gates import About, Case, Tolerances, Verdict, judge

LABELS = ("cat", "dog", "fox", "owl")
ABOUT = About(LABELS)
SHARES = np.array([0.4, 0.3, 0.2, 0.1])

# Hundreds of looks each: a busy machine may take its time.
pytestmark = pytest.mark.timeout(600)


def only(**changes: float) -> Tolerances:
    """Tolerances with these gates on and no others, and 5 % of false alarms, so that too many would be seen."""
    off = dict.fromkeys(
        (
            "installs_failed",
            "parity_failed",
            "error_increase",
            "memory_ratio",
            "temperature_rise",
            "prediction_shift",
            "confidence_shift",
            "feature_shift",
            "disagreement",
            "accuracy_drop",
        )
    )
    return Tolerances(**{**off, "latency_ratios": {}, "false_alarms": 0.05, **changes})  # type: ignore[arg-type]


#: Any change is too much: then a false alarm is a failure of the statistics, and not saved by the tolerance.
STRICT = only(prediction_shift=1e-6, error_increase=1e-6)


def looks(seed: int, sizes: tuple[int, int], alike: float, move: float = 0.0, fail: float = 0.004) -> Iterator[Case]:
    """A rollout after ever more records: `sizes` devices of both cohorts, whose label shares are Dirichlet distributed
    with the concentration `alike`, with no past; the treated move by `move` to "owl" and fail so often."""
    chance = np.random.default_rng(seed)
    cohorts: list[dict[str, Tally]] = [{}, {}]
    shares = [chance.dirichlet(SHARES * alike, size) for size in sizes]
    shares[0] = shares[0] * (1 - move) + move * np.eye(4)[3]
    failing = [chance.beta(rate * 200, (1 - rate) * 200, size) for rate, size in zip((fail, 0.004), sizes, strict=True)]
    for step in range(14):
        records = int(20 * 1.5**step)
        for kind, cohort, of, failed in zip(("new", "old"), cohorts, shares, failing, strict=True):
            for device, (share, often) in enumerate(zip(of, failed, strict=True)):
                name = f"{kind}-{device}"
                known = cohort.get(name, Tally())
                said = chance.multinomial(records, share)
                cohort[name] = Tally(
                    1,
                    known.records + records,
                    known.errors + int(chance.binomial(records, often)),
                    predictions={
                        label: known.predictions.get(label, 0) + int(n) for label, n in zip(LABELS, said, strict=True)
                    },
                )
        yield Case(Evidence(dict(cohorts[0])), Evidence(dict(cohorts[1])), about=ABOUT)


def fails(cases: Iterator[Case], tolerances: Tolerances) -> bool:
    return any(gate.verdict is Verdict.FAIL for case in cases for gate in judge(case, tolerances))


SIZES = [(1, 5), (3, 20), (12, 24)]


@pytest.mark.parametrize("sizes", SIZES[:2])
def test_no_difference_rarely_fails_however_often_it_is_looked_at(sizes: tuple[int, int]) -> None:
    assert sum(fails(looks(seed, sizes, 100.0), STRICT) for seed in range(3)) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("alike", [15.0, 100.0, 3_000.0])
@pytest.mark.parametrize("sizes", SIZES)
def test_no_difference_rarely_fails_whether_devices_are_alike_or_not(sizes: tuple[int, int], alike: float) -> None:
    # 5 % are promised: 40 rollouts that kept it would show more than 6 less than once in 70 times.
    assert sum(fails(looks(seed, sizes, alike), STRICT) for seed in range(40)) <= 6


@pytest.mark.slow
def test_a_plain_shift_is_nearly_always_seen() -> None:
    tolerances = only(prediction_shift=0.05)
    assert sum(fails(looks(seed, (12, 24), 200.0, move=0.3), tolerances) for seed in range(20)) >= 18


@pytest.mark.slow
def test_a_plain_rise_of_errors_is_nearly_always_seen() -> None:
    tolerances = only(error_increase=0.01)
    assert sum(fails(looks(seed, (12, 24), 200.0, fail=0.08), tolerances) for seed in range(20)) >= 18


@pytest.mark.slow
def test_what_is_beyond_the_tolerance_rarely_passes() -> None:
    tolerances = only(prediction_shift=0.05)
    passed = 0
    for seed in range(40):
        cases = looks(seed, (4, 24), 1e6, move=0.06)
        passed += any(gate.verdict is Verdict.PASS for case in cases for gate in judge(case, tolerances))
    assert passed <= 6
