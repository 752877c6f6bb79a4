"""What a version predicts and how often it fails, against a control, its devices' own past, or the reference."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from cloud_hub.monitoring.evidence import Evidence
from cloud_hub.monitoring.gates import About, Case, Tolerances, Verdict, judge
from tests.cloud_hub.monitoring.gate_cases import EVEN, LABELS, case, cohort, of, times, verdict


def test_two_that_are_alike_pass_once_there_is_enough() -> None:
    few = dict.fromkeys(LABELS, 8)
    little = case(cohort("new", 1, few), cohort("old", 3, few))
    assert verdict("errors", little) is Verdict.NOT_ENOUGH_EVIDENCE
    assert verdict("predictions", little) is Verdict.NOT_ENOUGH_EVIDENCE
    enough = case(cohort("new", 1, times(EVEN, 3)), cohort("old", 3, times(EVEN, 3)))
    assert verdict("errors", enough) is Verdict.PASS
    assert verdict("predictions", enough) is Verdict.PASS


def test_a_shift_fails_and_names_the_label_with_both_shares() -> None:
    shifted = {**dict.fromkeys(LABELS, 50), "3": 550}
    gate = of("predictions", judge(case(cohort("new", 8, shifted), cohort("old", 12, EVEN)), Tolerances()))
    assert gate.verdict is Verdict.FAIL
    assert gate.sentence.startswith(
        "55.0 % of 8,000 predictions are '3', on 8 devices, against 10.0 % of 12,000 in the control on 12 devices: "
    )
    assert gate.value == pytest.approx(0.45)
    assert 0.1 < gate.lower < gate.value < gate.upper


def test_errors_fail_and_a_sentence_says_how_many() -> None:
    gate = of("errors", judge(case(cohort("new", 8, EVEN, 300), cohort("old", 12, EVEN, 1)), Tolerances()))
    assert gate.verdict is Verdict.FAIL
    assert "23.1 % of 10,400 inferences failed, on 8 devices, against 0.1 % of 12,012" in gate.sentence


def test_fewer_errors_than_before_are_no_reason_to_fail() -> None:
    gate = of("errors", judge(case(cohort("new", 8, EVEN), cohort("old", 8, EVEN, 400)), Tolerances()))
    assert gate.verdict is Verdict.PASS
    assert gate.value < 0


def test_one_odd_gateway_is_one_witness_however_many_records_it_sends() -> None:
    odd = {**dict.fromkeys(LABELS, 5_000), "3": 40_000}
    alike = [cohort(f"old-{number}", 1, {**EVEN, "3": 40 * number}) for number in range(6)]
    control = Evidence({device: one for many in alike for device, one in many})
    assert verdict("predictions", case(cohort("new", 1, odd), control)) is Verdict.NOT_ENOUGH_EVIDENCE
    assert verdict("predictions", case(cohort("new", 12, odd), control)) is Verdict.FAIL


def test_a_gateway_that_was_odd_before_is_compared_with_itself() -> None:
    odd = {**dict.fromkeys(LABELS, 50), "3": 550}
    past = cohort("new", 4, odd) + cohort("old", 12, EVEN)
    assert verdict("predictions", case(cohort("new", 4, odd), cohort("old", 12, EVEN), past)) is Verdict.PASS


def test_a_change_that_the_control_shares_is_the_worlds() -> None:
    moved, odd = {**dict.fromkeys(LABELS, 80), "3": 280}, {**dict.fromkeys(LABELS, 50), "3": 550}
    past = cohort("new", 8, EVEN) + cohort("old", 12, EVEN)
    assert verdict("predictions", case(cohort("new", 8, moved), cohort("old", 12, moved), past)) is Verdict.PASS
    assert verdict("predictions", case(cohort("new", 8, odd), cohort("old", 12, moved), past)) is Verdict.FAIL


def test_a_shift_is_told_from_the_treated_devices_own_past_where_nobody_is_a_control() -> None:
    past = cohort("new", 8, EVEN)
    shifted = {**dict.fromkeys(LABELS, 50), "3": 550}
    alone = replace(case(cohort("new", 8, shifted), Evidence(), past), concurrent=False)
    gate = of("predictions", judge(alone, Tolerances()))
    assert gate.verdict is Verdict.FAIL
    assert "where their pasts lead to expect 10.0 %" in gate.sentence


def test_the_reference_stands_in_only_when_no_control_can_come() -> None:
    alone = case(cohort("new", 1, times(EVEN, 3)), Evidence())
    assert verdict("predictions", alone) is Verdict.NOT_ENOUGH_EVIDENCE
    gate = of("predictions", judge(replace(alone, concurrent=False), Tolerances()))
    assert gate.verdict is Verdict.PASS
    assert "10.0 % in the reference" in gate.sentence


def test_a_small_reference_holds_nothing_up_and_fails_little() -> None:
    about = About(("0", "1", "2"), {"0": 4, "1": 3, "2": 3})

    def against(predictions: Mapping[str, int]) -> Verdict:
        return verdict("predictions", Case(cohort("new", 8, predictions), about=about, concurrent=False))

    assert against({"0": 400, "1": 300, "2": 300}) is Verdict.PASS
    assert against({"0": 600, "1": 200, "2": 200}) is Verdict.NOT_ENOUGH_EVIDENCE


def test_against_a_reference_no_failed_inference_is_expected() -> None:
    alone = replace(case(cohort("new", 8, EVEN, 200), Evidence()), concurrent=False)
    assert verdict("errors", alone) is Verdict.FAIL


def test_what_another_version_alone_can_predict_is_part_of_the_distribution() -> None:
    about = About(("cat", "dog"), {"cat": 1, "dog": 1})
    control = cohort("old", 10, {"cat": 300, "dog": 300, "fox": 400})
    gate = of(
        "predictions", judge(Case(cohort("new", 10, {"cat": 500, "dog": 500}), control, about=about), Tolerances())
    )
    assert gate.verdict is Verdict.FAIL
    assert "are 'fox'" in gate.sentence
