"""What the service does with whole rollouts: hold them, list them, and save no decision that is out of date."""

import pytest

from cloud_hub.errors import NotFound
from cloud_hub.page import PageRequest
from cloud_hub.rollouts import store
from cloud_hub.rollouts.engine import VerbRefused
from cloud_hub.rollouts.tables import RolloutRow
from tests.cloud_hub.rollouts.canary_rollout import SIX, settled_on_version_1, start
from tests.fakes.paper_gateways import PaperGateways


def test_pause_holds_and_resume_goes_on(fleet: PaperGateways) -> None:
    settled_on_version_1(fleet)
    rollout = start(fleet, 2)
    fleet.rollouts.tick()
    paused = fleet.rollouts.pause(rollout.id, "lunch")
    assert "lunch" in paused.because.sentence
    fleet.play(8)
    assert fleet.rollouts.get(rollout.id).wave == 0
    with pytest.raises(VerbRefused):
        fleet.rollouts.pause(rollout.id)
    fleet.rollouts.resume(rollout.id)
    fleet.play()
    assert fleet.rollouts.get(rollout.id).state == "completed"


def test_who_joins_while_a_rollout_is_paused_gets_it_when_it_goes_on(fleet: PaperGateways) -> None:
    settled_on_version_1(fleet)
    rollout = start(fleet, 2, waves=[{"percent": 100}])
    fleet.rollouts.tick()
    fleet.rollouts.pause(rollout.id)
    fleet.join("late")
    fleet.rollouts.tick()
    assert fleet.version("late") == 1
    fleet.rollouts.resume(rollout.id)
    fleet.rollouts.tick()
    assert fleet.version("late") == 2


def test_lists_are_filtered_and_the_unknown_is_said_to_be(fleet: PaperGateways) -> None:
    fleet.join("a")
    fleet.register("digits")
    fleet.register("parts")
    first, second = start(fleet), start(fleet, model="parts")
    fleet.rollouts.pause(second.id)
    assert [one.id for one in fleet.rollouts.page().items] == [second.id, first.id]
    assert [one.id for one in fleet.rollouts.page(model="digits").items] == [first.id]
    assert [one.id for one in fleet.rollouts.page(state="paused").items] == [second.id]
    assert fleet.rollouts.page(PageRequest(limit=1)).next is not None
    for ask in (
        lambda: fleet.rollouts.get("nothing"),
        lambda: fleet.rollouts.decisions("nothing"),
        lambda: fleet.rollouts.abort("nothing"),
        lambda: start(fleet, 7),
        lambda: start(fleet, model="nothing"),
    ):
        with pytest.raises(NotFound):
            ask()


def test_what_was_decided_on_older_knowledge_is_not_saved(fleet: PaperGateways) -> None:
    fleet.join(*SIX)
    fleet.register()
    rollout = start(fleet)
    with fleet.database.reading() as session:
        row = store.find(session, rollout.id)
    assert row is not None
    fleet.rollouts.pause(rollout.id)
    with fleet.database.session() as session:
        assert not store.save(session, row, store.rollout_of(row), {"counts": {}}, fleet.clock())
    assert fleet.rollouts.get(rollout.id).state == "paused"
    assert len(fleet.rollouts.decisions(rollout.id).items) == 2


def test_one_rollout_that_cannot_be_decided_keeps_no_other_from_it(
    fleet: PaperGateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.join(*SIX)
    fleet.register("digits")
    fleet.register("parts")
    broken = start(fleet)
    other = start(fleet, model="parts")
    decide_one = fleet.rollouts._decide

    def failing(row: RolloutRow) -> None:
        if row.id == broken.id:
            raise OSError("no")
        decide_one(row)

    monkeypatch.setattr(fleet.rollouts, "_decide", failing)
    with pytest.raises(OSError, match="no"):
        fleet.rollouts.tick()
    assert fleet.rollouts.get(other.id).wave == 0
    assert 1 in fleet.versions("parts").values()
