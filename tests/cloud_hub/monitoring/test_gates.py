"""Gates: what they say, that they rarely cry wolf however often they are looked at, and that they see a plain shift."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.monitoring.evidence import Evidence, Tally
from cloud_hub.monitoring.gates import Baseline, Gate, Tolerances, Verdict, baseline, judge

LABELS = tuple("0123456789")
EVEN = dict.fromkeys(LABELS, 100)


def evidence(predictions: dict[str, int], errors: int = 0, device: str = "gateway-1") -> Evidence:
    return Evidence({device: Tally(1, sum(predictions.values()), errors, {}, predictions)})


def control(predictions: dict[str, int], errors: int = 0) -> Baseline:
    return baseline(evidence(predictions, errors, "gateway-2"), {}, concurrent=True)


def times(predictions: dict[str, int], factor: int) -> dict[str, int]:
    return {label: count * factor for label, count in predictions.items()}


def by_name(gates: Sequence[Gate]) -> dict[str, Gate]:
    return {gate.name: gate for gate in gates}


def verdicts(gates: Sequence[Gate]) -> dict[str, Verdict]:
    return {gate.name: gate.verdict for gate in gates}


def test_two_that_are_alike_pass_once_there_is_enough() -> None:
    few = dict.fromkeys(LABELS, 40)
    assert verdicts(judge(evidence(few), control(few), LABELS, Tolerances())) == {
        "errors": Verdict.NOT_ENOUGH_EVIDENCE,
        "predictions": Verdict.NOT_ENOUGH_EVIDENCE,
    }
    assert verdicts(judge(evidence(times(EVEN, 3)), control(times(EVEN, 5)), LABELS, Tolerances())) == {
        "errors": Verdict.PASS,
        "predictions": Verdict.PASS,
    }


def test_a_shift_fails_and_names_the_label_with_both_shares() -> None:
    shifted = {**dict.fromkeys(LABELS, 20), "3": 220}
    gate = by_name(judge(evidence(shifted), control(EVEN), LABELS, Tolerances()))["predictions"]
    assert gate.verdict is Verdict.FAIL
    assert gate.sentence.startswith("55.0 % of 400 predictions are '3', against 10.0 % of 1,000 in the control: ")
    assert gate.value == pytest.approx(0.45)
    assert 0.1 < gate.lower < gate.value < gate.upper


def test_errors_fail_and_a_sentence_says_how_many() -> None:
    gate = by_name(judge(evidence(EVEN, errors=120), control(EVEN, errors=1), LABELS, Tolerances()))["errors"]
    assert gate.verdict is Verdict.FAIL
    assert "10.7 % of 1,120 inferences failed, against 0.1 % of 1,001 in the control" in gate.sentence


def test_fewer_errors_than_before_are_no_reason_to_fail() -> None:
    gate = by_name(judge(evidence(times(EVEN, 2)), control(times(EVEN, 2), errors=400), LABELS, Tolerances()))["errors"]
    assert gate.verdict is Verdict.PASS
    assert gate.value < 0


def test_no_telemetry_is_never_enough() -> None:
    nothing = Evidence()
    for treated, against in ((nothing, control(EVEN)), (evidence(EVEN), control({})), (nothing, control({}))):
        gates = judge(treated, against, LABELS, Tolerances())
        assert verdicts(gates)["predictions"] is Verdict.NOT_ENOUGH_EVIDENCE
    assert verdicts(judge(nothing, control({}), LABELS, Tolerances()))["errors"] is Verdict.NOT_ENOUGH_EVIDENCE


def test_a_gate_that_is_off_says_nothing_and_leaves_its_share_of_alarms_to_the_others() -> None:
    both, one = Tolerances(), Tolerances(error_increase=None)
    assert set(verdicts(judge(evidence(EVEN), control(EVEN), LABELS, one))) == {"predictions"}
    assert one.alpha == 2 * both.alpha
    assert judge(evidence(EVEN), control(EVEN), (), one) == ()


def test_the_reference_stands_in_only_when_no_control_can_come() -> None:
    little = evidence({"0": 5})
    assert baseline(little, EVEN, concurrent=True).name == "the control"
    assert baseline(little, EVEN, concurrent=False).name == "the reference"
    assert baseline(evidence(times(EVEN, 2)), EVEN, concurrent=False).name == "the control"


def test_a_small_reference_holds_nothing_up_and_fails_little() -> None:
    small = baseline(Evidence(), {"0": 4, "1": 3, "2": 3}, concurrent=False)
    labels = ("0", "1", "2")
    near = evidence({"0": 400, "1": 300, "2": 300})
    assert verdicts(judge(near, small, labels, Tolerances()))["predictions"] is Verdict.PASS
    further = evidence({"0": 600, "1": 200, "2": 200})
    assert verdicts(judge(further, small, labels, Tolerances()))["predictions"] is Verdict.NOT_ENOUGH_EVIDENCE
    far = evidence({"0": 0, "1": 0, "2": 1_000})
    assert (
        verdicts(judge(further, baseline(Evidence(), {}, concurrent=False), labels, Tolerances()))["predictions"]
        is Verdict.NOT_ENOUGH_EVIDENCE
    )
    assert verdicts(judge(far, small, labels, Tolerances()))["predictions"] is not Verdict.PASS


def test_against_a_reference_no_failed_inference_is_expected() -> None:
    against = baseline(Evidence(), times(EVEN, 5), concurrent=False)
    gates = by_name(judge(evidence(times(EVEN, 5), errors=400), against, LABELS, Tolerances()))
    assert gates["errors"].verdict is Verdict.FAIL
    assert "no device runs another version" in gates["errors"].sentence
    assert gates["predictions"].verdict is Verdict.PASS


COUNTS = st.dictionaries(st.sampled_from(LABELS), st.integers(0, 2_000))


@given(COUNTS, st.integers(0, 500), COUNTS, st.integers(0, 500), st.booleans())
def test_verdict_bounds_and_sentence_agree(
    treated: dict[str, int], failed: int, before: dict[str, int], failed_before: int, concurrent: bool
) -> None:
    against = baseline(evidence(before, failed_before), EVEN, concurrent=concurrent)
    for gate in judge(evidence(treated, failed), against, LABELS, Tolerances()):
        assert gate.lower <= gate.value + 1e-9
        assert gate.value <= gate.upper + 1e-9
        assert (gate.verdict is Verdict.FAIL) == (gate.lower > gate.threshold)
        assert (gate.verdict is Verdict.PASS) == (gate.upper <= gate.threshold)
        assert gate.sentence.endswith(".")


# --- by simulation -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """How two versions behave: the share of failed inferences, and the weights of their predictions."""

    errors: float
    predictions: Sequence[float]

    def window(self, source: random.Random, records: int) -> tuple[int, Counter[str]]:
        failed = sum(source.random() < self.errors for _ in range(records))
        return failed, Counter(source.choices(LABELS, self.predictions, k=records - failed))


def rollout(
    source: random.Random, treated: World, before: World, looks: int, window: int, tolerances: Tolerances
) -> Iterator[tuple[int, tuple[Gate, ...]]]:
    """Looks at one rollout after each window: records of the treated so far, and verdicts."""
    ours, theirs, failed, failed_before = Counter[str](), Counter[str](), 0, 0
    for _ in range(looks):
        errors, predictions = treated.window(source, window)
        ours, failed = ours + predictions, failed + errors
        errors, predictions = before.window(source, 3 * window)
        theirs, failed_before = theirs + predictions, failed_before + errors
        gates = judge(evidence(dict(ours), failed), control(dict(theirs), failed_before), LABELS, tolerances)
        yield ours.total() + failed, gates


def first(verdict: Verdict, looks: Iterator[tuple[int, tuple[Gate, ...]]]) -> int | None:
    """The records after which some gate failed, or all were passed."""
    for records, gates in looks:
        found = [gate.verdict is verdict for gate in gates]
        if any(found) if verdict is Verdict.FAIL else all(found):
            return records
    return None


UNEVEN = (3, 2, 1, 1, 1, 1, 0.5, 0.3, 0.1, 0.1)
SAME = World(0.001, UNEVEN)
#: Any change at all is too much: then a false alarm is a failure of the statistics, and not saved by the tolerance.
STRICT = Tolerances(error_increase=1e-9, prediction_shift=1e-9, false_alarms=0.05)


def false_alarms(runs: int, looks: int, seed: int, tolerances: Tolerances) -> int:
    source = random.Random(seed)
    return sum(first(Verdict.FAIL, rollout(source, SAME, SAME, looks, 25, tolerances)) is not None for _ in range(runs))


def test_no_difference_rarely_fails_however_often_it_is_looked_at() -> None:
    # 5 % are promised, and 60 runs of 40 looks that kept it would show more than 8 less than once in 150 times.
    assert false_alarms(60, 40, 1, STRICT) <= 8


@pytest.mark.slow
def test_no_difference_rarely_fails_in_long_rollouts_either() -> None:
    assert false_alarms(200, 150, 2, STRICT) <= 18


@pytest.mark.slow
def test_no_difference_hardly_ever_fails_within_the_tolerance() -> None:
    assert false_alarms(200, 100, 3, Tolerances()) <= 4


def detected(treated: World, runs: int, looks: int, seed: int) -> list[int | None]:
    source = random.Random(seed)
    return [first(Verdict.FAIL, rollout(source, treated, SAME, looks, 25, Tolerances())) for _ in range(runs)]


def test_a_plain_shift_is_seen_within_a_few_hundred_records() -> None:
    # Like a model that was trained on too little: one label swallows others.
    found = detected(World(0.001, (3, 2, 1, 5, 1, 1, 0.5, 0.3, 0.1, 0.1)), 20, 40, 4)
    seen = [records for records in found if records is not None]
    assert len(seen) == 20
    assert median(seen) <= 500


def test_a_plain_rise_of_errors_is_seen_within_a_thousand_records() -> None:
    found = detected(World(0.1, UNEVEN), 20, 60, 5)
    seen = [records for records in found if records is not None]
    assert len(seen) >= 19
    assert median(seen) <= 700


def test_a_version_that_is_no_different_passes_within_a_few_thousand_records() -> None:
    source = random.Random(6)
    passed = [first(Verdict.PASS, rollout(source, SAME, SAME, 50, 50, Tolerances())) for _ in range(10)]
    assert all(records is not None for records in passed)
