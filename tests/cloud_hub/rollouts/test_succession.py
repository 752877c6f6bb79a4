"""Rollouts beside and after one another: of the same model the newest takes over, and other models go on."""

from sqlalchemy import select
from sqlmodel import col

from cloud_hub.rollouts import store
from cloud_hub.rollouts.states import State
from cloud_hub.rollouts.tables import RolloutRow
from tests.cloud_hub.rollouts.canary_rollout import SIX, settled_on_version_1, start
from tests.fakes.paper_gateways import PaperGateways


def test_a_newer_rollout_takes_over_at_once_and_leaves_what_is_out(fleet: PaperGateways) -> None:
    settled_on_version_1(fleet)
    fleet.register()
    older = start(fleet, 2, waves=[{"percent": 50}, {"percent": 100}])
    fleet.rollouts.tick()
    fleet.obey()
    with_2 = {name for name, version in fleet.versions().items() if version == 2}
    newer = start(fleet, 3)
    fleet.rollouts.tick()
    assert fleet.rollouts.get(older.id).state == "superseded"
    assert fleet.rollouts.get(newer.id).counts.eligible == 6
    with_3 = {name for name, version in fleet.versions().items() if version == 3}
    assert len(with_3) == 1
    assert {name for name, version in fleet.versions().items() if version == 2} == with_2 - with_3

    fleet.rollouts.abort(newer.id)
    fleet.rollouts.tick()
    assert {name for name, version in fleet.versions().items() if version == 2} == with_2


def test_what_a_newer_rollout_takes_over_is_offered_to_nobody_else(fleet: PaperGateways) -> None:
    settled_on_version_1(fleet)
    fleet.register()
    start(fleet, 2, waves=[{"devices": 5}, {"percent": 100}])
    fleet.rollouts.tick()
    start(fleet, 3)
    late = [f"late-{number}" for number in range(20)]
    fleet.join(*late)
    fleet.rollouts.tick()
    fleet.rollouts.tick()
    assert {fleet.version(name) for name in late} <= {1, 3}


def test_rollouts_that_are_over_and_hidden_are_not_looked_at_again(fleet: PaperGateways) -> None:
    settled_on_version_1(fleet)
    for _ in range(2):
        start(fleet, 2)
        fleet.play()
        start(fleet, 1)
        fleet.play()
    with fleet.database.reading() as session:
        assert len(store.claims(session)) == 1
        states = set(session.execute(select(col(RolloutRow.state))).scalars())
    assert states == {State.COMPLETED}
    assert set(fleet.versions().values()) == {1}


def test_two_models_roll_out_beside_each_other(fleet: PaperGateways) -> None:
    fleet.join(*SIX)
    fleet.register("digits")
    fleet.register("parts")
    start(fleet)
    parts = start(fleet, model="parts")
    fleet.play()
    assert set(fleet.versions("digits").values()) == set(fleet.versions("parts").values()) == {1}
    fleet.register("parts", content="more")
    start(fleet, 2, "parts")
    fleet.rollouts.tick()
    assert sorted(str(version) for version in fleet.versions("parts").values()) == ["1"] * 5 + ["2"]
    assert set(fleet.versions("digits").values()) == {1}
    assert fleet.rollouts.get(parts.id).state == "completed"
