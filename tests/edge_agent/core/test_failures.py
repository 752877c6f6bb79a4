"""What an action that failed does to its release: for now, it rests; for good, it is rejected."""

import pytest
from msgspec.structs import replace

from edge_agent.core.steps import Fetch, Prepare, Rest, Setback, Verify, Wait
from edge_agent.core.update import decide
from fleet_contract.report import Phase
from tests.edge_agent.core.turns import LATER, NEVER, ONE, THREE, TWO, UNDERWAY, journal, order, seen


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
