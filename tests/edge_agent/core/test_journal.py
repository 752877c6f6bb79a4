"""What a journal says: which blobs it needs, what the hub hears of it, and its name."""

import pytest
from msgspec.structs import replace

from edge_agent.core.journal import current, fresh, kept, key, manifests, proven, release_of, reported, split
from edge_agent.core.update import decide
from fleet_contract.report import Phase
from tests.edge_agent.core.turns import ONE, REFUSED, THEN, THREE, TWO, digests, journal, seen
from tests.fakes.releases import a_manifest


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
        refused = replace(refused, wanted=REFUSED)
        report = reported(refused, live=ONE)
        assert (report.wanted, report.running, report.rollout) == (release_of(TWO), release_of(ONE), "r2")

    def test_of_nothing_names_nothing(self) -> None:
        report = reported(fresh("digits", THEN), live=None)
        assert (report.wanted, report.running, report.previous, report.rollout) == (None, None, None, None)


class TestAKey:
    @pytest.mark.parametrize(("model", "slot", "name"), [("digits", "default", "digits"), ("a", "shadow", "a@shadow")])
    def test_names_a_slot_and_can_be_read_back(self, model: str, slot: str, name: str) -> None:
        assert key(model, slot) == name
        assert split(name) == (model, slot)
        assert (fresh(name, THEN).key, fresh(name, THEN).slot) == (name, slot)

    def test_that_is_not_wanted_any_more_stays_a_shadows(self) -> None:
        before = replace(journal(Phase.SETTLED, ONE, settled=ONE), slot="shadow")
        assert decide(before, seen(None, live=ONE)).journal.key == "digits@shadow"
        assert reported(before, ONE).slot == "shadow"
