"""An update and the window that its order names: all is got ready, and only the switch waits."""

import pytest
from msgspec.structs import replace

from edge_agent.core.journal import Journal, Order
from edge_agent.core.maintenance import GLANCE_SECONDS, Wall
from edge_agent.core.steps import Discard, Fetch, Observed, Prepare, Switch, Verify, Wait
from edge_agent.core.update import TRIAL_GLANCE_SECONDS, decide
from fleet_contract.manifest import Manifest
from fleet_contract.report import Phase
from fleet_contract.window import MaintenanceWindow
from tests.edge_agent.core.turns import NOW, ONE, THREE, TWO, digests, journal, order, seen

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
