"""The way of a release from its order to what is settled, and back to work after a start, one turn at a time."""

import pytest
from msgspec.structs import replace

from edge_agent.core.journal import fresh
from edge_agent.core.steps import Discard, Fetch, Prepare, Rest, Switch, Trial, Verify, Wait
from edge_agent.core.update import TRIAL_GLANCE_SECONDS, decide
from fleet_contract.because import Because
from fleet_contract.report import Phase
from tests.edge_agent.core.turns import LATER, NOW, ONE, THEN, THREE, TWO, UNDERWAY, digests, journal, seen
from tests.fakes.releases import why


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
