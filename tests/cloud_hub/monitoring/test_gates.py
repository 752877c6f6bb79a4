"""Gates: what they say of plain cases, and what they say when there is little or nothing to go by."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_hub.monitoring.evidence import Evidence, Tally
from cloud_hub.monitoring.gates import About, Case, Edges, Gate, Outcomes, Tolerances, Verdict, judge
from fleet_contract.histogram import latency_bucket

LABELS = tuple("0123456789")
EVEN = dict.fromkeys(LABELS, 100)
ABOUT = About(LABELS, EVEN)


def cohort(name: str, devices: int, predictions: Mapping[str, int], errors: int = 0) -> Evidence:
    """So many devices, each with those counts."""
    one = Tally(1, sum(predictions.values()), errors, {}, predictions)
    return Evidence({f"{name}-{number}": one for number in range(devices)})


def case(treated: Evidence, control: Evidence, past: Evidence | None = None) -> Case:
    return Case(treated, control, past or Evidence(), about=ABOUT)


def times(predictions: Mapping[str, int], factor: int) -> dict[str, int]:
    return {label: count * factor for label, count in predictions.items()}


def of(name: str, gates: Sequence[Gate]) -> Gate:
    (gate,) = [gate for gate in gates if gate.name == name]
    return gate


def verdict(name: str, of_case: Case, tolerances: Tolerances | None = None) -> Verdict:
    return of(name, judge(of_case, tolerances or Tolerances())).verdict


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


def test_no_telemetry_is_never_enough() -> None:
    nothing, some = Evidence(), cohort("some", 3, EVEN)
    for treated, control in ((nothing, some), (some, nothing), (nothing, nothing)):
        for gate in judge(case(treated, control), Tolerances()):
            assert gate.verdict is Verdict.NOT_ENOUGH_EVIDENCE, gate


def test_some_gates_wait_for_data_and_the_others_are_asked_once_there_is_some() -> None:
    def asked(of_case: Case) -> set[str]:
        return {gate.name for gate in judge(of_case, Tolerances())}

    always = {"installs", "parity", "errors", "latency", "predictions"}
    assert asked(case(Evidence(), Evidence())) == always
    assert asked(replace(case(Evidence(), Evidence()), concurrent=False)) == always - {"latency"}
    assert asked(Case()) == always - {"predictions"}
    some = {
        "memory": Tally(memory={400: 1}),
        "temperature": Tally(temperature={40: 1}),
        "accuracy": Tally(labelled=1),
        "agreement": Tally(compared=1),
    }
    for name, tally in some.items():
        assert asked(case(Evidence({"new": tally}), Evidence())) == always | {name}


def test_a_gate_that_is_off_says_nothing_and_leaves_its_share_of_alarms_to_the_others() -> None:
    all_on, one_off = Tolerances(), Tolerances(error_increase=None)
    of_case = case(cohort("new", 1, EVEN), cohort("old", 1, EVEN))
    assert {gate.name for gate in judge(of_case, all_on)} - {gate.name for gate in judge(of_case, one_off)} == {
        "errors"
    }
    assert one_off.alpha == pytest.approx(all_on.alpha * 11 / 10)


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


def test_a_version_that_fails_on_one_target_only_is_found_out_there() -> None:
    fine, bad = cohort("fine", 30, EVEN), cohort("bad", 6, EVEN, 60)
    control = cohort("old-fine", 30, EVEN) + cohort("old-bad", 30, EVEN)
    targets = {device: "arm" if "bad" in device else "x86" for device in (*(fine + bad).by_device, *control.by_device)}
    whole = case(fine + bad, control)
    assert verdict("errors", whole) is not Verdict.FAIL
    gate = of("errors", judge(replace(whole, targets=targets), Tolerances()))
    assert gate.verdict is Verdict.FAIL
    assert "arm devices alone weighed" in gate.sentence


def test_a_version_that_is_in_doubt_on_one_target_is_not_cleared_by_all_others() -> None:
    def judged(errors: int) -> Gate:
        treated = cohort("fine", 30, EVEN) + cohort("bad", 2, EVEN, errors)
        control = cohort("old-fine", 30, EVEN, 1) + cohort("old-bad", 2, EVEN, 1)
        targets = {name: "arm" if "bad" in name else "x86" for name in (*treated.by_device, *control.by_device)}
        return of("errors", judge(replace(case(treated, control), targets=targets), Tolerances()))

    doubtful = judged(70)
    assert doubtful.verdict is Verdict.NOT_ENOUGH_EVIDENCE
    assert "6.5 % of 2,140 inferences failed, on 2 devices, against 0.1 % of 2,002 in the control on 2 devices" in (
        doubtful.sentence
    )
    assert "arm devices alone weighed: a rise of 6.4 points" in doubtful.sentence
    assert doubtful.upper > doubtful.value > doubtful.threshold >= doubtful.lower
    assert judged(10).verdict is Verdict.PASS


def one_of_arm(records: int, errors: int = 0, *, exposing: bool = True, control: int = 2) -> Gate:
    """What the gate on errors says of 30 devices that are fine and one of another target."""
    treated = cohort("fine", 30, EVEN) + Evidence({"arm": Tally(1, records - errors, errors)})
    others = cohort("old-fine", 30, EVEN, 1) + cohort("old-arm", control, EVEN, 1)
    targets = {name: "arm" if "arm" in name else "x86" for name in (*treated.by_device, *others.by_device)}
    return of("errors", judge(replace(case(treated, others), targets=targets, exposing=exposing), Tolerances()))


def test_each_target_must_have_shown_by_itself_that_no_harm_is_done_there() -> None:
    held = one_of_arm(40)
    assert held.verdict is Verdict.NOT_ENOUGH_EVIDENCE
    assert "0.0 % of 40 inferences failed, on 1 device" in held.sentence
    assert "arm devices alone weighed" in held.sentence
    assert "so more records are needed" in held.sentence
    assert [one_of_arm(100).verdict, one_of_arm(150, 1).verdict] == [Verdict.PASS, Verdict.PASS]
    # What is tolerated is so on one target, too, once that is known well enough.
    assert one_of_arm(2_000, 38).verdict is Verdict.NOT_ENOUGH_EVIDENCE
    assert one_of_arm(2_000_000, 38_000).verdict is Verdict.PASS
    # All that is known of it speaks against it; that it is the version's fault is not proved.
    assert one_of_arm(400, 20).verdict is Verdict.NOT_ENOUGH_EVIDENCE


@pytest.mark.parametrize("past", [Evidence(), cohort("fine", 30, EVEN, 1) + cohort("arm", 1, EVEN, 1)])
def test_nor_is_the_first_version_of_a_fleet_cleared_on_one_target_by_all_others(past: Evidence) -> None:
    def judged(records: int, errors: int = 0, *, exposing: bool = True) -> Gate:
        treated = cohort("fine", 30, EVEN) + Evidence({"arm-0": Tally(1, records - errors, errors)})
        targets = {name: "arm" if "arm" in name else "x86" for name in treated.by_device}
        alone = Case(treated, Evidence(), past, concurrent=False, targets=targets, exposing=exposing)
        return of("errors", judge(alone, Tolerances()))

    held = judged(20, 10)
    assert held.verdict is Verdict.NOT_ENOUGH_EVIDENCE
    assert "50.0 % of 20 inferences failed, on 1 device" in held.sentence
    assert "arm devices alone weighed" in held.sentence
    assert [judged(40).verdict, judged(100).verdict] == [Verdict.NOT_ENOUGH_EVIDENCE, Verdict.PASS]
    assert judged(40, exposing=False).verdict is Verdict.PASS


def test_a_target_is_asked_for_nothing_that_it_cannot_show_or_that_protects_nobody() -> None:
    assert one_of_arm(40, exposing=False).verdict is Verdict.PASS
    assert one_of_arm(40, control=0).verdict is Verdict.PASS


def test_a_version_that_is_slow_on_one_target_only_is_not_cleared_by_all_others() -> None:
    usual = {latency_bucket(4_000.0) + step: 25 for step in range(40)}

    def shown(name: str, devices: int, late: int = 0) -> Evidence:
        one = Tally(1, 1_000 + late, 0, usual | {latency_bucket(30_000.0): late}, EVEN)
        return Evidence({f"{name}-{number}": one for number in range(devices)})

    def judged(late: int) -> Gate:
        treated, control = shown("fine", 30) + shown("arm", 1, late), shown("old-fine", 30) + shown("old-arm", 2)
        targets = {name: "arm" if "arm" in name else "x86" for name in (*treated.by_device, *control.by_device)}
        past = control + shown("fine", 30) + shown("arm", 1)
        return of("latency", judge(replace(case(treated, control, past), targets=targets), Tolerances()))

    assert judged(0).verdict is Verdict.PASS
    held = judged(120)
    assert held.verdict is Verdict.NOT_ENOUGH_EVIDENCE
    assert "arm devices alone weighed" in held.sentence


def test_nor_is_one_that_is_slow_there_where_all_devices_are_held_against_their_past_alone() -> None:
    usual = {latency_bucket(4_000.0) + step: 25 for step in range(40)}

    def judged(records: int, late: int = 0) -> Gate:
        arm = {latency_bucket(4_000.0): records - late, latency_bucket(30_000.0): late}
        treated = Evidence({f"fine-{number}": Tally(1, 1_000, 0, usual, EVEN) for number in range(30)})
        past = treated + Evidence({"arm-0": Tally(1, 1_000, 0, usual, EVEN)})
        treated += Evidence({"arm-0": Tally(1, records, 0, arm)})
        targets = {name: "arm" if "arm" in name else "x86" for name in treated.by_device}
        return of("latency", judge(Case(treated, past=past, concurrent=False, targets=targets), Tolerances()))

    assert judged(200).verdict is Verdict.PASS
    held = judged(200, 30)
    assert held.verdict is Verdict.NOT_ENOUGH_EVIDENCE
    assert "arm devices alone weighed" in held.sentence


def test_devices_that_are_there_for_their_target_alone_speak_for_no_other() -> None:
    fine, control = cohort("fine", 30, EVEN), cohort("old", 30, EVEN)
    rare = {"new-rare": {**dict.fromkeys(LABELS, 0), "3": 1_000}, "old-rare": {**dict.fromkeys(LABELS, 0), "5": 1_000}}
    new, old = (cohort(name, 12, counts) for name, counts in rare.items())
    targets = {
        name: "arm" if "rare" in name else "x86" for name in (*(fine + new).by_device, *(control + old).by_device)
    }
    whole = replace(
        case(fine + new, control + old),
        targets=targets,
        treated_for_target=frozenset(new.by_device),
        control_for_target=frozenset(old.by_device),
    )
    gate = of("predictions", judge(whole, Tolerances()))
    assert gate.verdict is Verdict.FAIL
    assert (
        "0.0 % of 12,000 predictions are '5', on 12 devices, against 100.0 % of 12,000 in the control" in gate.sentence
    )
    assert "arm devices alone weighed" in gate.sentence
    alike = cohort("old-rare", 12, rare["new-rare"])
    same = replace(whole, control=control + alike)
    gate = of("predictions", judge(same, Tolerances()))
    assert (gate.verdict, gate.value) == (Verdict.PASS, pytest.approx(0.0, abs=1e-9))
    # Had they spoken for all, more of them in one cohort than in the other would be a shift.
    more = replace(same, control=control + cohort("old-rare", 4, rare["new-rare"]))
    assert of("predictions", judge(more, Tolerances())).value == pytest.approx(0.0, abs=1e-9)


def test_an_odd_share_of_few_records_on_one_target_casts_no_doubt() -> None:
    lone, odd = cohort("lone", 1, {**dict.fromkeys(LABELS, 3), "3": 9}), cohort("fine", 30, EVEN)
    control = cohort("old", 30, EVEN) + cohort("old-lone", 3, EVEN)
    targets = {name: "arm" if "lone" in name else "x86" for name in (*(lone + odd).by_device, *control.by_device)}
    assert verdict("predictions", replace(case(lone + odd, control), targets=targets)) is Verdict.PASS


def test_devices_that_could_not_install_it_are_counted_by_code() -> None:
    outcomes = Outcomes(20, {"load-failed": 15, "golden-disagrees": 1})
    gates = judge(replace(case(Evidence(), Evidence()), outcomes=outcomes), Tolerances())
    assert of("installs", gates).verdict is Verdict.FAIL
    assert "15 of 36 devices could not install it (load-failed 15), 41.7 %" in of("installs", gates).sentence
    assert of("parity", gates).verdict is Verdict.NOT_ENOUGH_EVIDENCE
    assert "1 of 36 devices computed other outputs for the golden set" in of("parity", gates).sentence


def test_one_canary_that_runs_it_passes_installs_and_parity() -> None:
    gates = judge(replace(case(Evidence(), Evidence()), outcomes=Outcomes(1)), Tolerances())
    assert of("installs", gates).verdict is Verdict.PASS
    assert of("parity", gates).verdict is Verdict.PASS


def slow(name: str, devices: int, milliseconds: float) -> Evidence:
    around = [milliseconds * (0.8 + 0.01 * step) for step in range(40)]
    latency: dict[int, int] = {}
    for one in around:
        latency[latency_bucket(one * 1000)] = latency.get(latency_bucket(one * 1000), 0) + 50
    return Evidence({f"{name}-{number}": Tally(1, 2_000, 0, latency) for number in range(devices)})


def test_latency_fails_when_it_more_than_doubles_and_says_from_what() -> None:
    gate = of("latency", judge(case(slow("new", 8, 21), slow("old", 12, 10)), Tolerances()))
    assert gate.verdict is Verdict.FAIL
    assert "took longer than 1.5 times the usual p95 (11.9 ms)" in gate.sentence
    assert verdict("latency", case(slow("new", 8, 10.5), slow("old", 12, 10))) is Verdict.PASS


def test_a_gateway_that_always_was_slow_is_compared_with_itself() -> None:
    past = slow("new", 3, 40) + slow("old", 12, 10)
    assert verdict("latency", case(slow("new", 3, 40), slow("old", 12, 10), past)) is Verdict.PASS


def test_latency_is_not_judged_where_nothing_can_ever_be_compared() -> None:
    first = replace(case(slow("new", 3, 40), Evidence()), concurrent=False)
    assert "latency" not in {gate.name for gate in judge(first, Tolerances())}


@pytest.mark.parametrize("concurrent", [True, False])
def test_a_device_of_which_nothing_is_known_is_not_slower_than_nothing(concurrent: bool) -> None:
    little = replace(slow("new", 1, 40).by_device["new-0"], records=40, latency={latency_bucket(40_000): 40})
    past = Evidence({"new-0": little})
    treated = slow("new", 6, 40)
    gates = judge(replace(case(treated, Evidence(), past), concurrent=concurrent), Tolerances())
    said = {gate.verdict for gate in gates if gate.name == "latency"}
    assert said <= {Verdict.NOT_ENOUGH_EVIDENCE}, "nor is it known to be as fast"
    fewer = replace(case(treated, Evidence(), slow("new", 2, 40)), concurrent=concurrent)
    assert Verdict.FAIL not in {gate.verdict for gate in judge(fewer, Tolerances()) if gate.name == "latency"}


def test_the_memory_of_a_device_of_which_nothing_is_known_is_not_more_than_none() -> None:
    past = warm("new", 1, 50, 100)
    gates = judge(replace(case(warm("new", 6, 50, 100), Evidence(), past), concurrent=False), Tolerances())
    assert Verdict.FAIL not in {gate.verdict for gate in gates}


def warm(name: str, devices: int, degrees: int, megabytes: int) -> Evidence:
    from cloud_hub.monitoring.evidence import memory_bucket

    one = Tally(
        200,
        memory={memory_bucket(megabytes * 1_000_000): 200},
        temperature={degrees - 1: 100, degrees: 100},
    )
    return Evidence({f"{name}-{number}": one for number in range(devices)})


def test_memory_and_temperature_fail_on_many_devices_and_not_on_one() -> None:
    past = warm("new", 10, 50, 100) + warm("old", 20, 60, 100)
    control = warm("old", 20, 60, 100)
    fine = case(warm("new", 10, 52, 110), control, past)
    assert verdict("memory", fine) is verdict("temperature", fine) is Verdict.PASS
    worse = case(warm("new", 10, 70, 200), control, past)
    assert verdict("memory", worse) is verdict("temperature", worse) is Verdict.FAIL
    one = case(warm("new", 1, 70, 200), warm("old", 3, 60, 100), past)
    assert verdict("memory", one) is verdict("temperature", one) is Verdict.NOT_ENOUGH_EVIDENCE


EDGES = About(
    LABELS,
    edges={"a": Edges((0.25, 0.5, 0.75)), "b": Edges((0.5, 0.9)), "c": Edges((0.1,))},
)


def confident(name: str, digest: str, counts: tuple[int, ...], devices: int = 10) -> Evidence:
    one = Tally(1, sum(counts), confidence={digest: counts})
    return Evidence({f"{name}-{number}": one for number in range(devices)})


def test_confidence_is_compared_where_both_versions_cut_it() -> None:
    sure, unsure = confident("old", "b", (100, 100, 800)), confident("new", "a", (300, 400, 200, 100))
    gate = of("confidence", judge(Case(unsure, sure, about=EDGES), Tolerances()))
    assert gate.verdict is Verdict.FAIL
    assert "have a confidence below 0.5" in gate.sentence
    assert gate.value == pytest.approx(0.6)


def test_confidence_that_is_cut_elsewhere_or_wrongly_says_nothing() -> None:
    sure = confident("old", "b", (100, 100, 800))
    other = Case(confident("new", "c", (100, 900)), sure, about=EDGES)
    assert "confidence" not in {gate.name for gate in judge(other, Tolerances())}
    wrong = Case(confident("new", "b", (1, 2, 3, 4)), sure, about=EDGES)
    assert verdict("confidence", wrong) is Verdict.NOT_ENOUGH_EVIDENCE


def seen(name: str, counts: tuple[int, ...], devices: int = 10) -> Evidence:
    one = Tally(1, sum(counts), features={("a", "image.mean"): counts})
    return Evidence({f"{name}-{number}": one for number in range(devices)})


def test_inputs_that_drifted_everywhere_are_the_worlds_and_told_from_training() -> None:
    edges = {"image.mean": (0.2, 0.4)}
    about = About(
        features={"image.mean": (500, 300, 200)},
        feature_edges=edges,
        edges={"a": Edges(features=edges)},
    )
    world = Case(seen("new", (100, 100, 800)), seen("old", (100, 100, 800)), about=about)
    gate = of("features", judge(world, Tolerances()))
    assert gate.verdict is Verdict.PASS
    assert "these are 60.0 points away, and the control 60.0" in gate.sentence
    assert verdict("features", replace(world, control=seen("old", (500, 300, 200)))) is Verdict.FAIL


def shadow(devices: int, agreed: int) -> Evidence:
    return Evidence({f"new-{number}": Tally(1, 500, compared=500, agreed=agreed) for number in range(devices)})


def test_a_shadow_must_agree_with_the_version_that_answers() -> None:
    assert verdict("agreement", case(shadow(1, 490), Evidence())) is Verdict.PASS
    assert verdict("agreement", case(shadow(20, 100), Evidence())) is Verdict.FAIL
    assert "agreement" not in {gate.name for gate in judge(case(Evidence(), Evidence()), Tolerances())}


def test_a_device_that_agrees_more_often_than_it_compared_stops_nobody() -> None:
    wrong = Evidence(
        {"new-1": Tally(1, 10, compared=10, agreed=2_000), "new-2": Tally(1, 500, compared=500, agreed=490)}
    )
    assert verdict("agreement", case(wrong, Evidence())) is Verdict.PASS


def labelled(name: str, devices: int, correct: int) -> Evidence:
    return Evidence({f"{name}-{n}": Tally(1, 500, labelled=500, correct=correct) for n in range(devices)})


def test_accuracy_is_judged_where_labels_arrive() -> None:
    assert verdict("accuracy", case(labelled("new", 10, 480), labelled("old", 20, 480))) is Verdict.PASS
    assert verdict("accuracy", case(labelled("new", 10, 300), labelled("old", 20, 480))) is Verdict.FAIL
    assert verdict("accuracy", case(Evidence(), labelled("old", 20, 480))) is Verdict.NOT_ENOUGH_EVIDENCE


def test_what_another_version_alone_can_predict_is_part_of_the_distribution() -> None:
    about = About(("cat", "dog"), {"cat": 1, "dog": 1})
    control = cohort("old", 10, {"cat": 300, "dog": 300, "fox": 400})
    gate = of(
        "predictions", judge(Case(cohort("new", 10, {"cat": 500, "dog": 500}), control, about=about), Tolerances())
    )
    assert gate.verdict is Verdict.FAIL
    assert "are 'fox'" in gate.sentence


NONSENSE = {
    "nothing": Tally(),
    "only errors": Tally(1, 0, 1_000),
    "one record": Tally(1, 1, 0, {5: 1}, {"0": 1}),
    "huge": Tally(1, 10**15, 10**13, {5: 10**15}, {"0": 10**15}),
    "far latencies": Tally(1, 100, 0, {0: 50, 1000: 50}, {"0": 100}),
    "wrong counts": Tally(
        1, 10, compared=1, agreed=9, labelled=1, correct=9, features={("a", "f"): (1, 2), ("?", "f"): (1,)}
    ),
}


@pytest.mark.parametrize("treated", NONSENSE.values(), ids=NONSENSE)
@pytest.mark.parametrize("control", NONSENSE.values(), ids=NONSENSE)
@pytest.mark.parametrize("concurrent", [True, False])
def test_nonsense_gets_a_finite_verdict_and_never_passes_a_device_that_showed_nothing(
    treated: Tally, control: Tally, concurrent: bool
) -> None:
    edges = {"a": Edges((float("nan"),), {"f": (float("nan"),)})}
    new, old = Evidence({"new": treated}), Evidence({"old": control})
    of_case = Case(new, old, new + old, about=replace(ABOUT, edges=edges), concurrent=concurrent)
    for gate in judge(of_case, Tolerances()):
        assert all(isfinite(number) for number in (gate.value, gate.lower, gate.upper)), gate
        if treated == Tally():
            assert gate.verdict is Verdict.NOT_ENOUGH_EVIDENCE


COUNTS = st.dictionaries(st.sampled_from(LABELS), st.integers(0, 2_000))
COHORT = st.lists(st.tuples(COUNTS, st.integers(0, 500)), max_size=4)


def gathered(name: str, many: Sequence[tuple[Mapping[str, int], int]]) -> Evidence:
    return Evidence(
        {f"{name}-{n}": Tally(1, sum(counts.values()), errors, {}, counts) for n, (counts, errors) in enumerate(many)}
    )


@settings(max_examples=40)
@given(COHORT, COHORT, COHORT, st.booleans())
def test_verdict_bounds_and_sentence_agree(
    treated: Sequence[tuple[dict[str, int], int]],
    control: Sequence[tuple[dict[str, int], int]],
    past: Sequence[tuple[dict[str, int], int]],
    concurrent: bool,
) -> None:
    of_case = case(gathered("new", treated), gathered("old", control), gathered("new", past) + gathered("old", past))
    for gate in judge(replace(of_case, concurrent=concurrent), Tolerances()):
        assert gate.lower <= gate.value + 1e-9
        assert gate.value <= gate.upper + 1e-9
        assert (gate.verdict is Verdict.FAIL) == (gate.lower > gate.threshold)
        assert (gate.verdict is Verdict.PASS) == (gate.upper <= gate.threshold)
        assert gate.sentence.endswith(".")
