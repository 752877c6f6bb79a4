"""A version that is bad on one hardware target is found out there, and not cleared by all the others."""

from dataclasses import replace

import pytest

from cloud_hub.monitoring.evidence import Evidence, Tally
from cloud_hub.monitoring.gates import Case, Gate, Tolerances, Verdict, judge
from fleet_contract.histogram import latency_bucket
from tests.cloud_hub.monitoring.gate_cases import EVEN, LABELS, case, cohort, of, verdict


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
def test_the_first_version_of_a_fleet_is_not_cleared_on_one_target_by_all_others(past: Evidence) -> None:
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


def test_a_version_that_is_slow_on_one_target_only_is_not_cleared_where_all_are_held_against_their_past_alone() -> None:
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
