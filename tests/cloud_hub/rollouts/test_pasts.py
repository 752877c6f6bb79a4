"""What devices did before a rollout is read once, for the devices that are asked for, and only from before it."""

from datetime import timedelta

from cloud_hub.rollouts import store
from cloud_hub.rollouts.pasts import Pasts
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.tables import RolloutRow
from cloud_hub.rollouts.views import RolloutIn
from tests.fakes.paper_gateways import PaperGateways


def settled(fleet: PaperGateways) -> RolloutRow:
    """A fleet that has run version 1 for some minutes, and a rollout of version 2 since now."""
    fleet.join("a", "b")
    fleet.register()
    fleet.register()
    fleet.rollouts.create(RolloutIn(model="digits", version=1, policy=Policy()))
    fleet.play()
    rollout = fleet.rollouts.create(RolloutIn(model="digits", version=2, policy=Policy()))
    with fleet.database.reading() as session:
        row = store.find(session, rollout.id)
    assert row is not None
    return row


def test_a_past_is_from_before_the_rollout_and_of_another_version(fleet: PaperGateways) -> None:
    row = settled(fleet)
    with fleet.database.reading() as session:
        before = Pasts().of(session, row, {"a", "b", "stranger"})
    assert before.by_device["a"].records > 0
    assert "stranger" not in before.by_device
    fleet.clock.pass_seconds(10)
    fleet.infer(predictions={"0": 1_000_000})
    with fleet.database.reading() as session:
        assert Pasts().of(session, row, {"a", "b", "stranger"}) == before


def test_a_past_is_read_once_and_what_comes_late_does_not_change_it(fleet: PaperGateways) -> None:
    row, pasts = settled(fleet), Pasts()
    with fleet.database.reading() as session:
        first = pasts.of(session, row, {"a"})
    fleet.clock.pass_seconds(-timedelta(minutes=5).total_seconds())
    fleet.infer(predictions={"0": 1_000_000})
    with fleet.database.reading() as session:
        assert pasts.of(session, row, {"a"}) == first
        assert Pasts().of(session, row, {"a"}) != first
