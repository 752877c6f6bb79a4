"""What a live model may take of its device, and what becomes of a release that takes more."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from edge_agent.core.limits import Limits, Load, excess, suspect
from edge_agent.core.steps import Decision, Prepare, Wait
from edge_agent.core.update import decide
from fleet_contract.report import Phase
from tests.edge_agent.core.turns import NOW, ONE, THREE, TWO, journal, seen


class TestALimit:
    """What the live model takes too much of, on trial and settled."""

    def taking(self, *, trial: bool = True, limits: Limits = Limits(latency_ms=5.0), **load: object) -> Decision:  # noqa: B008, it is frozen
        before = journal(Phase.TRIAL if trial else Phase.SETTLED, TWO, settled=ONE if trial else TWO, previous=THREE)
        before = before if trial else replace(before, previous=ONE)
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

    def test_of_memory_is_not_exceeded_while_nothing_is_live(self) -> None:
        assert excess(Load(suspect=True, grown_bytes=10), Limits(growth_bytes=1), trial=True) is None

    def test_of_time_keeps_a_trial_from_being_over_while_a_record_is_under_way(self) -> None:
        observed = seen(TWO, TWO, live=TWO, live_seconds=10.0, load=Load(live=TWO, busy=TWO, busy_seconds=10.5))
        assert decide(journal(Phase.TRIAL, TWO, settled=ONE), observed).journal.phase is Phase.TRIAL


class TestWhoIsToBlameForMemory:
    def test_is_what_has_proven_least(self) -> None:
        old = journal(Phase.SETTLED, ONE, settled=ONE)
        new = replace(old, model="noise", since=NOW)
        trial = replace(old, model="third", phase=Phase.TRIAL)
        fallen = replace(old, model="fourth", phase=Phase.REJECTED, since=NOW + timedelta(hours=1))
        assert suspect([old, new, trial, fallen]) == "third"
        assert suspect([old, new, fallen]) == "noise"
        assert suspect([old, fallen]) == "digits"
        assert suspect([fallen]) == "fourth"
        assert suspect([]) is None
