"""What a bad end of the process is held against, which the next start finds out, and what must be on disk at once."""

import pytest
from msgspec.structs import replace

from edge_agent.core.journal import closed, fresh
from edge_agent.core.steps import Prepare, Rest, Wait
from edge_agent.core.transitions import MAX_SETTLED_ENDS, MAX_WANTED_ENDS, Part, reverts
from edge_agent.core.update import HEALTHY_SECONDS, decide
from fleet_contract.because import Because
from fleet_contract.report import Phase
from tests.edge_agent.core.turns import LATER, NOW, ONE, SETTLED_ON_TWO, THEN, THREE, TWO, journal, resumed_with, seen


class TestABadEndOfTheProcess:
    """`resumed`: what the next start makes of it."""

    ON_TRIAL = journal(Phase.TRIAL, TWO, settled=ONE, previous=THREE, wanted_at_risk=True)

    @pytest.mark.parametrize("phase", [Phase.PREFLIGHT, Phase.TRIAL])
    def test_that_a_new_release_has_caused_rejects_it_at_once(self, phase: Phase) -> None:
        after = resumed_with(replace(self.ON_TRIAL, phase=phase), (TWO, Part.CERTAIN))
        assert (after.phase, after.because) == (Phase.REJECTED, Because("crashed", "It crashed."))
        assert (after.settled, after.previous, after.since) == (ONE, THREE, NOW)
        assert decide(after, seen(TWO, ONE, TWO)).action == Prepare(ONE, None)

    def test_that_the_settled_release_has_caused_brings_the_one_before_back_at_once(self) -> None:
        after = resumed_with(SETTLED_ON_TWO, (TWO, Part.CERTAIN))
        assert (after.phase, after.settled, after.previous) == (Phase.REJECTED, ONE, None)
        assert decide(after, seen(TWO, ONE, TWO)).action == Prepare(ONE, None)

    def test_that_the_only_release_has_caused_leaves_a_device_that_lives_and_says_so(self) -> None:
        after = resumed_with(replace(SETTLED_ON_TWO, previous=None), (TWO, Part.CERTAIN))
        assert (after.phase, after.settled, after.because.code) == (Phase.REJECTED, None, "crashed")
        assert decide(after, seen(TWO, TWO)).action == Wait(None)

    @pytest.mark.parametrize("part", [Part.LIKELY, Part.UNKNOWN])
    def test_that_a_new_release_may_have_caused_is_held_against_it_the_second_time(self, part: Part) -> None:
        once = resumed_with(self.ON_TRIAL, (TWO, part))
        assert (once.phase, once.wanted_ends, once.wanted_at_risk) == (Phase.TRIAL, MAX_WANTED_ENDS - 1, False)
        twice = resumed_with(replace(once, wanted_at_risk=True), (TWO, part))
        assert (twice.phase, twice.because.code) == (Phase.REJECTED, "process-ended")
        assert "It crashed." in twice.because.sentence

    def test_that_the_settled_release_was_killed_in_is_held_against_it_the_third_time(self) -> None:
        after = SETTLED_ON_TWO
        for _ in range(2):
            after = replace(resumed_with(after, (TWO, Part.LIKELY)), settled_at_risk=True)
            assert after.phase is Phase.SETTLED
        assert resumed_with(after, (TWO, Part.LIKELY)).phase is Phase.REJECTED

    def test_that_took_the_device_down_too_is_held_against_what_is_settled_only_when_many_come_in_a_row(self) -> None:
        after = SETTLED_ON_TWO
        for _ in range(MAX_SETTLED_ENDS - 1):
            after = replace(resumed_with(after, (TWO, Part.UNKNOWN)), settled_at_risk=True)
            assert after.phase is Phase.SETTLED
        assert resumed_with(after).phase is Phase.REJECTED, "what nothing is known of counts the same"

    def test_is_forgotten_after_minutes_of_health_and_not_before(self) -> None:
        before = replace(SETTLED_ON_TWO, settled_ends=3)
        early = decide(before, seen(TWO, TWO, live=TWO, live_seconds=HEALTHY_SECONDS - 1))
        assert early.journal.settled_ends == 3
        assert decide(before, seen(TWO, TWO, live=TWO, live_seconds=HEALTHY_SECONDS)).journal.settled_ends == 0

    def test_is_not_forgotten_because_of_an_orderly_stop(self) -> None:
        stopped = closed(replace(SETTLED_ON_TWO, settled_ends=3, wanted_at_risk=True))
        assert (stopped.settled_ends, stopped.settled_at_risk, stopped.wanted_at_risk) == (3, False, False)
        assert resumed_with(stopped).settled_ends == 3, "and does not count itself"

    def test_is_not_held_against_what_was_not_at_work(self) -> None:
        assert resumed_with(SETTLED_ON_TWO, (TWO, Part.NONE)).settled_ends == 0
        assert resumed_with(self.ON_TRIAL, (TWO, Part.NONE)).wanted_ends == 0

    def test_is_held_against_what_was_seen_at_work_though_the_journal_could_not_say_so(self) -> None:
        unsaid = replace(SETTLED_ON_TWO, settled_at_risk=False)
        assert resumed_with(unsaid, (TWO, Part.CERTAIN)).phase is Phase.REJECTED
        assert resumed_with(unsaid, (TWO, Part.UNKNOWN)).settled_ends == 0

    def test_is_not_held_against_what_is_rejected_already(self) -> None:
        before = journal(Phase.REJECTED, TWO, settled=ONE)
        assert resumed_with(before, (TWO, Part.CERTAIN)) == before

    def test_can_be_the_fault_of_two_at_once(self) -> None:
        before = replace(self.ON_TRIAL, settled_at_risk=True)
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
        assert reverts(before, replace(before, settled=ONE))
        assert reverts(before, replace(before, phase=Phase.REJECTED))
        assert not reverts(before, replace(before, settled_ends=1))
        assert not reverts(None, before)
