"""Each rule of the update core, one turn at a time."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from msgspec.structs import replace

from edge_agent.core.journal import (
    Journal,
    Order,
    Refused,
    closed,
    current,
    fresh,
    kept,
    key,
    manifests,
    proven,
    release_of,
    reported,
    split,
)
from edge_agent.core.limits import Limits, Load, excess, suspect
from edge_agent.core.maintenance import GLANCE_SECONDS, Wall
from edge_agent.core.steps import (
    Decision,
    Discard,
    Fetch,
    Forget,
    Observed,
    Prepare,
    Rest,
    Setback,
    Switch,
    Trial,
    Verify,
    Wait,
)
from edge_agent.core.transitions import MAX_SETTLED_ENDS, MAX_WANTED_ENDS, End, Part, resumed, reverts
from edge_agent.core.update import HEALTHY_SECONDS, TRIAL_GLANCE_SECONDS, decide
from fleet_contract.because import Because
from fleet_contract.manifest import Manifest
from fleet_contract.report import Phase
from fleet_contract.window import MaintenanceWindow
from tests.fakes.releases import a_manifest, why

THEN = datetime(2026, 11, 1, tzinfo=UTC)
NOW = THEN + timedelta(minutes=5)
ONE, TWO, THREE = (a_manifest(version) for version in (1, 2, 3))
LATER = Because("hub-unreachable", "Nobody answers.")
NEVER = Because("model-unreadable", "It is no model.")


def order(manifest: Manifest, query: str = "") -> Order:
    return Order(manifest, f"/a/{manifest.version}{query}", f"/g/{manifest.version}{query}", why(), "r1")


def digests(*manifests: Manifest) -> frozenset[str]:
    return frozenset(blob.digest for one in manifests for blob in (one.artifact, one.golden.blob))


def journal(phase: Phase, wanted: Manifest | None = None, **more: object) -> Journal:
    named = None if wanted is None else order(wanted)
    return msgspec.structs.replace(
        Journal("digits", phase, Because("before", "Of before."), THEN, named),
        **more,
    )


def seen(wanted: Manifest | None, *there: Manifest, **more: object) -> Observed:
    """What is observed when all bytes of `there` are on disk and verified."""
    base = Observed(
        now=NOW,
        wanted=None if wanted is None else order(wanted),
        whole=digests(*there),
        verified=digests(*there),
    )
    return replace(base, **more)  # type: ignore[arg-type]


UNDERWAY = [Phase.FETCHING, Phase.VERIFYING, Phase.PREFLIGHT]


class TestTheWay:
    def test_begins_with_the_bytes_that_are_missing(self) -> None:
        decision = decide(fresh("digits", THEN), seen(ONE))
        assert decision.action == Fetch(ONE, ONE.artifact, "/a/1")
        assert (decision.journal.phase, decision.journal.since) == (Phase.FETCHING, NOW)
        assert decision.because == why()

    def test_goes_on_with_the_golden_set(self) -> None:
        there = frozenset({ONE.artifact.digest})
        decision = decide(journal(Phase.FETCHING, ONE), seen(ONE, whole=there))
        assert decision.action == Fetch(ONE, ONE.golden.blob, "/g/1")
        assert decision.journal.since == THEN, "the phase is the same one"

    @pytest.mark.parametrize("phase", UNDERWAY)
    def test_then_reads_all_of_it_back(self, phase: Phase) -> None:
        whole = seen(ONE, ONE, verified=frozenset())
        first = decide(journal(phase, ONE), whole)
        assert first.action == Verify(ONE, ONE.artifact)
        assert first.journal.phase is Phase.VERIFYING
        second = decide(first.journal, replace(whole, verified=frozenset({ONE.artifact.digest})))
        assert second.action == Verify(ONE, ONE.golden.blob)

    def test_then_prepares_it_and_notes_the_risk_before_it_does(self) -> None:
        decision = decide(journal(Phase.VERIFYING, ONE), seen(ONE, ONE))
        assert decision.action == Prepare(ONE, ONE.golden.blob)
        assert (decision.journal.phase, decision.journal.wanted_at_risk) == (Phase.PREFLIGHT, True)
        assert not decision.proven

    def test_then_switches_and_remembers_how_many_errors_were_usual(self) -> None:
        observed = seen(TWO, ONE, TWO, prepared=TWO, prepared_because="8 of 8.", live=ONE, answered=90, failed=10)
        decision = decide(
            journal(Phase.PREFLIGHT, TWO, settled=ONE, wanted_at_risk=True, settled_at_risk=True), observed
        )
        assert decision.action == Switch(TWO)
        risks = decision.journal.wanted_at_risk, decision.journal.settled_at_risk
        assert risks == (True, False), "only what is loaded is at risk"
        assert (decision.journal.phase, decision.journal.usual_errors) == (Phase.TRIAL, 0.1)
        assert decision.journal.because == Because("preflight-passed", "8 of 8.")
        assert decision.journal.settled == ONE, "until the trial is over"

    def test_then_watches_the_trial(self) -> None:
        decision = decide(journal(Phase.TRIAL, ONE), seen(ONE, ONE, live=ONE, answered=3))
        assert decision.action == Wait(TRIAL_GLANCE_SECONDS)

    @pytest.mark.parametrize("proof", [{"answered": 30}, {"live_seconds": 10.0}, {"answered": 29, "failed": 1}])
    def test_and_settles_when_the_trial_is_over(self, proof: dict[str, float]) -> None:
        before = journal(Phase.TRIAL, TWO, settled=ONE, previous=THREE, wanted_ends=1, wanted_at_risk=True, damaged=1)
        decision = decide(before, seen(TWO, TWO, live=TWO, **proof))
        after = decision.journal
        assert (after.phase, after.settled, after.previous) == (Phase.SETTLED, TWO, ONE)
        assert (after.wanted_ends, after.wanted_at_risk, after.damaged) == (0, False, 0)
        assert (after.settled_ends, after.settled_at_risk) == (1, True), "what it did on trial is not forgotten yet"
        assert after.because.code == "trial-passed"
        assert decide(after, seen(TWO, TWO, live=TWO)).action == Wait(None)

    @pytest.mark.parametrize("phase", UNDERWAY)
    def test_starts_again_where_bytes_are_missing_whatever_the_phase(self, phase: Phase) -> None:
        decision = decide(journal(phase, ONE), seen(ONE))
        assert isinstance(decision.action, Fetch)
        assert decision.journal.phase is Phase.FETCHING


class TestATrial:
    def test_fails_on_an_excess_of_errors_and_what_was_settled_comes_back(self) -> None:
        before = journal(Phase.TRIAL, TWO, settled=ONE, wanted_ends=1)
        decision = decide(before, seen(TWO, ONE, TWO, live=TWO, answered=7, failed=3, live_seconds=1.0))
        assert decision.journal.phase is Phase.REJECTED
        assert decision.journal.because.code == "trial-errors"
        assert "3 of 10 records failed in 1 s, and 5.0% may" in decision.journal.because.sentence
        assert decision.action == Prepare(ONE, None), "the old one is loaded beside it, and not before it"

    def test_waits_for_more_when_few_have_failed_but_too_many_of_them(self) -> None:
        before = journal(Phase.TRIAL, TWO, settled=ONE, wanted_ends=1)
        decision = decide(before, seen(TWO, ONE, TWO, live=TWO, answered=1, failed=2, live_seconds=999.0))
        assert decision.journal.phase is Phase.TRIAL
        assert decision.action == Wait(TRIAL_GLANCE_SECONDS)

    def test_is_no_worse_for_errors_that_were_usual_before(self) -> None:
        before = journal(Phase.TRIAL, TWO, settled=ONE, usual_errors=0.2)
        at_most = seen(TWO, ONE, TWO, live=TWO, answered=18, failed=12)
        assert decide(before, at_most).journal.phase is Phase.SETTLED
        assert decide(before, replace(at_most, failed=13)).journal.phase is Phase.REJECTED

    def test_is_as_long_as_it_is_told(self) -> None:
        before = journal(Phase.TRIAL, TWO, settled=ONE, wanted_ends=1)
        watched = seen(TWO, TWO, live=TWO, answered=5, trial=Trial(records=5))
        assert decide(before, watched).journal.phase is Phase.SETTLED

    def test_goes_on_after_a_reboot(self) -> None:
        before = journal(Phase.TRIAL, TWO, settled=ONE, wanted_ends=1)
        first = decide(before, seen(TWO, whole=digests(ONE, TWO)))
        assert first.action == Verify(TWO, TWO.artifact)
        second = decide(first.journal, seen(TWO, TWO))
        assert (second.action, second.journal.wanted_at_risk) == (Prepare(TWO, None), True)
        third = decide(second.journal, seen(TWO, TWO, prepared=TWO))
        assert (third.action, third.proven) == (Switch(TWO), False)
        assert third.journal.phase is Phase.TRIAL

    def test_whose_artifact_is_gone_starts_again_with_fetching(self) -> None:
        before = journal(Phase.TRIAL, TWO, settled=ONE, wanted_ends=1)
        decision = decide(before, seen(TWO, ONE))
        assert decision.journal.phase is Phase.FETCHING
        assert decision.action == Prepare(ONE, None), "what is settled answers meanwhile"


def an_end(part: Part) -> End:
    return End(part, Because("crashed", "It crashed."))


def resumed_with(before: Journal, *parts: tuple[Manifest, Part]) -> Journal:
    """The journal of the next start, after an end in which these had a part."""
    return resumed(before, {manifest.artifact.digest: an_end(part) for manifest, part in parts}, NOW)


class TestABadEndOfTheProcess:
    """`resumed`: what the next start makes of it."""

    ON_TRIAL = journal(Phase.TRIAL, TWO, settled=ONE, previous=THREE, wanted_at_risk=True)
    SETTLED = journal(Phase.SETTLED, TWO, settled=TWO, previous=ONE, settled_at_risk=True)

    @pytest.mark.parametrize("phase", [Phase.PREFLIGHT, Phase.TRIAL])
    def test_that_a_new_release_has_caused_rejects_it_at_once(self, phase: Phase) -> None:
        after = resumed_with(msgspec.structs.replace(self.ON_TRIAL, phase=phase), (TWO, Part.CERTAIN))
        assert (after.phase, after.because) == (Phase.REJECTED, Because("crashed", "It crashed."))
        assert (after.settled, after.previous, after.since) == (ONE, THREE, NOW)
        assert decide(after, seen(TWO, ONE, TWO)).action == Prepare(ONE, None)

    def test_that_the_settled_release_has_caused_brings_the_one_before_back_at_once(self) -> None:
        after = resumed_with(self.SETTLED, (TWO, Part.CERTAIN))
        assert (after.phase, after.settled, after.previous) == (Phase.REJECTED, ONE, None)
        assert decide(after, seen(TWO, ONE, TWO)).action == Prepare(ONE, None)

    def test_that_the_only_release_has_caused_leaves_a_device_that_lives_and_says_so(self) -> None:
        after = resumed_with(msgspec.structs.replace(self.SETTLED, previous=None), (TWO, Part.CERTAIN))
        assert (after.phase, after.settled, after.because.code) == (Phase.REJECTED, None, "crashed")
        assert decide(after, seen(TWO, TWO)).action == Wait(None)

    @pytest.mark.parametrize("part", [Part.LIKELY, Part.UNKNOWN])
    def test_that_a_new_release_may_have_caused_is_held_against_it_the_second_time(self, part: Part) -> None:
        once = resumed_with(self.ON_TRIAL, (TWO, part))
        assert (once.phase, once.wanted_ends, once.wanted_at_risk) == (Phase.TRIAL, MAX_WANTED_ENDS - 1, False)
        twice = resumed_with(msgspec.structs.replace(once, wanted_at_risk=True), (TWO, part))
        assert (twice.phase, twice.because.code) == (Phase.REJECTED, "process-ended")
        assert "It crashed." in twice.because.sentence

    def test_that_the_settled_release_was_killed_in_is_held_against_it_the_third_time(self) -> None:
        after = self.SETTLED
        for _ in range(2):
            after = msgspec.structs.replace(resumed_with(after, (TWO, Part.LIKELY)), settled_at_risk=True)
            assert after.phase is Phase.SETTLED
        assert resumed_with(after, (TWO, Part.LIKELY)).phase is Phase.REJECTED

    def test_that_took_the_device_down_too_is_held_against_what_is_settled_only_when_many_come_in_a_row(self) -> None:
        after = self.SETTLED
        for _ in range(MAX_SETTLED_ENDS - 1):
            after = msgspec.structs.replace(resumed_with(after, (TWO, Part.UNKNOWN)), settled_at_risk=True)
            assert after.phase is Phase.SETTLED
        assert resumed_with(after).phase is Phase.REJECTED, "what nothing is known of counts the same"

    def test_is_forgotten_after_minutes_of_health_and_not_before(self) -> None:
        before = msgspec.structs.replace(self.SETTLED, settled_ends=3)
        early = decide(before, seen(TWO, TWO, live=TWO, live_seconds=HEALTHY_SECONDS - 1))
        assert early.journal.settled_ends == 3
        assert decide(before, seen(TWO, TWO, live=TWO, live_seconds=HEALTHY_SECONDS)).journal.settled_ends == 0

    def test_is_not_forgotten_because_of_an_orderly_stop(self) -> None:
        stopped = closed(msgspec.structs.replace(self.SETTLED, settled_ends=3, wanted_at_risk=True))
        assert (stopped.settled_ends, stopped.settled_at_risk, stopped.wanted_at_risk) == (3, False, False)
        assert resumed_with(stopped).settled_ends == 3, "and does not count itself"

    def test_is_not_held_against_what_was_not_at_work(self) -> None:
        assert resumed_with(self.SETTLED, (TWO, Part.NONE)).settled_ends == 0
        assert resumed_with(self.ON_TRIAL, (TWO, Part.NONE)).wanted_ends == 0

    def test_is_held_against_what_was_seen_at_work_though_the_journal_could_not_say_so(self) -> None:
        unsaid = msgspec.structs.replace(self.SETTLED, settled_at_risk=False)
        assert resumed_with(unsaid, (TWO, Part.CERTAIN)).phase is Phase.REJECTED
        assert resumed_with(unsaid, (TWO, Part.UNKNOWN)).settled_ends == 0

    def test_is_not_held_against_what_is_rejected_already(self) -> None:
        before = journal(Phase.REJECTED, TWO, settled=ONE)
        assert resumed_with(before, (TWO, Part.CERTAIN)) == before

    def test_can_be_the_fault_of_two_at_once(self) -> None:
        before = msgspec.structs.replace(self.ON_TRIAL, settled_at_risk=True)
        after = resumed_with(before, (TWO, Part.CERTAIN), (ONE, Part.CERTAIN))
        assert (after.phase, after.settled) == (Phase.REJECTED, THREE)

    def test_says_nothing_of_a_model_that_does_not_run(self) -> None:
        assert resumed_with(fresh("digits", THEN)) == fresh("digits", THEN)

    def test_is_not_what_a_failure_that_the_process_outlives_is_taken_for(self) -> None:
        load = Prepare(TWO, TWO.golden.blob)
        observed = seen(TWO, ONE, TWO, live=ONE, resting=(Rest(load, 5.0, LATER),))
        decision = decide(journal(Phase.PREFLIGHT, TWO, settled=ONE, wanted_at_risk=True), observed)
        assert (decision.action, decision.journal.wanted_at_risk) == (Wait(5.0), False)
        recall = Prepare(ONE, None)
        observed = seen(ONE, ONE, resting=(Rest(recall, 5.0, LATER),))
        decision = decide(journal(Phase.SETTLED, ONE, settled=ONE, settled_at_risk=True), observed)
        assert (decision.action, decision.journal.settled_at_risk) == (Wait(5.0), False)


class TestWhatMustGetOnDisk:
    def test_is_what_takes_something_back(self) -> None:
        before = journal(Phase.SETTLED, TWO, settled=TWO, previous=ONE)
        assert reverts(before, msgspec.structs.replace(before, settled=ONE))
        assert reverts(before, msgspec.structs.replace(before, phase=Phase.REJECTED))
        assert not reverts(before, msgspec.structs.replace(before, settled_ends=1))
        assert not reverts(None, before)


class TestARetry:
    def asked(self, before: Journal, number: int) -> Journal:
        live = TWO if before.phase is Phase.TRIAL else ONE
        observed = replace(seen(TWO, ONE, TWO, live=live), wanted=msgspec.structs.replace(order(TWO), retry=number))
        return decide(before, observed).journal

    def test_clears_a_rejection_once(self) -> None:
        rejected = journal(Phase.REJECTED, TWO, settled=ONE)
        again = self.asked(rejected, 1)
        assert (again.phase, again.retry) == (Phase.PREFLIGHT, 1)
        assert (again.wanted_ends, again.damaged) == (0, 0), "with a clean slate"
        rejected_again = msgspec.structs.replace(again, phase=Phase.REJECTED)
        assert self.asked(rejected_again, 1).phase is Phase.REJECTED, "the same number says nothing new"
        assert self.asked(rejected_again, 2).phase is Phase.PREFLIGHT

    def test_clears_a_demotion(self) -> None:
        demoted = resumed_with(TestABadEndOfTheProcess.SETTLED, (TWO, Part.CERTAIN))
        assert self.asked(demoted, 1).phase is Phase.PREFLIGHT

    def test_that_comes_while_nothing_is_rejected_is_used_up(self) -> None:
        underway = self.asked(journal(Phase.TRIAL, TWO, settled=ONE), 1)
        assert (underway.phase, underway.retry) == (Phase.TRIAL, 1)
        assert self.asked(msgspec.structs.replace(underway, phase=Phase.REJECTED), 1).phase is Phase.REJECTED

    def test_of_an_older_number_that_comes_late_is_not_followed_twice(self) -> None:
        before = journal(Phase.REJECTED, TWO, settled=ONE, retry=3)
        late = self.asked(before, 2)
        assert (late.phase, late.retry) == (Phase.REJECTED, 3)
        assert self.asked(late, 3).phase is Phase.REJECTED


class TestStarting:
    def test_reads_what_is_settled_back_and_loads_it_before_anything_else(self) -> None:
        before = journal(Phase.FETCHING, TWO, settled=ONE)
        first = decide(before, seen(TWO, whole=digests(ONE)))
        assert (first.action, first.proven) == (Verify(ONE, ONE.artifact), True)
        second = decide(first.journal, seen(TWO, ONE))
        assert (second.action, second.proven) == (Prepare(ONE, None), True)
        assert second.journal.settled_at_risk
        third = decide(second.journal, seen(TWO, ONE, prepared=ONE))
        assert (third.action, third.proven) == (Switch(ONE), True)
        fourth = decide(third.journal, seen(TWO, ONE, live=ONE))
        assert isinstance(fourth.action, Fetch)

    def test_goes_on_with_the_order_while_what_is_settled_must_wait(self) -> None:
        resting = (Rest(Prepare(ONE, None), 4.0, LATER),)
        decision = decide(journal(Phase.FETCHING, TWO, settled=ONE), seen(TWO, ONE, resting=resting))
        assert isinstance(decision.action, Fetch)

    def test_loads_what_is_settled_beside_nothing_but_what_runs(self) -> None:
        before = journal(Phase.PREFLIGHT, TWO, settled=ONE)
        decision = decide(before, seen(TWO, ONE, TWO, prepared=TWO))
        assert (decision.action, decision.because.code) == (Discard(TWO), "one-at-a-time")
        assert decide(decision.journal, seen(TWO, ONE, TWO)).action == Prepare(ONE, None)

    def test_waits_for_what_is_due_first(self) -> None:
        fetch = Fetch(TWO, TWO.artifact, "/a/2")
        resting = (Rest(Prepare(ONE, None), 4.0, LATER), Rest(fetch, 3.0, LATER))
        decision = decide(journal(Phase.FETCHING, TWO, settled=ONE), seen(TWO, ONE, resting=resting))
        assert decision.action == Wait(3.0)

    def test_says_why_it_waits_without_touching_the_reason_of_the_phase(self) -> None:
        resting = (Rest(Prepare(ONE, None), 4.0, LATER),)
        before = journal(Phase.REJECTED, TWO, settled=ONE)
        decision = decide(before, seen(TWO, ONE, resting=resting))
        assert (decision.action, decision.because) == (Wait(4.0), LATER)
        assert decision.journal.because == before.because

    def test_without_the_settled_artifact_fetches_it_again_and_runs_the_one_before(self) -> None:
        before = journal(Phase.SETTLED, TWO, settled=TWO, previous=ONE)
        decision = decide(before, seen(TWO, ONE))
        assert (decision.journal.phase, decision.journal.settled) == (Phase.FETCHING, ONE)
        assert decision.journal.because.code == "artifact-lost"
        assert decision.action == Prepare(ONE, None)


class TestAFailureForNow:
    def test_rests_and_explains_the_phase(self) -> None:
        fetch = Fetch(ONE, ONE.artifact, "/a/1")
        decision = decide(journal(Phase.FETCHING, ONE), seen(ONE, resting=(Rest(fetch, 7.0, LATER),)))
        assert (decision.action, decision.journal.because) == (Wait(7.0), LATER)

    def test_is_tried_again_when_it_has_rested(self) -> None:
        fetch = Fetch(ONE, ONE.artifact, "/a/1")
        decision = decide(journal(Phase.FETCHING, ONE), seen(ONE, resting=(Rest(fetch, 0.0, LATER),)))
        assert decision.action == fetch

    def test_of_an_old_link_does_not_hold_up_a_new_one(self) -> None:
        old = Fetch(ONE, ONE.artifact, "/a/1")
        observed = replace(seen(ONE, resting=(Rest(old, 7.0, LATER),)), wanted=order(ONE, "?new"))
        decision = decide(journal(Phase.FETCHING, ONE), observed)
        assert decision.action == Fetch(ONE, ONE.artifact, "/a/1?new")


class TestAFailureForGood:
    @pytest.mark.parametrize("phase", UNDERWAY)
    def test_rejects_and_what_is_settled_runs_on(self, phase: Phase) -> None:
        setback = Setback(Prepare(TWO, TWO.golden.blob), NEVER)
        before = journal(phase, TWO, settled=ONE, previous=THREE, wanted_ends=1)
        decision = decide(before, seen(TWO, ONE, TWO, live=ONE, setback=setback))
        after = decision.journal
        assert (after.phase, after.because, after.settled, after.previous) == (Phase.REJECTED, NEVER, ONE, THREE)
        assert decision.action == Wait(None)

    def test_of_what_was_rejected_already_changes_nothing(self) -> None:
        before = journal(Phase.REJECTED, TWO, settled=ONE)
        decision = decide(before, seen(TWO, ONE, live=ONE, setback=Setback(Prepare(TWO, None), NEVER)))
        assert decision.journal == before

    def test_of_an_order_that_is_superseded_is_not_held_against_its_successor(self) -> None:
        setback = Setback(Prepare(TWO, TWO.golden.blob), NEVER)
        decision = decide(journal(Phase.PREFLIGHT, TWO, settled=ONE), seen(THREE, ONE, live=ONE, setback=setback))
        assert decision.journal.phase is Phase.FETCHING
        assert decision.action == Fetch(THREE, THREE.artifact, "/a/3")

    @pytest.mark.parametrize("step", [Fetch(TWO, TWO.artifact, "/a/2"), Verify(TWO, TWO.artifact)])
    def test_of_the_bytes_is_given_another_download_and_no_third(self, step: Fetch | Verify) -> None:
        setback = Setback(step, NEVER)
        first = decide(journal(Phase.VERIFYING, TWO, settled=ONE), seen(TWO, ONE, live=ONE, setback=setback))
        assert (first.journal.phase, first.journal.damaged) == (Phase.FETCHING, 1)
        assert isinstance(first.action, Fetch)
        second = decide(first.journal, seen(TWO, ONE, live=ONE, setback=setback))
        assert second.journal.phase is Phase.REJECTED

    def test_of_the_settled_release_brings_the_one_before_back(self) -> None:
        before = journal(Phase.SETTLED, TWO, settled=TWO, previous=ONE)
        decision = decide(before, seen(TWO, ONE, TWO, setback=Setback(Prepare(TWO, None), NEVER)))
        after = decision.journal
        assert (after.phase, after.because, after.settled, after.previous) == (Phase.REJECTED, NEVER, ONE, None)

    def test_of_the_settled_bytes_fetches_them_again(self) -> None:
        before = journal(Phase.SETTLED, TWO, settled=TWO, previous=ONE)
        setback = Setback(Verify(TWO, TWO.artifact), NEVER)
        decision = decide(before, seen(TWO, ONE, live=ONE, setback=setback))
        assert (decision.journal.phase, decision.journal.settled) == (Phase.FETCHING, ONE)
        assert decision.action == Fetch(TWO, TWO.artifact, "/a/2")

    def test_of_the_settled_release_settles_an_order_for_the_one_before(self) -> None:
        before = journal(Phase.FETCHING, ONE, settled=TWO, previous=ONE)
        decision = decide(before, seen(ONE, ONE, TWO, setback=Setback(Prepare(TWO, None), NEVER)))
        assert (decision.journal.phase, decision.journal.settled) == (Phase.SETTLED, ONE)

    def test_of_the_settled_release_leaves_another_order_where_it_is(self) -> None:
        before = journal(Phase.FETCHING, THREE, settled=TWO, previous=ONE)
        decision = decide(before, seen(THREE, ONE, setback=Setback(Prepare(TWO, None), NEVER)))
        assert (decision.journal.phase, decision.journal.settled) == (Phase.FETCHING, ONE)

    def test_of_the_one_before_leaves_nothing_to_fall_back_on(self) -> None:
        before = journal(Phase.PREFLIGHT, ONE, settled=TWO, previous=ONE)
        setback = Setback(Prepare(ONE, ONE.golden.blob), NEVER)
        decision = decide(before, seen(ONE, ONE, TWO, live=TWO, setback=setback))
        assert (decision.journal.phase, decision.journal.previous) == (Phase.REJECTED, None)


class TestANewOrder:
    @pytest.mark.parametrize("phase", list(Phase))
    def test_supersedes_in_every_phase(self, phase: Phase) -> None:
        before = journal(phase, TWO, settled=ONE, wanted_ends=1, wanted_at_risk=True, damaged=1)
        decision = decide(before, seen(THREE, ONE, live=ONE))
        assert decision.action == Fetch(THREE, THREE.artifact, "/a/3")
        after = decision.journal
        assert (after.wanted_ends, after.wanted_at_risk, after.damaged) == (0, False, 0)

    def test_during_a_trial_brings_back_what_is_settled_first(self) -> None:
        decision = decide(journal(Phase.TRIAL, TWO, settled=ONE), seen(THREE, ONE, TWO, live=TWO))
        assert decision.journal.phase is Phase.FETCHING
        assert decision.action == Prepare(ONE, None)

    def test_for_what_is_settled_is_done_at_once(self) -> None:
        decision = decide(journal(Phase.REJECTED, TWO, settled=ONE), seen(ONE, ONE, live=ONE))
        assert (decision.journal.phase, decision.action) == (Phase.SETTLED, Wait(None))

    def test_for_the_previous_release_needs_no_download(self) -> None:
        before = journal(Phase.SETTLED, TWO, settled=TWO, previous=ONE)
        decision = decide(before, seen(ONE, ONE, TWO, live=TWO))
        assert decision.action == Prepare(ONE, ONE.golden.blob)

    def test_discards_what_was_prepared_for_the_old_one(self) -> None:
        before = journal(Phase.PREFLIGHT, TWO, settled=ONE)
        decision = decide(before, seen(THREE, ONE, TWO, prepared=TWO, live=ONE))
        assert (decision.action, decision.because.code) == (Discard(TWO), "superseded")

    def test_that_only_renews_links_and_reasons_disturbs_nothing(self) -> None:
        before = journal(Phase.TRIAL, TWO, settled=ONE, wanted_ends=1)
        observed = replace(seen(TWO, TWO, live=TWO), wanted=order(TWO, "?new"))
        after = decide(before, observed).journal
        assert (after.phase, after.since, after.wanted_ends) == (Phase.TRIAL, THEN, 1)
        assert after.wanted == order(TWO, "?new")

    def test_for_what_was_rejected_is_not_followed_again(self) -> None:
        before = journal(Phase.REJECTED, TWO, settled=ONE)
        assert decide(before, seen(TWO, ONE, live=ONE)).journal == before


class TestARefusedAssignment:
    REFUSED = Refused(release_of(TWO), Because("signature-wrong", "By nobody."), "r2")

    def test_is_rejected_with_its_reason_and_what_is_settled_runs_on(self) -> None:
        observed = replace(seen(None, ONE, live=ONE), wanted=self.REFUSED)
        decision = decide(journal(Phase.SETTLED, ONE, settled=ONE), observed)
        assert (decision.journal.phase, decision.journal.because) == (Phase.REJECTED, self.REFUSED.because)
        assert decision.action == Wait(None)
        again = decide(decision.journal, replace(observed, now=NOW + timedelta(hours=1)))
        assert again.journal == decision.journal

    def test_ends_a_trial(self) -> None:
        observed = replace(seen(None, ONE, TWO, live=TWO), wanted=self.REFUSED)
        assert decide(journal(Phase.TRIAL, TWO, settled=ONE), observed).action == Prepare(ONE, None)


class TestAModelThatIsNotWanted:
    def test_is_stopped(self) -> None:
        before = journal(Phase.SETTLED, TWO, settled=TWO, previous=ONE)
        decision = decide(before, seen(None, ONE, TWO, live=TWO))
        assert decision.action == Switch(None)
        assert decision.journal == Journal("digits", Phase.IDLE, decision.journal.because, NOW)

    def test_is_forgotten_once_nothing_of_it_answers(self) -> None:
        before = decide(journal(Phase.SETTLED, TWO, settled=TWO), seen(None, TWO, live=TWO)).journal
        decision = decide(before, seen(None))
        assert (decision.action, decision.proven) == (Forget(), True), "it makes room where there is none"
        assert (decision.journal.phase, decision.journal.because.code) == (Phase.EVICTED, "evicted")
        again = decide(decision.journal, seen(None))
        assert again.action == Forget(), "until it is gone"
        done = decide(decision.journal, seen(None, forgotten=True))
        assert (done.action, done.journal) == (Wait(None), decision.journal)

    def test_is_not_forgotten_while_the_disk_fails(self) -> None:
        resting = (Rest(Forget(), 5.0, LATER),)
        decision = decide(journal(Phase.IDLE), seen(None, resting=resting))
        assert (decision.action, decision.because) == (Wait(5.0), LATER)
        failed = decide(journal(Phase.EVICTED), seen(None, setback=Setback(Forget(), NEVER)))
        assert failed.action == Forget()

    @pytest.mark.parametrize("phase", [Phase.IDLE, Phase.EVICTED])
    def test_and_is_wanted_again_begins_anew(self, phase: Phase) -> None:
        decision = decide(journal(phase), seen(ONE))
        assert decision.action == Fetch(ONE, ONE.artifact, "/a/1")

    def test_needs_nothing_on_disk(self) -> None:
        assert kept([fresh("digits", THEN)]) == frozenset()


class TestWhatIsKept:
    def test_is_what_is_wanted_what_runs_and_what_ran_before(self) -> None:
        assert kept([journal(Phase.FETCHING, THREE, settled=TWO, previous=ONE)]) == digests(ONE, TWO, THREE)

    def test_is_not_what_was_rejected(self) -> None:
        assert kept([journal(Phase.REJECTED, THREE, settled=TWO, previous=ONE)]) == digests(ONE, TWO)

    def test_is_for_all_models(self) -> None:
        noise = a_manifest(1, model="noise")
        journals = [journal(Phase.SETTLED, ONE, settled=ONE), journal(Phase.SETTLED, noise, settled=noise)]
        assert kept(journals) == digests(ONE, noise)

    def test_and_may_not_be_cost_by_a_new_order_is_what_runs_and_what_it_falls_back_on(self) -> None:
        assert proven([journal(Phase.FETCHING, THREE, settled=TWO, previous=ONE)]) == digests(ONE, TWO)
        assert proven([journal(Phase.TRIAL, THREE, settled=TWO)]) == digests(TWO, THREE)

    def test_names_all_releases_of_a_journal(self) -> None:
        assert manifests(journal(Phase.FETCHING, THREE, settled=TWO, previous=ONE)) == [THREE, TWO, ONE]
        assert manifests(fresh("digits", THEN)) == []


class TestAReport:
    def test_during_a_trial_names_what_is_settled_as_previous(self) -> None:
        before = journal(Phase.TRIAL, TWO, settled=ONE, previous=THREE)
        assert current(before) == TWO
        report = reported(before, live=TWO)
        assert (report.running, report.previous, report.wanted) == (release_of(TWO), release_of(ONE), release_of(TWO))
        assert report.rollout == "r1"

    def test_of_a_refused_assignment_names_what_was_refused(self) -> None:
        refused = journal(Phase.REJECTED, settled=ONE, wanted=None)
        refused = msgspec.structs.replace(refused, wanted=TestARefusedAssignment.REFUSED)
        report = reported(refused, live=ONE)
        assert (report.wanted, report.running, report.rollout) == (release_of(TWO), release_of(ONE), "r2")

    def test_of_nothing_names_nothing(self) -> None:
        report = reported(fresh("digits", THEN), live=None)
        assert (report.wanted, report.running, report.previous, report.rollout) == (None, None, None, None)


class TestALimit:
    """What the live model takes too much of, on trial and settled."""

    def taking(self, *, trial: bool = True, limits: Limits = Limits(latency_ms=5.0), **load: object) -> Decision:  # noqa: B008, it is frozen
        before = journal(Phase.TRIAL if trial else Phase.SETTLED, TWO, settled=ONE if trial else TWO, previous=THREE)
        before = before if trial else msgspec.structs.replace(before, previous=ONE)
        taken = replace(Load(live=TWO), **load)  # type: ignore[arg-type]
        return decide(before, seen(TWO, ONE, TWO, live=TWO, load=taken, limits=limits))

    @pytest.mark.parametrize("trial", [True, False])
    @pytest.mark.parametrize(
        ("limits", "load", "code", "spent"),
        [
            (Limits(), {"busy": TWO, "busy_seconds": 61.0}, "inference-hangs", True),
            (Limits(resident_bytes=9), {"suspect": True, "resident_bytes": 10}, "memory-exceeded", True),
            (Limits(growth_bytes=9), {"suspect": True, "grown_bytes": 10}, "memory-leaks", True),
            (Limits(latency_ms=5.0), {"leases": 10, "slow": 6, "over_seconds": 60.0}, "latency-exceeded", False),
        ],
    )
    def test_ends_the_release_at_once_and_the_one_before_comes_back(
        self, trial: bool, limits: Limits, load: dict[str, object], code: str, spent: bool
    ) -> None:
        decision = self.taking(trial=trial, limits=limits, **load)
        after = decision.journal
        assert (after.phase, after.because.code, after.settled) == (Phase.REJECTED, code, ONE)
        assert decision.action == Prepare(ONE, None)
        assert (decision.spent is not None) == spent, "the end of the process gives back what nothing else does"

    @pytest.mark.parametrize(
        ("limits", "load"),
        [
            (Limits(), {"busy": TWO, "busy_seconds": 60.0}),
            (Limits(resident_bytes=9, growth_bytes=9), {"resident_bytes": 10, "grown_bytes": 10}),
            (Limits(resident_bytes=9, growth_bytes=9), {"suspect": True, "resident_bytes": 9, "grown_bytes": 9}),
            (Limits(), {"leases": 10, "slow": 10}),
            (Limits(latency_ms=5.0), {"leases": 9, "slow": 9}),
            (Limits(latency_ms=5.0), {"leases": 10, "slow": 5}),
        ],
    )
    def test_that_is_kept_changes_nothing(self, limits: Limits, load: dict[str, object]) -> None:
        decision = self.taking(limits=limits, **load)
        assert (decision.journal.phase, decision.spent) == (Phase.TRIAL, None)

    def test_of_pace_is_for_a_settled_release_that_of_a_minute(self) -> None:
        slow = {"leases": 10, "slow": 10}
        assert self.taking(trial=False, over_seconds=59.0, **slow).journal.phase is Phase.SETTLED
        assert self.taking(trial=False, over_seconds=60.0, **slow).journal.phase is Phase.REJECTED

    def test_that_a_release_exceeds_which_is_not_live_any_more_ends_only_the_process(self) -> None:
        observed = seen(ONE, ONE, live=ONE, load=Load(live=ONE, busy=TWO, busy_seconds=61.0))
        decision = decide(journal(Phase.SETTLED, ONE, settled=ONE), observed)
        assert (decision.journal.phase, decision.action) == (Phase.SETTLED, Wait(None))
        assert decision.spent is not None

    def test_of_nothing_is_kept_by_nothing(self) -> None:
        assert excess(Load(suspect=True, grown_bytes=10), Limits(growth_bytes=1), trial=True) is None

    def test_of_time_keeps_a_trial_from_being_over_while_a_record_is_under_way(self) -> None:
        observed = seen(TWO, TWO, live=TWO, live_seconds=10.0, load=Load(live=TWO, busy=TWO, busy_seconds=10.5))
        assert decide(journal(Phase.TRIAL, TWO, settled=ONE), observed).journal.phase is Phase.TRIAL


class TestWhoIsToBlameForMemory:
    def test_is_what_has_proven_least(self) -> None:
        old = journal(Phase.SETTLED, ONE, settled=ONE)
        new = msgspec.structs.replace(old, model="noise", since=NOW)
        trial = msgspec.structs.replace(old, model="third", phase=Phase.TRIAL)
        fallen = msgspec.structs.replace(old, model="fourth", phase=Phase.REJECTED, since=NOW + timedelta(hours=1))
        assert suspect([old, new, trial, fallen]) == "third"
        assert suspect([old, new, fallen]) == "noise"
        assert suspect([old, fallen]) == "digits"
        assert suspect([fallen]) == "fourth"
        assert suspect([]) is None


class TestAKey:
    @pytest.mark.parametrize(("model", "slot", "name"), [("digits", "default", "digits"), ("a", "shadow", "a@shadow")])
    def test_names_a_slot_and_can_be_read_back(self, model: str, slot: str, name: str) -> None:
        assert key(model, slot) == name
        assert split(name) == (model, slot)
        assert (fresh(name, THEN).key, fresh(name, THEN).slot) == (name, slot)

    def test_that_is_not_wanted_any_more_stays_a_shadows(self) -> None:
        before = msgspec.structs.replace(journal(Phase.SETTLED, ONE, settled=ONE), slot="shadow")
        assert decide(before, seen(None, live=ONE)).journal.key == "digits@shadow"
        assert reported(before, ONE).slot == "shadow"


#: NOW is at five past midnight.
NOON = MaintenanceWindow((), "12:00", "13:00")
IN_WINDOW, OUTSIDE = Wall(NOW.replace(hour=12)), Wall(NOW)


def windowed(manifest: Manifest, window: MaintenanceWindow | None = NOON) -> Order:
    return replace(order(manifest), window=window)


class TestAWindow:
    """TWO runs next to be, ONE runs."""

    def at(self, wall: Wall | None, *there: Manifest, **more: object) -> Observed:
        observed = replace(seen(None, *(there or (ONE, TWO)), live=ONE), wanted=windowed(TWO), wall=wall)
        return replace(observed, **more)  # type: ignore[arg-type]

    def waiting(self, **more: object) -> Journal:
        ready = replace(journal(Phase.PREFLIGHT, settled=ONE, preflighted=True), wanted=windowed(TWO))
        return replace(ready, **more)  # type: ignore[arg-type]

    def test_that_is_closed_holds_up_no_download_nor_check_nor_pre_flight(self) -> None:
        before = self.waiting(phase=Phase.FETCHING, preflighted=False)
        assert isinstance(decide(before, self.at(OUTSIDE, ONE)).action, Fetch)
        assert isinstance(decide(before, self.at(OUTSIDE, verified=digests(ONE))).action, Verify)
        assert decide(before, self.at(OUTSIDE)).action == Prepare(TWO, TWO.golden.blob)

    def test_that_is_closed_has_what_passed_its_pre_flight_put_away_and_at_no_risk(self) -> None:
        before = self.waiting(preflighted=False, wanted_at_risk=True)
        decision = decide(before, self.at(OUTSIDE, prepared=TWO))
        after = decision.journal
        assert decision.action == Discard(TWO)
        assert (after.phase, after.because.code) == (Phase.PREFLIGHT, "window-closed")
        assert (after.preflighted, after.wanted_at_risk, after.settled) == (True, False, ONE)

    @pytest.mark.parametrize("verified", [digests(ONE, TWO), digests(ONE)])
    def test_that_is_closed_is_waited_for_also_after_a_reboot(self, verified: frozenset[str]) -> None:
        decision = decide(self.waiting(), self.at(OUTSIDE, verified=verified))
        assert decision.action == Wait(GLANCE_SECONDS)
        assert (decision.journal.phase, decision.because.code) == (Phase.PREFLIGHT, "window-closed")
        assert decide(decision.journal, self.at(OUTSIDE)).journal == decision.journal, "nothing new to write or to say"

    def test_that_nobody_can_tell_is_closed(self) -> None:
        assert decide(self.waiting(), self.at(None)).because.code == "window-closed"

    def test_that_opens_has_it_loaded_and_proven_once_more_and_then_switched_to(self) -> None:
        loading = decide(self.waiting(), self.at(IN_WINDOW))
        assert loading.action == Prepare(TWO, TWO.golden.blob)
        switching = decide(loading.journal, self.at(IN_WINDOW, prepared=TWO, prepared_because="8 of 8."))
        assert (switching.action, switching.journal.phase) == (Switch(TWO), Phase.TRIAL)

    def test_that_closes_does_not_end_a_trial(self) -> None:
        before = self.waiting(phase=Phase.TRIAL, admitted=True)
        assert decide(before, self.at(OUTSIDE, live=TWO)).action == Wait(TRIAL_GLANCE_SECONDS)
        after_a_reboot = decide(before, self.at(OUTSIDE, live=None))
        assert after_a_reboot.action == Prepare(TWO, None)

    def test_does_not_hold_up_a_repair_of_what_it_let_in(self) -> None:
        trial = self.waiting(phase=Phase.TRIAL, admitted=True)
        lost = decide(trial, self.at(OUTSIDE, ONE, live=None))
        assert (lost.journal.phase, lost.action) == (Phase.FETCHING, Prepare(ONE, None)), "what was proven goes first"
        again = decide(replace(lost.journal, phase=Phase.PREFLIGHT), self.at(OUTSIDE, prepared=TWO))
        assert again.action == Switch(TWO)

    def test_does_not_hold_up_a_repair_of_what_ran_when_it_was_asked_for(self) -> None:
        settled = decide(journal(Phase.SETTLED, ONE, settled=TWO), self.at(OUTSIDE, live=TWO)).journal
        assert (settled.phase, settled.admitted) == (Phase.SETTLED, True)

    def test_holds_up_a_new_try(self) -> None:
        rejected = self.waiting(phase=Phase.REJECTED, admitted=True)
        again = decide(rejected, self.at(OUTSIDE, wanted=replace(windowed(TWO), retry=1))).journal
        assert (again.preflighted, again.admitted) == (False, False)

    def test_gives_way_to_a_newer_order_at_once(self) -> None:
        later = decide(self.waiting(), self.at(OUTSIDE, ONE, TWO, THREE, wanted=windowed(THREE)))
        assert (later.action, later.journal.preflighted) == (Prepare(THREE, THREE.golden.blob), False)
        back = decide(self.waiting(), self.at(OUTSIDE, wanted=order(ONE)))
        assert (back.action, back.journal.phase) == (Wait(None), Phase.SETTLED)

    def test_that_is_taken_from_the_order_is_not_waited_for(self) -> None:
        assert decide(self.waiting(), self.at(OUTSIDE, wanted=order(TWO))).action == Prepare(TWO, TWO.golden.blob)

    def test_is_not_waited_for_where_the_bytes_must_be_proven_anew(self) -> None:
        lost = decide(self.waiting(), self.at(OUTSIDE, ONE))
        assert isinstance(lost.action, Fetch)
        assert not lost.journal.preflighted
