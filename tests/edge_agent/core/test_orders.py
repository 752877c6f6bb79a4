"""What the hub asks for next: another release, none, one that is refused, or the rejected one once more."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from edge_agent.core.journal import Journal, fresh, kept
from edge_agent.core.steps import Discard, Fetch, Forget, Prepare, Rest, Setback, Switch, Wait
from edge_agent.core.transitions import Part
from edge_agent.core.update import decide
from fleet_contract.report import Phase
from tests.edge_agent.core.turns import (
    LATER,
    NEVER,
    NOW,
    ONE,
    REFUSED,
    SETTLED_ON_TWO,
    THEN,
    THREE,
    TWO,
    journal,
    order,
    resumed_with,
    seen,
)


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
    def test_is_rejected_with_its_reason_and_what_is_settled_runs_on(self) -> None:
        observed = replace(seen(None, ONE, live=ONE), wanted=REFUSED)
        decision = decide(journal(Phase.SETTLED, ONE, settled=ONE), observed)
        assert (decision.journal.phase, decision.journal.because) == (Phase.REJECTED, REFUSED.because)
        assert decision.action == Wait(None)
        again = decide(decision.journal, replace(observed, now=NOW + timedelta(hours=1)))
        assert again.journal == decision.journal

    def test_ends_a_trial(self) -> None:
        observed = replace(seen(None, ONE, TWO, live=TWO), wanted=REFUSED)
        assert decide(journal(Phase.TRIAL, TWO, settled=ONE), observed).action == Prepare(ONE, None)


class TestARetry:
    def asked(self, before: Journal, number: int) -> Journal:
        live = TWO if before.phase is Phase.TRIAL else ONE
        observed = replace(seen(TWO, ONE, TWO, live=live), wanted=replace(order(TWO), retry=number))
        return decide(before, observed).journal

    def test_clears_a_rejection_once(self) -> None:
        rejected = journal(Phase.REJECTED, TWO, settled=ONE)
        again = self.asked(rejected, 1)
        assert (again.phase, again.retry) == (Phase.PREFLIGHT, 1)
        assert (again.wanted_ends, again.damaged) == (0, 0), "with a clean slate"
        rejected_again = replace(again, phase=Phase.REJECTED)
        assert self.asked(rejected_again, 1).phase is Phase.REJECTED, "the same number says nothing new"
        assert self.asked(rejected_again, 2).phase is Phase.PREFLIGHT

    def test_clears_a_demotion(self) -> None:
        demoted = resumed_with(SETTLED_ON_TWO, (TWO, Part.CERTAIN))
        assert self.asked(demoted, 1).phase is Phase.PREFLIGHT

    def test_that_comes_while_nothing_is_rejected_is_used_up(self) -> None:
        underway = self.asked(journal(Phase.TRIAL, TWO, settled=ONE), 1)
        assert (underway.phase, underway.retry) == (Phase.TRIAL, 1)
        assert self.asked(replace(underway, phase=Phase.REJECTED), 1).phase is Phase.REJECTED

    def test_of_an_older_number_that_comes_late_is_not_followed_twice(self) -> None:
        before = journal(Phase.REJECTED, TWO, settled=ONE, retry=3)
        late = self.asked(before, 2)
        assert (late.phase, late.retry) == (Phase.REJECTED, 3)
        assert self.asked(late, 3).phase is Phase.REJECTED


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
