"""A control counts for what it showed in the same time, and where none is left little can be blamed on the version."""

from collections.abc import Mapping
from dataclasses import replace

from cloud_hub.monitoring.evidence import Evidence, Tally
from cloud_hub.monitoring.gates import About, Case, Gate, Tolerances, Verdict, judge
from cloud_hub.monitoring.periods import Period

LABELS = tuple("0123456789")
BEFORE = dict.fromkeys(LABELS, 60)
CHANGED = {**dict.fromkeys(LABELS, 40), "3": 240}
NAMES = [f"gateway-{number}" for number in range(30)]


def shown(names: list[str], predictions: Mapping[str, int], errors: int = 1) -> Evidence:
    return Evidence({name: Tally(1, sum(predictions.values()), errors, {}, predictions) for name in names})


PAST = shown(NAMES, dict.fromkeys(LABELS, 400))
#: A wave of which the version is cleared.
GOOD = Period(shown(NAMES[:8], BEFORE), shown(NAMES[8:], BEFORE))


def told(name: str, case: Case) -> Gate:
    (gate,) = [gate for gate in judge(case, Tolerances()) if gate.name == name]
    return gate


def alone(predictions: Mapping[str, int], errors: int = 1, earlier: tuple[Period, ...] = (GOOD,)) -> Case:
    """The last wave: every device has the version, after `earlier`."""
    return Case(
        shown(NAMES, predictions, errors),
        Evidence(),
        PAST,
        about=About(LABELS),
        earlier=(*earlier, Period(shown(NAMES, predictions, errors), Evidence(), 60)),
        since_seconds=240,
        exposing=False,
    )


def test_a_world_that_changes_while_devices_pass_over_is_not_the_version() -> None:
    early = Period(shown(NAMES[:3], BEFORE), shown(NAMES[3:], BEFORE))
    late = Period(shown(NAMES[:27], CHANGED, 40), shown(NAMES[27:], CHANGED, 40), 60)
    by_period = Case(late.treated, late.control, PAST, about=About(LABELS), earlier=(early,), since_seconds=60)
    assert told("predictions", by_period).verdict is Verdict.PASS
    assert told("errors", by_period).verdict is Verdict.PASS
    at_once = replace(by_period, treated=early.treated + late.treated, control=early.control + late.control, earlier=())
    assert told("predictions", at_once).verdict is Verdict.FAIL


def test_a_version_that_is_bad_is_told_from_a_world_that_changes_as_well() -> None:
    early = Period(shown(NAMES[:8], BEFORE, 60), shown(NAMES[8:], BEFORE))
    late = Period(shown(NAMES[:20], CHANGED, 100), shown(NAMES[20:], CHANGED, 40), 60)
    case = Case(late.treated, late.control, PAST, about=About(LABELS), earlier=(early,), since_seconds=60)
    assert told("errors", case).verdict is Verdict.FAIL
    assert told("predictions", case).verdict is Verdict.PASS


def test_what_a_control_did_while_nobody_ran_the_version_is_not_counted() -> None:
    before = Period(Evidence(), shown(NAMES[8:], CHANGED, 60))
    one = Case(GOOD.treated, GOOD.control, PAST, about=About(LABELS), earlier=(before,), since_seconds=60)
    only = Case(GOOD.treated, GOOD.control, PAST, about=About(LABELS), since_seconds=60)
    assert judge(one, Tolerances()) == judge(only, Tolerances())


def test_once_no_control_is_left_a_change_of_the_world_stops_no_version_that_was_cleared() -> None:
    case = alone(CHANGED, errors=40)
    for name in ("predictions", "errors"):
        gate = told(name, case)
        assert gate.verdict is Verdict.PASS
        assert gate.sentence.endswith("Since minute 1 of the rollout no control is left to compare with.")


def test_what_the_last_of_a_control_said_as_it_passed_over_is_from_another_world() -> None:
    passing = Period(shown(NAMES, CHANGED, 60), shown(NAMES[8:], BEFORE), 30)
    case = alone(CHANGED, errors=40, earlier=(GOOD, passing))
    assert told("predictions", case).verdict is Verdict.PASS
    assert told("errors", case).verdict is Verdict.PASS


def test_what_no_world_does_still_stops_it_then() -> None:
    gate = told("errors", alone(BEFORE, errors=900))
    assert gate.verdict is Verdict.FAIL
    assert "60.0 % of 90,000 inferences failed, on 30 devices, where their pasts lead to expect" in gate.sentence


def test_a_world_that_was_seen_to_do_as_much_is_not_what_no_world_does() -> None:
    outage = Period(shown(NAMES[:8], BEFORE, 250), shown(NAMES[8:], BEFORE, 250))
    assert told("errors", alone(BEFORE, errors=265, earlier=(GOOD,))).verdict is Verdict.FAIL
    assert told("errors", alone(BEFORE, errors=265, earlier=(outage,))).verdict is not Verdict.FAIL


def test_a_version_that_was_never_cleared_is_held_to_its_devices_own_past() -> None:
    hardly = Period(shown(NAMES[:1], {"3": 5}, 0), shown(NAMES[1:], {"3": 5}, 0))
    assert told("errors", alone(BEFORE, errors=60, earlier=(hardly,))).verdict is Verdict.FAIL
    assert told("errors", alone(BEFORE, earlier=(hardly,))).verdict is Verdict.PASS


def wave_of_everybody(since_seconds: int, predictions: Mapping[str, int], errors: int = 1) -> Period:
    return Period(shown(NAMES, predictions, errors), Evidence(), since_seconds)


#: The control that a single wave has: devices that have it offered, and no version yet.
BEFORE_IT = Period(Evidence(), shown(NAMES, BEFORE))


def single_wave(*periods: Period, past: Evidence = PAST) -> Case:
    *earlier, last = (BEFORE_IT, *periods)
    return Case(
        last.treated, last.control, past, about=About(LABELS), earlier=earlier, since_seconds=last.since_seconds,
        exposing=False,
    )  # fmt: skip


def test_a_single_wave_passes_where_its_devices_do_as_they_did_before() -> None:
    case = single_wave(*(wave_of_everybody(seconds, BEFORE) for seconds in range(10, 400, 10)))
    assert {gate.verdict for gate in judge(case, Tolerances()) if gate.name in ("errors", "predictions")} == {
        Verdict.PASS
    }


def test_what_changes_with_the_version_at_once_is_the_versions() -> None:
    case = single_wave(*(wave_of_everybody(seconds, CHANGED, 60) for seconds in range(10, 400, 10)))
    for name in ("errors", "predictions"):
        assert told(name, case).verdict is Verdict.FAIL


def test_what_changes_later_may_be_the_worlds_and_only_a_person_can_tell() -> None:
    quiet = [wave_of_everybody(seconds, BEFORE) for seconds in range(10, 200, 10)]
    case = single_wave(*quiet, *(wave_of_everybody(seconds, CHANGED, 60) for seconds in range(200, 900, 10)))
    for name in ("errors", "predictions"):
        gate = told(name, case)
        assert (gate.verdict, gate.exhausted) == (Verdict.NOT_ENOUGH_EVIDENCE, True)
        assert "no number of records will: approve it as it is, or abort it." in gate.sentence
        assert "are needed" not in gate.sentence


def test_while_more_devices_are_to_be_exposed_no_person_is_asked_for_what_they_would_tell() -> None:
    quiet = [wave_of_everybody(seconds, BEFORE) for seconds in range(10, 200, 10)]
    case = single_wave(*quiet, *(wave_of_everybody(seconds, CHANGED, 60) for seconds in range(200, 900, 10)))
    for concurrent in (True, False):
        gate = told("predictions", replace(case, exposing=True, concurrent=concurrent))
        assert (gate.verdict, gate.exhausted) == (Verdict.NOT_ENOUGH_EVIDENCE, False)


def test_a_world_that_goes_on_while_a_person_is_waited_for_does_not_become_the_version() -> None:
    def wide(seconds: int, predictions: Mapping[str, int], control: Evidence) -> Period:
        return Period(shown(NAMES, predictions, 60), control, seconds, 640)

    first = wide(0, CHANGED, shown(NAMES, BEFORE))
    case = single_wave(first, *(wide(seconds, CHANGED, Evidence()) for seconds in range(640, 9_000, 640)))
    case = replace(case, earlier=case.earlier[1:])
    for name in ("errors", "predictions"):
        assert told(name, case).verdict is Verdict.NOT_ENOUGH_EVIDENCE


def test_a_past_too_short_for_any_number_of_records_holds_no_last_wave() -> None:
    short = shown(NAMES[:1], dict.fromkeys(LABELS, 5), 0)
    period = Period(shown(NAMES[:1], dict.fromkeys(LABELS, 400)), Evidence(), 60)
    case = replace(single_wave(period, past=short), earlier=())
    gate = told("predictions", case)
    assert (gate.verdict, gate.sentence.count("and no more will be seen")) == (Verdict.PASS, 1)
    assert told("predictions", replace(case, exposing=True, concurrent=False)).verdict is Verdict.NOT_ENOUGH_EVIDENCE


def test_a_label_that_nothing_is_known_of_and_nothing_ever_will_be_holds_nothing() -> None:
    first = Case(shown(NAMES, BEFORE), about=About(LABELS), concurrent=False)
    assert "predictions" not in {gate.name for gate in judge(first, Tolerances())}
    assert told("predictions", replace(first, treated=Evidence())).verdict is Verdict.NOT_ENOUGH_EVIDENCE


def test_where_there_is_no_past_either_the_last_wave_is_over_with_what_was_seen() -> None:
    hardly = Period(shown(NAMES[:1], {"3": 5}, 0), shown(NAMES[1:], {"3": 5}, 0))
    case = replace(alone(BEFORE, earlier=(hardly,)), past=Evidence())
    gate = told("errors", case)
    assert (gate.verdict, gate.upper) == (Verdict.PASS, gate.value)


def test_while_more_devices_are_to_be_exposed_a_silent_control_is_waited_for() -> None:
    hardly = Period(shown(NAMES[:1], {"3": 5}, 0), shown(NAMES[1:], {"3": 5}, 0))
    case = replace(alone(BEFORE, earlier=(hardly,)), exposing=True)
    assert told("errors", case).verdict is Verdict.NOT_ENOUGH_EVIDENCE
    assert "no control is left" not in told("errors", case).sentence


def test_a_control_that_was_silent_for_a_moment_is_not_gone() -> None:
    case = replace(alone(CHANGED), earlier=(GOOD,))
    assert "no control is left" not in told("errors", case).sentence


def test_in_the_last_wave_whoever_still_runs_another_version_is_a_control() -> None:
    pinned = shown(NAMES[28:], CHANGED, 40)
    case = replace(alone(CHANGED, errors=40), treated=shown(NAMES[:28], CHANGED, 40), control=pinned)
    assert told("errors", case).verdict is Verdict.PASS
    assert "no control is left" not in told("errors", case).sentence


def test_a_large_reference_takes_nothing_back_that_was_cleared_beside_a_control() -> None:
    reference = dict.fromkeys(LABELS, 5_000)
    for past in (PAST, Evidence()):
        case = replace(alone(CHANGED), about=About(LABELS, reference), past=past)
        gate = told("predictions", case)
        assert gate.verdict is Verdict.PASS
        assert gate.sentence.endswith("Since minute 1 of the rollout no control is left to compare with.")
