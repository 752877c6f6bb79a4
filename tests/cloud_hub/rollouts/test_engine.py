"""The engine's decisions, one by one. What holds for all of them together is in laws/."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cloud_hub.monitoring.gates import Gate, Verdict
from cloud_hub.rollouts.engine import (
    Counts,
    LeftOver,
    Rollout,
    SamePerson,
    Snapshot,
    Verb,
    VerbRefused,
    check_second_person,
    command,
    decide,
)
from cloud_hub.rollouts.policy import Approval, Policy, Rate
from cloud_hub.rollouts.states import FOLLOWING, State
from fleet_contract.because import Because

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
POLICY = Policy.model_validate({"waves": [{"devices": 1}, {"percent": 50}, {"percent": 100}], "stop_failed_percent": 5})
BORN = Rollout("digits-v2-abc", "digits", 2, State.RUNNING, Because("created", "Created."))
CANARY = replace(BORN, wave=0, exposed=1, wave_started_at=NOW, because=Because("wave-opened", "Wave 1 is open."))
PASSED = Gate("errors", Verdict.PASS, "Fine.", 0.0, -0.01, 0.01, 0.02)
UNDECIDED = replace(PASSED, name="predictions", verdict=Verdict.NOT_ENOUGH_EVIDENCE, sentence="Who knows.")
FAILED = replace(PASSED, name="predictions", verdict=Verdict.FAIL, sentence="All predictions are 3.")
DONE = Counts(offered=1, heard=1, succeeded=1)
#: A canary with which all is well, of six devices.
GOOD = Snapshot(
    eligible=6, waves=(1, 3, 6), counts=DONE, fresh=DONE, wave_records=500, gates=(PASSED,)
)  # fmt: skip
SOAKED = replace(CANARY, soaking_since=NOW - timedelta(seconds=60))
EAGER = POLICY.model_copy(update={"soak_seconds": 0})


def after(rollout: Rollout, snapshot: Snapshot, policy: Policy = POLICY) -> Rollout:
    return decide(rollout, policy, snapshot, NOW).rollout


def test_the_first_wave_opens_at_once() -> None:
    rollout = after(BORN, replace(GOOD, counts=Counts(), fresh=Counts(), wave_records=0, gates=()))
    assert (rollout.wave, rollout.exposed, rollout.wave_started_at) == (0, 1, NOW)
    assert rollout.because.sentence == "Wave 1 of 3 (1 device) is open: 1 of 6 eligible devices are offered version 2."


def test_a_rollout_for_nobody_waits() -> None:
    rollout = after(BORN, Snapshot())
    assert (rollout.state, rollout.exposed, rollout.because.code) == (State.RUNNING, 0, "nobody-eligible")


def test_a_wave_that_proved_itself_opens_the_next() -> None:
    rollout = after(SOAKED, GOOD)
    assert (rollout.wave, rollout.exposed, rollout.wave_started_at) == (1, 2, NOW)
    assert rollout.soaking_since is None
    assert "3 of 6 eligible" in rollout.because.sentence
    assert "1 of 1 devices heard from run it" in rollout.because.sentence


@pytest.mark.parametrize(
    ("snapshot", "code", "number"),
    [
        (replace(GOOD, carried_out=False), "orders-owed", "1"),
        (replace(GOOD, fresh=Counts(offered=2)), "nobody-heard", "2"),
        (replace(GOOD, fresh=Counts(5, 2, 2)), "quorum-wanted", "2 of the 5"),
        (replace(GOOD, fresh=Counts(3, 2, 1)), "devices-pending", "1 of 2"),
        (replace(GOOD, counts=Counts(30, 20, 18)), "devices-pending", "18 of 20"),
        (replace(GOOD, wave_records=199), "records-wanted", "199"),
        (replace(GOOD, gates=(PASSED, UNDECIDED)), "gate-predictions-undecided", "Who knows"),
    ],
)
def test_what_is_missing_holds_a_wave_back_and_is_named(snapshot: Snapshot, code: str, number: str) -> None:
    rollout = after(SOAKED, snapshot)
    assert (rollout.state, rollout.exposed, rollout.because.code) == (State.RUNNING, 1, code)
    assert number in rollout.because.sentence


def test_a_wave_soaks_from_when_its_devices_run_the_version_and_anew_when_they_do_not() -> None:
    soaking = after(CANARY, GOOD)
    assert (soaking.because.code, soaking.soaking_since) == ("soaking", NOW)
    assert after(soaking, replace(GOOD, fresh=Counts(1, 1))).soaking_since is None
    # Who has no order yet only holds it, as long as it does not go on without.
    waits = replace(GOOD, carried_out=False, held={"rate": 1})
    waiting = after(SOAKED, waits)
    assert (waiting.because.code, waiting.soaking_since) == ("orders-owed", SOAKED.soaking_since)
    assert after(CANARY, waits).soaking_since is None
    assert after(CANARY, replace(waits, fresh=Counts(1, 1))).because.code == "orders-owed"
    assert after(SOAKED, replace(waits, fresh=Counts(1, 1))).soaking_since is None
    half = replace(GOOD, fresh=Counts(6, 6, 3))
    assert (after(CANARY, half).because.code, after(CANARY, half).soaking_since) == ("devices-pending", NOW)
    assert after(SOAKED, replace(half, fresh=Counts(6, 6, 2))).soaking_since is None
    few = POLICY.model_copy(update={"success_percent": 30})
    assert after(CANARY, replace(half, fresh=Counts(6, 6, 2)), few).soaking_since == NOW
    almost = replace(CANARY, soaking_since=NOW - timedelta(seconds=59))
    assert after(almost, GOOD).because.code == "soaking"


#: A wave of which some run it, and some wait for the rate.
BY_RATE = replace(
    GOOD, waves=(100,), counts=Counts(24, 24, 20), fresh=Counts(24, 24, 20), carried_out=False, held={"rate": 76}
)
OPEN_END = POLICY.model_copy(update={"rate": Rate(devices_per_minute=1, until_proven=True)})


def test_a_rate_holds_nobody_once_every_gate_is_passed_and_holds_them_again_when_one_is_not() -> None:
    lifted = after(CANARY, BY_RATE, OPEN_END)
    assert (lifted.rate_lifted, lifted.because.code) == (True, "rate-lifted")
    assert "on the 20 devices that run it: the 76 of this wave" in lifted.because.sentence
    assert (after(lifted, BY_RATE, OPEN_END).rate_lifted, lifted.exposed) == (True, 1)
    let_go = replace(BY_RATE, counts=Counts(100, 100, 95), fresh=Counts(100, 100, 95), carried_out=True, held={})
    assert after(lifted, let_go, OPEN_END).rate_lifted
    assert not after(lifted, replace(BY_RATE, gates=(PASSED, UNDECIDED)), OPEN_END).rate_lifted


def test_large_numbers_are_told_so_that_they_can_be_read() -> None:
    large = Counts(offered=73_562, heard=71_204, succeeded=30_358)
    pending = after(SOAKED, replace(GOOD, counts=large, fresh=large)).because.sentence
    assert "30,358 of 71,204 devices heard from run it (42.6 %), 0 failed and 40,846 are on their way" in pending
    owed = after(SOAKED, replace(GOOD, carried_out=False, held={"rate": 73_220})).because.sentence
    assert owed.endswith("others wait: 73,220 for the rate.")


@pytest.mark.parametrize(
    "snapshot",
    [
        replace(BY_RATE, gates=()),
        replace(BY_RATE, gates=(PASSED, UNDECIDED)),
        replace(BY_RATE, counts=Counts(24, 24, 19), fresh=Counts(24, 24, 19)),
    ],
    ids=["no gate asks", "a gate cannot tell", "fewer are done than say something"],
)
def test_what_is_not_proven_lifts_no_rate(snapshot: Snapshot) -> None:
    assert not after(CANARY, snapshot, OPEN_END).rate_lifted


def test_a_rate_is_only_lifted_where_the_policy_says_so_and_somebody_waits_for_it() -> None:
    always = POLICY.model_copy(update={"rate": Rate(devices_per_minute=1)})
    assert not after(CANARY, BY_RATE, always).rate_lifted
    assert not after(CANARY, replace(BY_RATE, held={"cap": 76}), OPEN_END).rate_lifted


def test_devices_never_heard_from_hold_nothing_back() -> None:
    counts = Counts(offered=10, heard=5, succeeded=5)
    assert after(SOAKED, replace(GOOD, counts=counts, fresh=counts)).wave == 1


def test_the_last_wave_completes_the_rollout_for_those_that_join_later_too() -> None:
    last = replace(SOAKED, wave=2, exposed=3)
    rollout = after(last, replace(GOOD, counts=Counts(6, 5, 5)))
    assert (rollout.state, rollout.because.code) == (State.COMPLETED, "completed")
    assert "5 of the 5 devices" in rollout.because.sentence
    assert "1 more were not heard from" in rollout.because.sentence


def test_waves_that_would_add_nobody_are_done_with_the_one_before() -> None:
    alone = after(SOAKED, replace(GOOD, eligible=1, waves=(1, 1, 1)))
    assert (alone.state, alone.wave, alone.exposed) == (State.COMPLETED, 2, 3)
    opened = after(SOAKED, replace(GOOD, waves=(1, 1, 2, 6)), Policy())
    assert (opened.wave, opened.exposed) == (2, 3)


def test_the_next_wave_waits_for_who_must_approve_it() -> None:
    policy = POLICY.model_copy(update={"approval": Approval(waves="after-first", second_person=True)})
    assert after(BORN, GOOD, policy).wave == 0
    held = after(replace(SOAKED, created_by="ann"), GOOD, policy)
    assert (held.wave, held.because.code) == (0, "approval-wanted")
    assert "Wave 2 of 3 (3 devices) waits for somebody who approves it, and who is not ann." in held.because.sentence
    for same in ("ann", "Ann"):
        with pytest.raises(SamePerson, match="second person"):
            check_second_person(held, policy, same)
    check_second_person(held, policy, "bob")
    approved = command(held, "approve", "seen it", "bob").rollout
    assert approved.because.sentence == "The next wave is approved by bob: seen it."
    opened = after(approved, GOOD, policy)
    assert opened.wave == 1
    with pytest.raises(VerbRefused, match="waits for no approval"):
        command(opened, "approve")


def test_a_wave_behind_one_that_adds_nobody_is_approved_once() -> None:
    policy = POLICY.model_copy(update={"approval": Approval(waves="after-first")})
    few = replace(GOOD, waves=(1, 1, 6))
    held = after(SOAKED, few, policy)
    assert "Wave 3 of 3" in held.because.sentence
    assert after(command(held, "approve").rollout, few, policy).wave == 2


def test_what_was_approved_still_needs_its_evidence_and_harm_stops_what_waits_for_approval() -> None:
    policy = POLICY.model_copy(update={"approval": Approval(waves="all")})
    first = after(BORN, GOOD, policy)
    assert (first.wave, first.because.code) == (-1, "approval-wanted")
    held = after(SOAKED, GOOD, policy)
    approved = command(held, "approve").rollout
    assert after(approved, replace(GOOD, wave_records=0), policy).wave == 0
    assert after(held, replace(GOOD, gates=(FAILED,)), policy).state is State.REVERTING


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


def test_nor_one_that_comes_to_look_bad_while_others_are_on_their_way() -> None:
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


def test_while_the_fleet_is_frozen_no_wave_opens_and_nothing_goes_back() -> None:
    frozen = replace(GOOD, frozen="Ann froze it until Monday.")
    for rollout in (BORN, SOAKED):
        held = after(rollout, frozen)
        assert (held.exposed, held.because.code) == (rollout.exposed, "frozen")
        assert "Ann froze it until Monday." in held.because.sentence
    # The later waves add nobody who is here: the end would expose who comes.
    alone = after(SOAKED, replace(frozen, waves=(1, 1, 1)))
    assert (alone.state, alone.exposed, alone.because.code) == (State.RUNNING, 1, "frozen")
    reverting = after(SOAKED, replace(frozen, gates=(FAILED,)))
    assert reverting.state is State.REVERTING
    assert "goes back once the fleet may move again" in after(reverting, frozen).because.sentence


@pytest.mark.parametrize("state", [State.RUNNING, State.PAUSED])
@pytest.mark.parametrize(
    ("snapshot", "code"),
    [
        (replace(GOOD, gates=(PASSED, FAILED)), "gate-predictions-failed"),
        (replace(GOOD, counts=Counts(20, 18, 17, 1)), "too-many-failed"),
        (replace(GOOD, fresh=Counts(2, 2, 1, 1)), "too-many-failed"),
    ],
)
def test_harm_reverts_whether_it_runs_or_is_paused(state: State, snapshot: Snapshot, code: str) -> None:
    rollout = after(replace(SOAKED, state=state), snapshot)
    assert (rollout.state, rollout.exposed, rollout.because.code) == (State.REVERTING, 0, code)
    assert "Reverting" in rollout.because.sentence


def test_harm_only_stops_where_the_policy_says_so() -> None:
    policy = POLICY.model_copy(update={"on_stop": "pause"})
    rollout = after(SOAKED, replace(GOOD, gates=(FAILED,)), policy)
    assert (rollout.state, rollout.exposed) == (State.STOPPED, 1)
    assert rollout.because.sentence.startswith("The gate on predictions failed. All predictions are 3.")
    assert after(rollout, GOOD, policy) == rollout


def test_few_failures_among_many_do_not_stop_it() -> None:
    assert after(SOAKED, replace(GOOD, counts=Counts(40, 40, 38, 2))).state is State.RUNNING


def test_a_wave_needs_as_many_devices_as_the_policy_says_or_all_that_it_has() -> None:
    many = POLICY.model_copy(update={"minimum_devices": 3})
    for counts, code in ((Counts(6, 3, 2), "devices-pending"), (Counts(4, 2, 2), "verdict-wanted")):
        found = after(SOAKED, replace(GOOD, fresh=counts), many)
        assert found.because.code == code
    assert after(SOAKED, replace(GOOD, fresh=Counts(2, 2, 2)), many).wave == 1


def test_failures_stop_it_only_after_as_many_devices_as_the_policy_says() -> None:
    patient = POLICY.model_copy(update={"stop_failed_after": 10})
    for counts, state in ((Counts(40, 30, 6, 3), State.RUNNING), (Counts(40, 30, 7, 3), State.REVERTING)):
        assert after(SOAKED, replace(GOOD, counts=counts, fresh=counts), patient).state is state


def test_reverting_ends_when_no_device_heard_from_has_the_version_and_says_why_it_began() -> None:
    reverting = after(SOAKED, replace(GOOD, gates=(FAILED,)))
    still = after(reverting, Snapshot(left_over=LeftOver(returning=2, unreachable=1)))
    assert (still.state, still.because.code) == (State.REVERTING, "gate-predictions-failed")
    assert "2 devices still have version 2" in still.because.sentence
    assert after(reverting, Snapshot(carried_out=False)).state is State.REVERTING
    over = after(still, Snapshot(left_over=LeftOver(unreachable=1)))
    assert over.state is State.REVERTED
    assert "All predictions are 3" in over.because.sentence
    assert "1 not heard from" in over.because.sentence


def test_a_revert_that_leaves_devices_the_version_says_how_many_and_by_what() -> None:
    reverting = after(SOAKED, replace(GOOD, gates=(FAILED,)))
    said = after(reverting, Snapshot(left_over=LeftOver(pinned=3, elsewhere=2))).because.sentence
    assert said.endswith(
        "Reverted: but for 3 that pins hold and 2 that have it by another rollout, no device heard from has version 2 "
        "any more."
    )


def test_a_newer_rollout_takes_over_and_leaves_devices_what_they_have() -> None:
    for state in (State.RUNNING, State.PAUSED, State.STOPPED):
        rollout = after(replace(SOAKED, state=state), replace(GOOD, newer="digits-v3-def", gates=(FAILED,)))
        assert (rollout.state, rollout.exposed) == (State.SUPERSEDED, 1)
        assert "digits-v3-def" in rollout.because.sentence
    reverting = after(SOAKED, replace(GOOD, gates=(FAILED,)))
    assert after(reverting, Snapshot(newer="digits-v3-def")).state is State.REVERTED


def test_a_person_can_pause_and_resume() -> None:
    paused = command(SOAKED, "pause", "lunch").rollout
    assert (paused.state, paused.exposed) == (State.PAUSED, 1)
    assert "Paused by a person: lunch." in paused.because.sentence
    assert after(paused, GOOD) == paused
    resumed = command(replace(paused, rate_lifted=True), "resume").rollout
    assert (resumed.state, resumed.soaking_since, resumed.rate_lifted) == (State.RUNNING, None, False)


def test_a_person_can_resume_what_a_gate_stopped_and_the_gate_stops_it_again() -> None:
    policy = POLICY.model_copy(update={"on_stop": "pause"})
    stopped = after(SOAKED, replace(GOOD, gates=(FAILED,)), policy)
    resumed = command(stopped, "resume", "false alarm").rollout
    assert resumed.state is State.RUNNING
    assert after(resumed, replace(GOOD, gates=(FAILED,)), policy).state is State.STOPPED


def test_a_person_can_abort_and_it_ends_aborted() -> None:
    aborted = command(SOAKED, "abort", "wrong model").rollout
    assert (aborted.state, aborted.exposed, aborted.because.code) == (State.REVERTING, 0, "aborted")
    assert after(aborted, Snapshot()).state is State.ABORTED


VERBS: dict[State, set[str]] = {
    State.RUNNING: {"pause", "abort"},
    State.PAUSED: {"resume", "abort"},
    State.STOPPED: {"resume", "abort"},
}


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("verb", ["pause", "resume", "abort"])
def test_each_state_takes_its_verbs_and_refuses_the_others(state: State, verb: Verb) -> None:
    rollout = replace(SOAKED, state=state)
    if verb in VERBS.get(state, set()):
        assert command(rollout, verb).rollout.state in FOLLOWING[state]
    else:
        with pytest.raises(VerbRefused, match=f"is {state}, and cannot {verb}") as refused:
            command(rollout, verb)
        assert refused.value.remedy or state in (State.RUNNING, State.PAUSED, State.STOPPED)


@pytest.mark.parametrize("state", [State.COMPLETED, State.REVERTED, State.ABORTED, State.SUPERSEDED])
@pytest.mark.parametrize("snapshot", [GOOD, replace(GOOD, gates=(FAILED,)), replace(GOOD, newer="digits-v3-def")])
def test_what_is_over_stays_as_it_is(state: State, snapshot: Any) -> None:
    rollout = replace(SOAKED, state=state)
    assert after(rollout, snapshot) == rollout
