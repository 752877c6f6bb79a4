"""Each rule of the update core, one turn at a time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from edge_agent.core.journal import Journal, Order, Refused, closed, current, fresh, kept, release_of, reported
from edge_agent.core.steps import Discard, Fetch, Observed, Prepare, Rest, Setback, Switch, Trial, Verify, Wait
from edge_agent.core.update import MAX_ATTEMPTS, MAX_STARTS, TRIAL_GLANCE_SECONDS, decide
from fleet_contract.because import Because
from fleet_contract.manifest import Manifest
from fleet_contract.report import Phase
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

    def test_then_prepares_it_and_counts_before_it_does(self) -> None:
        decision = decide(journal(Phase.VERIFYING, ONE), seen(ONE, ONE))
        assert decision.action == Prepare(ONE, ONE.golden.blob)
        assert (decision.journal.phase, decision.journal.attempts) == (Phase.PREFLIGHT, 1)
        assert not decision.proven

    def test_then_switches_and_remembers_how_many_errors_were_usual(self) -> None:
        observed = seen(TWO, ONE, TWO, prepared=TWO, prepared_because="8 of 8.", live=ONE, answered=90, failed=10)
        decision = decide(journal(Phase.PREFLIGHT, TWO, settled=ONE, attempts=2), observed)
        assert decision.action == Switch(TWO)
        assert decision.journal.attempts == 1, "the trial is another try"
        assert (decision.journal.phase, decision.journal.usual_errors) == (Phase.TRIAL, 0.1)
        assert decision.journal.because == Because("preflight-passed", "8 of 8.")
        assert decision.journal.settled == ONE, "until the trial is over"

    def test_then_watches_the_trial(self) -> None:
        decision = decide(journal(Phase.TRIAL, ONE, attempts=1), seen(ONE, ONE, live=ONE, answered=3))
        assert decision.action == Wait(TRIAL_GLANCE_SECONDS)

    @pytest.mark.parametrize("proof", [{"answered": 30}, {"live_seconds": 10.0}, {"answered": 29, "failed": 1}])
    def test_and_settles_when_the_trial_is_over(self, proof: dict[str, float]) -> None:
        before = journal(Phase.TRIAL, TWO, settled=ONE, previous=THREE, attempts=2, damaged=1)
        decision = decide(before, seen(TWO, TWO, live=TWO, **proof))
        after = decision.journal
        assert (after.phase, after.settled, after.previous) == (Phase.SETTLED, TWO, ONE)
        assert (after.attempts, after.damaged) == (0, 0)
        assert after.because.code == "trial-passed"
        assert decide(after, seen(TWO, TWO, live=TWO)).action == Wait(None)

    @pytest.mark.parametrize("phase", UNDERWAY)
    def test_starts_again_where_bytes_are_missing_whatever_the_phase(self, phase: Phase) -> None:
        decision = decide(journal(phase, ONE), seen(ONE))
        assert isinstance(decision.action, Fetch)
        assert decision.journal.phase is Phase.FETCHING


class TestATrial:
    def test_fails_on_an_excess_of_errors_and_what_was_settled_comes_back(self) -> None:
        before = journal(Phase.TRIAL, TWO, settled=ONE, attempts=1)
        decision = decide(before, seen(TWO, ONE, TWO, live=TWO, answered=7, failed=3, live_seconds=1.0))
        assert decision.journal.phase is Phase.REJECTED
        assert decision.journal.because.code == "trial-errors"
        assert "3 of 10 records failed in 1 s, and 5.0% may" in decision.journal.because.sentence
        assert decision.action == Prepare(ONE, None), "the old one is loaded beside it, and not before it"

    def test_waits_for_more_when_few_have_failed_but_too_many_of_them(self) -> None:
        before = journal(Phase.TRIAL, TWO, settled=ONE, attempts=1)
        decision = decide(before, seen(TWO, ONE, TWO, live=TWO, answered=1, failed=2, live_seconds=999.0))
        assert decision.journal.phase is Phase.TRIAL
        assert decision.action == Wait(TRIAL_GLANCE_SECONDS)

    def test_is_no_worse_for_errors_that_were_usual_before(self) -> None:
        before = journal(Phase.TRIAL, TWO, settled=ONE, attempts=1, usual_errors=0.2)
        at_most = seen(TWO, ONE, TWO, live=TWO, answered=18, failed=12)
        assert decide(before, at_most).journal.phase is Phase.SETTLED
        assert decide(before, replace(at_most, failed=13)).journal.phase is Phase.REJECTED

    def test_is_as_long_as_it_is_told(self) -> None:
        before = journal(Phase.TRIAL, TWO, settled=ONE, attempts=1)
        watched = seen(TWO, TWO, live=TWO, answered=5, trial=Trial(records=5))
        assert decide(before, watched).journal.phase is Phase.SETTLED

    def test_goes_on_after_a_reboot(self) -> None:
        before = journal(Phase.TRIAL, TWO, settled=ONE, attempts=1)
        first = decide(before, seen(TWO, whole=digests(ONE, TWO)))
        assert first.action == Verify(TWO, TWO.artifact)
        second = decide(first.journal, seen(TWO, TWO))
        assert (second.action, second.journal.attempts) == (Prepare(TWO, None), 2)
        third = decide(second.journal, seen(TWO, TWO, prepared=TWO))
        assert (third.action, third.proven) == (Switch(TWO), False)
        assert third.journal.phase is Phase.TRIAL

    def test_whose_artifact_is_gone_starts_again_with_fetching(self) -> None:
        before = journal(Phase.TRIAL, TWO, settled=ONE, attempts=1)
        decision = decide(before, seen(TWO, ONE))
        assert decision.journal.phase is Phase.FETCHING
        assert decision.action == Prepare(ONE, None), "what is settled answers meanwhile"


class TestAModelThatEndsTheProcess:
    def test_is_tried_again_and_then_rejected(self) -> None:
        before = journal(Phase.PREFLIGHT, TWO, settled=ONE, attempts=MAX_ATTEMPTS - 1)
        observed = seen(TWO, ONE, TWO, live=ONE)
        again = decide(before, observed)
        assert again.action == Prepare(TWO, TWO.golden.blob)
        # The process ends here, and starts.
        rejected = decide(again.journal, observed)
        assert rejected.journal.phase is Phase.REJECTED
        assert rejected.journal.because.code == "load-kills"
        assert rejected.action == Wait(None)

    def test_on_trial_is_rejected_and_what_was_settled_comes_back(self) -> None:
        before = journal(Phase.TRIAL, TWO, settled=ONE, attempts=MAX_ATTEMPTS)
        decision = decide(before, seen(TWO, ONE, TWO))
        assert decision.journal.phase is Phase.REJECTED
        assert decision.action == Prepare(ONE, None)

    def test_and_was_settled_gives_way_to_the_one_before(self) -> None:
        before = journal(Phase.SETTLED, TWO, settled=TWO, previous=ONE, starts=MAX_STARTS)
        decision = decide(before, seen(TWO, ONE, TWO))
        after = decision.journal
        assert (after.phase, after.settled, after.previous) == (Phase.REJECTED, ONE, None)
        assert (decision.action, after.starts) == (Prepare(ONE, None), 1)

    def test_and_was_the_last_leaves_a_device_that_lives(self) -> None:
        before = journal(Phase.SETTLED, TWO, settled=TWO, starts=MAX_STARTS)
        decision = decide(before, seen(TWO, TWO))
        assert (decision.journal.phase, decision.journal.settled) == (Phase.REJECTED, None)
        assert decision.action == Wait(None)

    def test_is_not_what_a_start_that_came_to_a_good_end_is_taken_for(self) -> None:
        before = journal(Phase.SETTLED, TWO, settled=TWO, starts=2)
        assert decide(before, seen(TWO, TWO, live=TWO)).journal.starts == 0

    def test_is_not_what_a_failure_that_the_process_outlives_is_taken_for(self) -> None:
        load = Prepare(TWO, TWO.golden.blob)
        observed = seen(TWO, ONE, TWO, live=ONE, resting=(Rest(load, 0.0, LATER),))
        decision = decide(journal(Phase.PREFLIGHT, TWO, settled=ONE, attempts=MAX_ATTEMPTS), observed)
        assert (decision.action, decision.journal.attempts) == (load, 1)
        recall = Prepare(ONE, None)
        observed = seen(ONE, ONE, resting=(Rest(recall, 0.0, LATER),))
        decision = decide(journal(Phase.SETTLED, ONE, settled=ONE, starts=MAX_STARTS), observed)
        assert (decision.action, decision.journal.starts) == (recall, 1)

    def test_is_not_what_an_orderly_stop_is_taken_for(self) -> None:
        stopped = closed(journal(Phase.TRIAL, TWO, attempts=2, starts=2))
        assert (stopped.attempts, stopped.starts) == (0, 0)


class TestStarting:
    def test_reads_what_is_settled_back_and_loads_it_before_anything_else(self) -> None:
        before = journal(Phase.FETCHING, TWO, settled=ONE)
        first = decide(before, seen(TWO, whole=digests(ONE)))
        assert (first.action, first.proven) == (Verify(ONE, ONE.artifact), True)
        second = decide(first.journal, seen(TWO, ONE))
        assert (second.action, second.proven) == (Prepare(ONE, None), True)
        assert second.journal.starts == 1
        third = decide(second.journal, seen(TWO, ONE, prepared=ONE))
        assert (third.action, third.proven) == (Switch(ONE), True)
        fourth = decide(third.journal, seen(TWO, ONE, live=ONE))
        assert isinstance(fourth.action, Fetch)

    def test_goes_on_with_the_order_while_what_is_settled_must_wait(self) -> None:
        resting = (Rest(Prepare(ONE, None), 4.0, LATER),)
        decision = decide(journal(Phase.FETCHING, TWO, settled=ONE), seen(TWO, ONE, resting=resting))
        assert isinstance(decision.action, Fetch)

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
        before = journal(phase, TWO, settled=ONE, previous=THREE, attempts=1)
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

    def test_of_the_bytes_is_given_another_download_and_no_third(self) -> None:
        setback = Setback(Verify(TWO, TWO.artifact), NEVER)
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
        before = journal(phase, TWO, settled=ONE, attempts=2, damaged=1)
        decision = decide(before, seen(THREE, ONE, live=ONE))
        assert decision.action == Fetch(THREE, THREE.artifact, "/a/3")
        assert (decision.journal.attempts, decision.journal.damaged) == (0, 0)

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
        before = journal(Phase.TRIAL, TWO, settled=ONE, attempts=1)
        observed = replace(seen(TWO, TWO, live=TWO), wanted=order(TWO, "?new"))
        after = decide(before, observed).journal
        assert (after.phase, after.since, after.attempts) == (Phase.TRIAL, THEN, 1)
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
        again = decide(decision.journal, seen(None))
        assert (again.action, again.journal) == (Wait(None), decision.journal)

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
