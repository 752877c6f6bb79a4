"""What only a person can answer any more a person is asked, and what was answered is held to be no more than that."""

from dataclasses import replace
from datetime import timedelta

import pytest

from cloud_hub.rollouts.engine import Counts, Rollout, VerbRefused, command
from cloud_hub.rollouts.policy import Approval
from cloud_hub.rollouts.states import State
from tests.cloud_hub.rollouts.engine.canary import (
    CANARY,
    DONE,
    EAGER,
    FAILED,
    GOOD,
    NOW,
    PASSED,
    POLICY,
    SOAKED,
    UNDECIDED,
    after,
)

#: The same with every device exposed, and a gate that nothing answers any more.
LAST = replace(SOAKED, wave=2, exposed=3, created_by="ann")
STUCK = replace(UNDECIDED, exhausted=True)


def test_what_no_gate_can_tell_any_more_a_person_answers_and_nobody_else() -> None:
    held = after(LAST, replace(GOOD, gates=(PASSED, STUCK)))
    assert (held.state, held.because.code) == (State.RUNNING, "verdict-wanted")
    assert held.because.sentence.endswith("and what predictions asked, nothing will answer. Who knows.")
    assert after(held, replace(GOOD, gates=(PASSED, STUCK))).state is State.RUNNING
    approved = command(held, "approve", "the belt carries other fruit", "bob").rollout
    assert approved.because.sentence == "Approved as it is by bob: the belt carries other fruit."
    done = after(approved, replace(GOOD, gates=(PASSED, STUCK)))
    assert (done.state, done.exposed) == (State.COMPLETED, 3)
    assert done.because.sentence.endswith("every other gate than predictions is passed, and a person approved it.")


def test_who_approved_the_last_wave_did_not_say_that_what_no_gate_can_tell_stays() -> None:
    policy = POLICY.model_copy(update={"approval": Approval(waves="all")})
    waiting = after(replace(SOAKED, wave=1, exposed=2), replace(GOOD, counts=DONE, fresh=DONE), policy)
    last = after(command(waiting, "approve").rollout, GOOD, policy)
    assert (last.wave, last.approved) == (2, 3)
    held = after(replace(last, soaking_since=SOAKED.soaking_since), replace(GOOD, gates=(STUCK,)), policy)
    assert held.because.code == "verdict-wanted"


def test_no_person_is_asked_while_a_gate_may_still_tell_or_more_devices_are_to_be_exposed() -> None:
    waiting = replace(UNDECIDED, name="errors")
    assert after(LAST, replace(GOOD, gates=(STUCK, waiting))).because.code == "gate-predictions-undecided"
    assert after(SOAKED, replace(GOOD, gates=(STUCK,))).because.code == "gate-predictions-undecided"
    with pytest.raises(VerbRefused):
        command(after(SOAKED, replace(GOOD, gates=(STUCK,))), "approve")


#: What a canary alone cannot prove, however long it is looked at.
CLEAR = replace(UNDECIDED, clear=True)


def test_canaries_that_look_bad_and_prove_nothing_are_shown_to_a_person() -> None:
    held = after(SOAKED, replace(GOOD, gates=(PASSED, CLEAR)))
    assert (held.exposed, held.because.code, held.asked) == (1, "verdict-wanted", ("predictions",))
    assert held.because.sentence == (
        "No more devices of wave 1 are on their way, and what predictions asked, those that run it cannot answer: "
        "approve it to go on as it is, or abort it. Who knows."
    )
    # It may still be decided: by more devices that come, or by what these go on to show.
    coming = replace(GOOD, gates=(CLEAR,), counts=Counts(2, 2, 1))
    assert after(SOAKED, replace(coming, fresh=DONE), POLICY.model_copy(update={"success_percent": 50})).asked == ()
    assert after(held, replace(GOOD, gates=(PASSED,))).wave == 1
    assert after(held, replace(GOOD, gates=(FAILED,))).state is State.REVERTING


def test_what_a_person_approved_of_one_wave_opens_the_next_and_is_asked_again_there() -> None:
    held = after(SOAKED, replace(GOOD, gates=(CLEAR,)))
    approved = command(held, "approve", by="bob").rollout
    assert (approved.asked, approved.accepted) == ((), ("predictions",))
    opened = after(approved, replace(GOOD, gates=(CLEAR,)))
    assert (opened.wave, opened.accepted) == (1, ())
    assert opened.because.sentence.endswith("every other gate than predictions passed, and a person approved it.")
    three = Counts(3, 3, 3)
    again = after(replace(opened, soaking_since=NOW), replace(GOOD, gates=(CLEAR,), counts=three, fresh=three), EAGER)
    assert (again.wave, again.because.code, again.asked) == (1, "verdict-wanted", ("predictions",))


def test_an_approval_is_of_what_was_shown_and_of_nothing_that_came_after_it() -> None:
    approved = command(after(SOAKED, replace(GOOD, gates=(CLEAR,))), "approve").rollout
    errors = replace(CLEAR, name="errors")
    more = after(approved, replace(GOOD, gates=(CLEAR, errors)))
    assert (more.wave, more.because.code, more.asked) == (0, "verdict-wanted", ("errors",))
    both = command(more, "approve").rollout
    assert both.accepted == ("predictions", "errors")
    assert after(both, replace(GOOD, gates=(CLEAR, errors))).wave == 1
    assert after(both, replace(GOOD, gates=(CLEAR, replace(FAILED, name="errors")))).state is State.REVERTING
    # Nor does it stand in for the approval that the policy asks for.
    policy = POLICY.model_copy(update={"approval": Approval(waves="all")})
    assert after(both, replace(GOOD, gates=(CLEAR, errors)), policy).because.code == "approval-wanted"


#: A canary that fell silent a day ago, before it had shown what the gates ask for.
SILENT = replace(GOOD, wave_records=60, gates=(PASSED, UNDECIDED))


def a_day_on(rollout: Rollout) -> Rollout:
    return replace(rollout, soaking_since=NOW - timedelta(days=1))


def test_a_wave_that_cannot_show_what_is_asked_of_it_is_not_waited_for_without_end() -> None:
    assert after(SOAKED, SILENT).because.code == "records-wanted"
    assert after(SOAKED, replace(SILENT, wave_records=500)).because.code == "gate-predictions-undecided"
    nearly = replace(SOAKED, soaking_since=NOW - timedelta(seconds=60 + 3_599))
    assert after(nearly, SILENT).because.code == "records-wanted"
    held = after(a_day_on(SOAKED), SILENT)
    assert (held.wave, held.because.code, held.asked) == (0, "verdict-wanted", ("records", "predictions-untold"))
    assert held.because.sentence == (
        "Wave 1 has been run for 24.0 hours, and what is asked of it is still not shown: wait for more, approve it to "
        "go on without, or abort it. 60 records of it came in during this wave; 200 are asked for. Who knows."
    )
    approved = command(held, "approve", "it stands in a cold store", "bob").rollout
    opened = after(approved, SILENT)
    assert (opened.wave, opened.accepted) == (1, ())
    assert opened.because.sentence.endswith("every other gate than predictions passed, and a person approved it.")


def test_who_was_asked_for_a_verdict_need_not_give_one() -> None:
    held = after(a_day_on(SOAKED), SILENT)
    assert after(held, GOOD).wave == 1
    assert after(held, replace(SILENT, gates=(FAILED,))).state is State.REVERTING
    assert after(held, replace(GOOD, gates=(PASSED, UNDECIDED))).asked == ("predictions-untold",)


def test_who_goes_on_without_an_answer_has_not_accepted_a_bad_one() -> None:
    approved = command(after(a_day_on(SOAKED), SILENT), "approve").rollout
    frozen = replace(SILENT, frozen="Ann froze it until Monday.")
    assert after(approved, frozen).because.code == "frozen"
    bad = after(approved, replace(frozen, gates=(PASSED, CLEAR)))
    assert (bad.because.code, bad.asked) == ("verdict-wanted", ("predictions",))
    accepted = command(bad, "approve").rollout
    assert after(accepted, replace(SILENT, gates=(CLEAR,))).wave == 1


def test_a_gate_that_comes_to_look_bad_while_others_are_on_their_way_is_asked_about_anew() -> None:
    half = POLICY.model_copy(update={"success_percent": 50})
    coming = replace(SILENT, counts=Counts(2, 2, 1), fresh=DONE)
    held = after(a_day_on(SOAKED), coming, half)
    assert held.asked == ("records", "predictions-untold")
    bad = replace(coming, gates=(PASSED, CLEAR))
    assert after(held, bad, half).asked == ("records", "predictions")
    shown = after(command(held, "approve").rollout, bad, half)
    assert (shown.wave, shown.because.code, shown.asked) == (0, "verdict-wanted", ("predictions",))
    assert after(command(shown, "approve").rollout, bad, half).wave == 1


def test_who_accepted_that_few_run_it_has_not_accepted_that_little_is_known() -> None:
    accepted = replace(SOAKED, accepted=("success", "predictions-untold"))
    assert after(accepted, SILENT).because.code == "records-wanted"
    assert (
        after(replace(accepted, accepted=("success", "records")), SILENT).because.code == "gate-predictions-undecided"
    )


def test_a_wave_that_nobody_heard_from_is_no_matter_for_a_verdict() -> None:
    nobody = replace(SILENT, fresh=Counts(offered=1), counts=Counts(offered=1))
    assert after(a_day_on(SOAKED), nobody).because.code == "nobody-heard"


def test_who_resumes_accepts_nothing_that_was_accepted_before() -> None:
    approved = command(after(SOAKED, replace(GOOD, gates=(CLEAR,))), "approve").rollout
    resumed = command(command(approved, "pause").rollout, "resume").rollout
    assert (resumed.asked, resumed.accepted) == ((), ())


def test_a_wave_of_which_too_few_came_to_run_it_is_shown_to_a_person() -> None:
    some = Counts(offered=10, heard=10, succeeded=9, failed=1)
    stuck = replace(GOOD, counts=some, fresh=some, waves=(10, 20, 40))
    lenient = POLICY.model_copy(update={"stop_failed_percent": 20, "soak_seconds": 60})
    held = after(CANARY, stuck, lenient)
    assert (held.because.code, held.asked) == ("verdict-wanted", ("success",))
    assert held.because.sentence == (
        "9 of 10 devices heard from run it (90.0 %), 1 failed and none is on its way; 95 %, and at least 1 of this "
        "wave, must. Approve it to go on as it is, or abort it."
    )
    # One on its way may still tell.
    on_its_way = replace(some, offered=11, heard=11)
    assert after(CANARY, replace(stuck, counts=on_its_way, fresh=on_its_way), lenient).because.code == "devices-pending"
    approved = command(held, "approve").rollout
    assert after(approved, stuck, lenient).because.code == "soaking"
    # Who comes late was not spoken of, and is waited for.
    late = after(approved, replace(stuck, counts=on_its_way, fresh=on_its_way), lenient)
    assert (late.because.code, late.asked) == ("devices-pending", ())
    soaked = replace(approved, soaking_since=SOAKED.soaking_since)
    assert after(soaked, stuck, lenient).wave == 1
    worse = Counts(offered=10, heard=10, succeeded=7, failed=3)
    assert after(soaked, replace(stuck, counts=worse, fresh=worse), lenient).state is State.REVERTING


def test_what_a_person_approved_as_it_is_still_stops_for_harm() -> None:
    held = after(LAST, replace(GOOD, gates=(STUCK,)))
    assert after(held, replace(GOOD, gates=(STUCK, replace(FAILED, name="errors")))).state is State.REVERTING
    approved = command(held, "approve", by="bob").rollout
    assert after(approved, replace(GOOD, gates=(FAILED,))).state is State.REVERTING
    assert after(approved, replace(GOOD, gates=(UNDECIDED,))).state is State.RUNNING
