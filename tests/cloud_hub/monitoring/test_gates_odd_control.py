"""A few devices that happen to be left as a control may be odd: they hold a version, and do not condemn it."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from cloud_hub.monitoring.evidence import Evidence, Tally
from cloud_hub.monitoring.gates import About, Case, Gate, Tolerances, Verdict, judge

LABELS = tuple("0123456789")
USUAL = dict.fromkeys(LABELS, 120)
ODD = {**dict.fromkeys(LABELS, 0), "3": 1_200}
NAMES = [f"gateway-{number}" for number in range(24)]
ABOUT = About(LABELS)


def shown(names: list[str], predictions: Mapping[str, int], errors: int = 1) -> Evidence:
    return Evidence({name: Tally(1, sum(predictions.values()), errors, {}, predictions) for name in names})


PAST = shown(NAMES, dict.fromkeys(LABELS, 400))


def told(case: Case, name: str = "predictions") -> Gate:
    (gate,) = [gate for gate in judge(case, Tolerances()) if gate.name == name]
    return gate


@pytest.mark.parametrize("pinned", [1, 2, 5])
def test_pinned_devices_of_which_nothing_is_known_stop_no_version_that_changed_nothing(pinned: int) -> None:
    odd = shown([f"fresh-{number}" for number in range(pinned)], ODD)
    gate = told(Case(shown(NAMES, USUAL), odd, PAST, about=ABOUT))
    assert gate.verdict is Verdict.NOT_ENOUGH_EVIDENCE
    assert ("(fresh-0" in gate.sentence) == (pinned < 3)


def test_one_that_changed_by_itself_stops_none_either() -> None:
    odd = shown(["covered"], ODD)
    gate = told(Case(shown(NAMES, USUAL), odd, PAST + shown(["covered"], USUAL), about=ABOUT))
    assert gate.verdict is Verdict.NOT_ENOUGH_EVIDENCE
    assert "in the control on 1 device (covered)" in gate.sentence
    assert "so small a control may be odd" in gate.sentence


def test_one_odd_device_among_few_is_not_what_the_others_are() -> None:
    control = shown(["alike-1", "alike-2"], USUAL) + shown(["odd"], ODD)
    past = PAST + shown(["alike-1", "alike-2", "odd"], dict.fromkeys(LABELS, 400))
    assert told(Case(shown(NAMES, USUAL), control, past, about=ABOUT)).verdict is not Verdict.FAIL


def test_treated_devices_that_agree_tell_nothing_of_a_control_that_does_not() -> None:
    def control(*shares: float) -> Evidence:
        many = {f"other-{number}": share for number, share in enumerate(shares)}
        return Evidence(
            {
                name: Tally(
                    1,
                    1_200,
                    1,
                    {},
                    {**dict.fromkeys(LABELS, round(1_200 * (1 - share) / 9)), "3": round(1_200 * share)},
                )
                for name, share in many.items()
            }
        )

    past = PAST + shown([f"other-{number}" for number in range(12)], dict.fromkeys(LABELS, 400))
    unlike, alike = control(0.25, 0.4, 0.55), control(*[0.4] * 12)
    assert told(Case(shown(NAMES, USUAL), unlike, past, about=ABOUT)).verdict is Verdict.NOT_ENOUGH_EVIDENCE
    assert told(Case(shown(NAMES, USUAL), alike, past, about=ABOUT)).verdict is Verdict.FAIL


def test_in_the_last_wave_it_holds_nobody_whose_devices_do_as_they_did_before() -> None:
    last = Case(shown(NAMES, USUAL), shown(["fresh"], ODD), PAST, about=ABOUT, exposing=False)
    assert told(last).verdict is Verdict.PASS
    moved = {**dict.fromkeys(LABELS, 96), "3": 336}
    gate = told(replace(last, treated=shown(NAMES, moved)))
    assert (gate.verdict, gate.exhausted) == (Verdict.NOT_ENOUGH_EVIDENCE, True)
    assert "approve the version as it is, or abort it" in gate.sentence


def test_a_single_control_is_enough_where_the_devices_themselves_show_the_harm() -> None:
    bad = {**dict.fromkeys(LABELS, 40), "3": 840}
    past = PAST + shown(["pinned"], dict.fromkeys(LABELS, 400))
    assert told(Case(shown(NAMES, bad), shown(["pinned"], USUAL), past, about=ABOUT)).verdict is Verdict.FAIL
    failing = Case(shown(NAMES, USUAL, 5_000), shown(["fresh"], USUAL), about=ABOUT)
    assert told(failing, "errors").verdict is Verdict.FAIL


def test_a_hardware_target_with_a_single_odd_control_is_not_condemned_by_it() -> None:
    arm, x86 = NAMES[:8], NAMES[8:]
    others = [f"other-{number}" for number in range(12)]
    control = shown(others, USUAL) + shown(["odd"], ODD)
    targets = {**dict.fromkeys([*arm, "odd"], "arm"), **dict.fromkeys([*x86, *others], "x86")}
    past = PAST + shown([*others, "odd"], dict.fromkeys(LABELS, 400))
    gate = told(Case(shown(NAMES, USUAL), control, past, about=ABOUT, targets=targets))
    assert gate.verdict is not Verdict.FAIL
