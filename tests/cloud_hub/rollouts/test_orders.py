"""Orders reach the devices that they are for, and no others, whatever is lost, repeated or killed."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Connection, event
from sqlmodel import Session

from cloud_hub.database import Database
from cloud_hub.devices import store as devices
from cloud_hub.rollouts import offers
from cloud_hub.rollouts.orders import VALID
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.views import RolloutIn
from fleet_contract.encoding import MAX_MESSAGE_BYTES
from tests.fakes.paper_gateways import PaperGateways

TEN = tuple(f"gw-{number}" for number in range(10))


def everyone(fleet: PaperGateways, version: int = 1, model: str = "digits", **policy: object) -> str:
    policy = {"waves": [{"percent": 100}], **policy}
    return fleet.rollouts.create(
        RolloutIn(model=model, version=version, policy=Policy.model_validate({"rate": None, **policy}))
    ).id


def test_an_order_says_what_to_run_why_and_where_to_get_it(fleet: PaperGateways) -> None:
    fleet.join("a")
    fleet.register()
    rollout = everyone(fleet)
    fleet.rollouts.tick()
    desired = fleet.desired("a")
    assert desired is not None
    assert (desired.fleet, desired.device, desired.generation) == ("default", "a", 1)
    assert desired.expires_at - desired.issued_at == VALID == timedelta(days=7)
    (assignment,) = desired.assignments
    assert (assignment.model, assignment.version, assignment.rollout) == ("digits", 1, rollout)
    assert rollout in assignment.because.sentence
    assert urlsplit(assignment.artifact_url).path.startswith("/blobs/sha256:")
    assert urlsplit(assignment.golden_url).path.startswith("/blobs/sha256:")


def test_a_wave_touches_only_the_devices_that_it_adds(fleet: PaperGateways) -> None:
    fleet.join(*TEN)
    fleet.register()
    fleet.register()
    everyone(fleet)
    fleet.rollouts.tick()
    assert fleet.published() == list(TEN)
    everyone(fleet, 2, waves=[{"percent": 20}, {"percent": 100}])
    fleet.rollouts.tick()
    assert len(fleet.published()) == 2
    fleet.clock.pass_seconds(60)
    fleet.rollouts.tick()
    assert fleet.published() == []


def test_a_device_that_follows_an_older_order_is_told_again_but_not_all_the_time(fleet: PaperGateways) -> None:
    fleet.join("a")
    fleet.register()
    everyone(fleet)
    fleet.rollouts.tick()
    assert fleet.published() == ["a"]
    fleet.report("a")
    fleet.rollouts.tick()
    assert fleet.published() == []
    fleet.clock.pass_seconds(30)
    fleet.report("a")
    fleet.rollouts.tick()
    assert fleet.published() == ["a"]


def test_a_device_that_follows_its_order_is_left_alone(fleet: PaperGateways) -> None:
    fleet.join("a")
    fleet.register()
    everyone(fleet)
    fleet.rollouts.tick()
    fleet.obey()
    fleet.published()
    fleet.clock.pass_seconds(30)
    fleet.report("a")
    fleet.rollouts.tick()
    assert fleet.published() == []


def test_a_device_that_follows_an_order_from_the_future_gets_one_that_it_will_take(fleet: PaperGateways) -> None:
    # The database was restored from a copy: the device has accepted generations that it does not know.
    fleet.join("a", "b")
    fleet.register()
    everyone(fleet)
    fleet.rollouts.tick()
    fleet.gateways["a"].generation = 41
    fleet.report("a")
    fleet.rollouts.tick()
    desired = fleet.desired("a")
    assert desired is not None
    assert (desired.generation, fleet.version("a")) == (42, 1)


def test_a_device_that_runs_what_nobody_knows_of_is_told_to_run_nothing(fleet: PaperGateways) -> None:
    fleet.join("a")
    fleet.rollouts.tick()
    fleet.gateways["a"].generation = 7
    fleet.report("a")
    fleet.rollouts.tick()
    desired = fleet.desired("a")
    assert desired is not None
    assert (desired.generation, desired.assignments) == (8, ())


@pytest.mark.parametrize("follows", [0, 9])
def test_many_devices_that_say_something_take_no_more_looks_than_one(fleet: PaperGateways, follows: int) -> None:
    # A hub that looked at each of 2,000 alone kept the next rollout waiting for 20 seconds.
    looks = [looks_at_reports(fleet, follows, *names) for names in (("a",), TEN)]
    assert looks[0] == looks[1]


def looks_at_reports(fleet: PaperGateways, follows: int, *names: str) -> int:
    """The transactions of one tick after `names` joined, and said that they follow that generation."""
    fleet.join(*names)
    fleet.rollouts.tick()
    fleet.rollouts.tick()
    for name in names:
        fleet.gateways[name].generation = follows
    fleet.report(*names)
    begun = []

    def count(connection: Connection) -> None:
        begun.append(connection)

    event.listen(fleet.database.engine, "begin", count)
    fleet.rollouts.tick()
    event.remove(fleet.database.engine, "begin", count)
    told = {None if (desired := fleet.desired(name)) is None else desired.generation for name in names}
    assert told == {follows + 1 if follows else None}
    return len(begun)


def test_orders_are_renewed_at_half_their_life(fleet: PaperGateways) -> None:
    fleet.join("a")
    fleet.register()
    everyone(fleet)
    fleet.rollouts.tick()
    fleet.obey()
    fleet.clock.pass_seconds((VALID / 2).total_seconds() - 60)
    fleet.rollouts.tick()
    assert fleet.desired("a").generation == 1  # type: ignore[union-attr]
    fleet.clock.pass_seconds(120)
    fleet.rollouts.tick()
    desired = fleet.desired("a")
    assert desired is not None
    assert desired.generation == 2
    assert desired.expires_at == fleet.clock() + VALID
    assert fleet.version("a") == 1
    fleet.rollouts.tick()
    assert fleet.desired("a").generation == 2  # type: ignore[union-attr]


def test_a_relabelled_device_is_ordered_anew(fleet: PaperGateways) -> None:
    fleet.join("a", site="oslo")
    fleet.register()
    everyone(fleet, selector="site = lyon")
    fleet.rollouts.tick()
    assert fleet.version("a") is None
    _label(fleet, "a", site="lyon")
    fleet.orders.touch("a")
    fleet.rollouts.tick()
    assert fleet.version("a") == 1
    _label(fleet, "a", site=None)
    fleet.orders.touch("a")
    fleet.rollouts.tick()
    assert fleet.version("a") is None


def test_a_device_that_joins_again_as_another_target_gets_the_other_artifact(fleet: PaperGateways) -> None:
    fleet.join("a")
    fleet.register()
    everyone(fleet)
    fleet.rollouts.tick()
    before = fleet.assigned("a")
    fleet.join("a", target="cpu-avx2")
    fleet.rollouts.tick()
    after = fleet.assigned("a")
    assert before is not None
    assert after is not None
    assert before.artifact_url != after.artifact_url


def test_a_hub_killed_between_deciding_and_ordering_orders_when_it_is_back(
    fleet: PaperGateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.join(*TEN)
    fleet.register()
    rollout = everyone(fleet)

    def killed() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fleet.orders, "work", killed)
    with pytest.raises(KeyboardInterrupt):
        fleet.rollouts.tick()
    assert fleet.rollouts.get(rollout).wave == 0
    assert fleet.published() == []
    fleet.start_hub()
    fleet.rollouts.tick()
    assert fleet.published() == list(TEN)


def test_a_hub_killed_half_way_through_a_revert_reverts_the_rest_when_it_is_back(
    fleet: PaperGateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_hub.rollouts.carrying.BATCH", 3)
    fleet.join(*TEN)
    fleet.register()
    fleet.register()
    everyone(fleet)
    fleet.rollouts.tick()
    newer = everyone(fleet, 2)
    fleet.rollouts.tick()
    fleet.obey()
    fleet.rollouts.abort(newer)
    bring, calls = fleet.orders.bring, 0

    def killed_at_the_third(names: list[str]) -> set[str]:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return bring(names)

    monkeypatch.setattr(fleet.orders, "bring", killed_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        fleet.rollouts.tick()
    assert sorted(set(fleet.versions().values()), key=str) == [1, 2]
    fleet.start_hub()
    fleet.rollouts.tick()
    assert set(fleet.versions().values()) == {1}
    assert fleet.rollouts.get(newer).state == "reverting"


def test_an_exposure_that_rose_and_fell_before_orders_went_out_strands_no_device(
    fleet: PaperGateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Found by the laws: the hub dies after opening a wave, one device is ordered because it reports, then an abort.
    fleet.join("a", "b")
    fleet.register()
    rollout = everyone(fleet)
    with monkeypatch.context() as patch:
        patch.setattr(fleet.orders, "work", lambda: None)
        fleet.rollouts.tick()
    fleet.orders.bring(["a"])
    assert fleet.versions() == {"a": 1, "b": None}
    fleet.start_hub()
    fleet.rollouts.abort(rollout)
    fleet.orders._swept_to = None
    fleet.rollouts.tick()
    assert fleet.versions() == {"a": None, "b": None}


def test_a_broker_that_forgot_everything_is_told_again_what_devices_do_not_follow_yet(fleet: PaperGateways) -> None:
    fleet.join(*TEN)
    fleet.register()
    everyone(fleet)
    fleet.rollouts.tick()
    fleet.obey(*TEN[:6])
    fleet.published()
    fleet.orders.sweep()
    fleet.rollouts.tick()
    assert fleet.published() == list(TEN[6:])


def test_a_sweep_finds_what_a_crash_lost_and_ends(fleet: PaperGateways, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud_hub.rollouts.orders.BATCH", 4)
    fleet.join("gw-0", site="lyon")
    fleet.join(*TEN[1:], site="oslo")
    fleet.register()
    everyone(fleet, selector="site = lyon")
    for _ in range(5):
        fleet.rollouts.tick()
    assert (fleet.published(), fleet.orders._swept_to) == (["gw-0"], None)
    fleet.obey("gw-0")
    _label(fleet, "gw-9", site="lyon")  # and killed before anybody was told
    fleet.rollouts.tick()
    assert fleet.published() == []
    fleet.start_hub()
    for _ in range(5):
        fleet.rollouts.tick()
    assert fleet.published() == ["gw-9"]
    assert fleet.orders._swept_to is None


def test_an_order_that_is_too_large_is_a_trouble_and_the_device_keeps_its_own(
    fleet: PaperGateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.join("a")
    fleet.register()
    fleet.register()
    everyone(fleet)
    fleet.rollouts.tick()
    monkeypatch.setattr("cloud_hub.rollouts.writing.MAX_MESSAGE_BYTES", 100)
    everyone(fleet, 2)
    fleet.rollouts.tick()
    assert fleet.version("a") == 1
    (trouble,) = fleet.orders.troubles()
    assert trouble.code == "order-too-large"
    monkeypatch.setattr("cloud_hub.rollouts.writing.MAX_MESSAGE_BYTES", MAX_MESSAGE_BYTES)
    fleet.orders.touch("a")
    fleet.rollouts.tick()
    assert (fleet.version("a"), fleet.orders.troubles()) == (2, [])


def test_generations_are_told_to_who_shows_devices(fleet: PaperGateways) -> None:
    fleet.join("a", "b", site="oslo")
    fleet.register()
    _label(fleet, "a", site="lyon")
    everyone(fleet, selector="site = lyon")
    fleet.rollouts.tick()
    with fleet.database.reading() as session:
        assert dict(offers.generations_wanted(session, ["a", "b"])) == {"a": 1}


def _label(fleet: PaperGateways, device: str, **labels: str | None) -> None:
    session: Session
    with fleet.database.session() as session:
        devices.set_labels(session, device, labels)


def test_two_hubs_that_order_the_same_devices_at_once_order_each_once(fleet: PaperGateways) -> None:
    fleet.join(*TEN)
    fleet.register()
    everyone(fleet)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fleet.orders, "work", lambda: None)
        fleet.rollouts.tick()
    hubs = [fleet.orders_of(Database(str_url(fleet))) for _ in range(4)]
    with ThreadPoolExecutor(len(hubs)) as pool:
        ordered = list(pool.map(lambda hub: hub.bring(TEN), hubs))
    assert sorted(name for names in ordered for name in names) == list(TEN)
    assert fleet.published() == list(TEN)
    assert set(fleet.versions().values()) == {1}
    for hub in hubs:
        hub._database.dispose()


def str_url(fleet: PaperGateways) -> str:
    return fleet.database.url.render_as_string(hide_password=False)
