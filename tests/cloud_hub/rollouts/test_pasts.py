"""What devices did before a rollout is read once, for the devices that are asked for, and only from before it."""

from datetime import timedelta

from sqlmodel import select

from cloud_hub.monitoring import store as monitoring
from cloud_hub.rollouts import store
from cloud_hub.rollouts.pasts import Pasts
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.tables import DevicePast, RolloutRow
from cloud_hub.rollouts.views import RolloutIn
from tests.fakes.paper_gateways import PaperGateways


def settled(fleet: PaperGateways) -> RolloutRow:
    """A fleet that has run version 1 for some minutes, and a rollout of version 2 since now."""
    fleet.join("a", "b")
    fleet.run_version_1()
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


def test_what_a_device_did_with_a_version_that_was_taken_back_is_not_its_past(fleet: PaperGateways) -> None:
    bad = settled(fleet)
    fleet.rollouts.tick()
    fleet.obey()
    fleet.clock.pass_seconds(10)
    (canary,) = [name for name, one in fleet.gateways.items() if "version=2" in str(one.models)]
    fleet.infer(canary, predictions={"0": 1_000_000})
    fleet.rollouts.abort(bad.id)
    fleet.play()
    fleet.register()
    again = fleet.rollouts.create(RolloutIn(model="digits", version=3, policy=Policy()))
    with fleet.database.reading() as session:
        row = store.find(session, again.id)
        assert row is not None
        pasts = Pasts().of(session, row, {"a", "b"}).by_device
        assert pasts.keys() == {"a", "b"}
        assert all(0 < past.records < 1_000_000 for past in pasts.values())
        session.expunge(row)
        row.version = 1
        assert not Pasts().of(session, row, {"a", "b"}).by_device, "who runs it already leaves nothing behind"


def test_a_past_is_read_once_and_what_comes_late_does_not_change_it(fleet: PaperGateways) -> None:
    row, pasts = settled(fleet), Pasts()
    with fleet.database.reading() as session:
        first = pasts.of(session, row, {"a"})
    fleet.clock.pass_seconds(-timedelta(minutes=5).total_seconds())
    fleet.infer(predictions={"0": 1_000_000})
    with fleet.database.reading() as session:
        assert pasts.of(session, row, {"a"}) == first
        assert Pasts().of(session, row, {"a"}) != first


def test_a_hub_that_starts_when_all_windows_are_forgotten_still_knows_them(fleet: PaperGateways) -> None:
    row = settled(fleet)
    with fleet.database.reading() as session:
        before = Pasts().of(session, row, {"a", "b"})
    fleet.rollouts.tick()
    fleet.obey("a")
    fleet.infer(predictions={"0": 200})
    fleet.rollouts.tick()
    with fleet.database.session() as session:
        monitoring.forget(session, fleet.clock() + timedelta(days=1))
    with fleet.database.reading() as session:
        assert Pasts().of(session, row, {"a", "b"}) == before


def test_pasts_are_kept_until_the_rollout_is_over(fleet: PaperGateways) -> None:
    row = settled(fleet)
    first, pasts = fleet.rollouts.page().items[0], Pasts()
    with fleet.database.reading() as session:
        pasts.of(session, row, {"a", "b"})
    found = pasts.unkept(row.id)
    assert found.keys() == {"a", "b"}
    for _ in range(2):
        with fleet.database.session() as session:
            pasts.keep(session, row.id, found)
    assert pasts.unkept(row.id) == {}
    fleet.rollouts.abort(first.id)
    fleet.play()
    with fleet.database.session() as session:
        pasts.keep(session, row.id, {})
        assert list(session.execute(select(DevicePast)).scalars()) == []


def test_who_asks_for_the_same_devices_gets_the_same_evidence(fleet: PaperGateways) -> None:
    row, pasts = settled(fleet), Pasts()
    with fleet.database.reading() as session:
        first = pasts.of(session, row, {"a"})
        assert pasts.of(session, row, {"a"}) is first
        assert pasts.of(session, row, {"a", "b"}).devices == 2
        assert pasts.of(session, row, {"a"}) == first
