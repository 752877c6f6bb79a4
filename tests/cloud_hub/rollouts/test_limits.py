"""Rates, caps, groups, windows, deadlines and retries on real databases hold, whether hubs die or devices are away."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from cloud_hub.rollouts import store
from cloud_hub.rollouts.moves import GroupBusy
from cloud_hub.rollouts.pins import PinService
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.views import PinIn, RolloutIn, RolloutView
from fleet_contract.report import Phase, Presence
from tests.fakes.paper_gateways import NO_GATES, PaperGateways

TEN = tuple(f"gw-{number}" for number in range(10))


def start(fleet: PaperGateways, version: int = 1, **policy: object) -> str:
    asked = {
        "waves": [{"percent": 100}],
        "soak_seconds": 0,
        "minimum_records": 0,
        "on_stop": "pause",
        "gates": NO_GATES,
        "rate": None,
        **policy,
    }
    return fleet.rollouts.create(RolloutIn(model="digits", version=version, policy=Policy.model_validate(asked))).id


def connected(fleet: PaperGateways, *names: str) -> None:
    fleet.clock.pass_seconds(1)
    fleet.report(*(names or fleet.gateways))


def ten_connected(fleet: PaperGateways) -> None:
    fleet.join(*TEN)
    fleet.register()
    fleet.register()
    fleet.rollouts.tick()
    connected(fleet)


def ordered(fleet: PaperGateways, version: int = 1) -> set[str]:
    return {name for name, found in fleet.versions().items() if found == version}


def shown(fleet: PaperGateways, rollout: str) -> RolloutView:
    return fleet.rollouts.get(rollout)


def test_no_more_devices_are_in_flight_than_the_cap_whatever_the_hub_forgets(fleet: PaperGateways) -> None:
    ten_connected(fleet)
    rollout = start(fleet, max_in_flight=3)
    done: set[str] = set()
    for _ in range(4):
        for _ in range(2):
            fleet.rollouts.tick()
            fleet.start_hub()
        assert len(ordered(fleet)) == 3 + len(done)
        done.add(min(ordered(fleet) - done))
        fleet.obey(*done)
    assert shown(fleet, rollout).because.code == "orders-owed"
    assert "for one in flight to be done" in shown(fleet, rollout).because.sentence
    for _ in range(8):
        connected(fleet)
        fleet.obey(*ordered(fleet))
        fleet.rollouts.tick()
    assert ordered(fleet) == set(TEN)
    assert shown(fleet, rollout).counts.held == {}
    assert shown(fleet, rollout).state == "completed"


def test_who_waits_for_a_newer_version_is_not_let_go_to_the_older_one_meanwhile(
    fleet: PaperGateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    ten_connected(fleet)
    start(fleet, max_in_flight=1)
    fleet.rollouts.tick()
    start(fleet, 2, max_in_flight=1)
    decide = fleet.rollouts._decide
    # Another hub is at the older one, which is not superseded yet.
    monkeypatch.setattr(fleet.rollouts, "_decide", lambda row: decide(row) if row.version == 2 else None)
    fleet.rollouts.tick()
    assert len(ordered(fleet, 2)) == 1
    assert len(ordered(fleet, 1)) <= 1


def test_nor_is_it_to_one_that_would_let_all_go_at_once(fleet: PaperGateways, monkeypatch: pytest.MonkeyPatch) -> None:
    ten_connected(fleet)
    older = start(fleet)
    with fleet.database.reading() as session:
        row = store.find(session, older)
    assert row is not None
    decide = fleet.rollouts._decide
    # Its wave is open, and nobody has been ordered yet.
    decide(row)
    start(fleet, 2, max_in_flight=1)
    monkeypatch.setattr(fleet.rollouts, "_decide", lambda row: decide(row) if row.version == 2 else None)
    fleet.rollouts.tick()
    assert (len(ordered(fleet, 2)), len(ordered(fleet, 1))) == (1, 0)


def test_never_two_of_a_pair_switch_at_once(fleet: PaperGateways) -> None:
    for number, name in enumerate(TEN):
        fleet.join(name, pair=f"p{number // 2}")
    fleet.register()
    fleet.rollouts.tick()
    connected(fleet)
    start(fleet, group={"label": "pair"})
    fleet.rollouts.tick()
    first = ordered(fleet)
    assert sorted(int(name[3:]) // 2 for name in first) == [0, 1, 2, 3, 4]
    (still,) = [name for name in first if name in ("gw-0", "gw-1")]
    fleet.obey(*(first - {still}))
    connected(fleet, *(set(TEN) - first))
    fleet.rollouts.tick()
    assert set(TEN) - ordered(fleet) == {"gw-0", "gw-1"} - {still}


def test_of_a_large_group_only_so_many_are_asked_about_as_may_move(
    fleet: PaperGateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.join(*TEN, site="lyon")
    fleet.register()
    fleet.rollouts.tick()
    connected(fleet, *TEN[2:])
    for _ in range(3):
        fleet.rollouts.tick()
    rollout, bring, asked = start(fleet, group={"label": "site"}), fleet.orders.bring, list[str]()

    def noted(devices: Sequence[str]) -> set[str]:
        asked.extend(devices)
        return bring(devices)

    monkeypatch.setattr(fleet.orders, "bring", noted)
    counts = []
    for _ in range(3):
        asked.clear()
        fleet.rollouts.tick()
        counts.append(len(asked))
    # One that may move; and the two that are away, once more after the decision that all others wait.
    assert counts == [3, 2, 0]
    assert fleet.rollouts.get(rollout).counts.held == {"away": 2, "group": 7}
    fleet.obey(*ordered(fleet))
    asked.clear()
    fleet.rollouts.tick()
    assert (len(ordered(fleet)), len(set(asked) - ordered(fleet))) == (2, 0)


def test_one_of_a_pair_waits_for_the_other_that_the_same_turn_moves(fleet: PaperGateways) -> None:
    fleet.join("seed-a", site="a")
    fleet.join("seed-b", site="b")
    fleet.register()
    fleet.register("vibration")
    fleet.rollouts.tick()
    connected(fleet)
    start(fleet, selector="site = b", soak_seconds=3600)
    capped = {"waves": [{"percent": 100}], "selector": "site = a", "soak_seconds": 3600, "rate": None}
    policy = Policy.model_validate({**capped, "group": {"label": "pair"}})
    fleet.rollouts.create(RolloutIn(model="vibration", version=1, policy=policy))
    fleet.rollouts.tick()
    fleet.join("gw-0", site="a", pair="p0")
    fleet.join("gw-1", site="b", pair="p0")
    connected(fleet, "gw-0", "gw-1")
    fleet.orders.bring(["gw-0", "gw-1"])
    assert (fleet.versions()["gw-1"], fleet.versions("vibration")["gw-0"]) == (1, None)


def test_what_is_tried_again_brings_nothing_along_that_is_to_wait(fleet: PaperGateways) -> None:
    fleet.join("gw-0", "gw-1", pair="p0")
    fleet.register()
    fleet.register("vibration")
    fleet.rollouts.tick()
    connected(fleet)
    start(fleet)
    fleet.rollouts.tick()
    fleet.obey(phase=Phase.REJECTED)
    fleet.rollouts.tick()
    one_of_a_pair = Policy.model_validate({"waves": [{"percent": 100}], "group": {"label": "pair"}})
    fleet.rollouts.create(RolloutIn(model="vibration", version=1, policy=one_of_a_pair))
    fleet.rollouts.tick()
    assert fleet.versions("vibration") == {"gw-0": 1, "gw-1": None}
    assert fleet.rollouts.retry("gw-1", "digits").version == 1
    assert fleet.versions("vibration") == {"gw-0": 1, "gw-1": None}


def test_so_many_a_minute_are_ordered_and_more_as_they_succeed(fleet: PaperGateways) -> None:
    ten_connected(fleet)
    rollout = start(fleet, rate={"devices_per_minute": 2, "growth_factor": 2})
    fleet.rollouts.tick()
    assert len(ordered(fleet)) == 1
    fleet.clock.pass_seconds(31)
    connected(fleet)
    fleet.rollouts.tick()
    assert len(ordered(fleet)) == 2
    connected(fleet)
    fleet.rollouts.tick()
    assert len(ordered(fleet)) == 2
    fleet.rollouts.tick()
    assert shown(fleet, rollout).counts.held == {"rate": 8}
    fleet.obey(*ordered(fleet))
    fleet.clock.pass_seconds(61)
    connected(fleet)
    fleet.rollouts.tick()
    fleet.clock.pass_seconds(45)
    connected(fleet)
    fleet.rollouts.tick()
    assert len(ordered(fleet)) == 2 + 4


def test_a_rate_that_holds_until_it_is_proven_lets_all_go_then_whatever_the_hub_forgets(fleet: PaperGateways) -> None:
    ten_connected(fleet)
    rollout = start(
        fleet,
        rate={"devices_per_minute": 2, "until_proven": True},
        gates={**NO_GATES, "installs": {}},
        stop_failed_after=2,
    )
    for _ in range(2):
        fleet.rollouts.tick()
        fleet.clock.pass_seconds(31)
        connected(fleet)
    assert len(ordered(fleet)) == 2
    assert "nobody waits for it once every gate is passed" in fleet.rollouts.explain(rollout).held[0].sentence
    fleet.obey(*ordered(fleet))
    fleet.start_hub()
    connected(fleet)
    fleet.rollouts.tick()
    assert ordered(fleet) == set(TEN)
    codes = [one.because.code for one in fleet.rollouts.decisions(rollout).items]
    assert codes.count("rate-lifted") == 1


def test_a_wave_is_carried_out_turn_by_turn_so_that_harm_does_not_wait_for_its_end(
    fleet: PaperGateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_hub.rollouts.carrying.BATCH", 2)
    monkeypatch.setattr("cloud_hub.rollouts.carrying._A_TURN", 4)
    ten_connected(fleet)
    fleet.rollouts.tick()
    rollout = start(fleet, max_in_flight=100)
    fleet.rollouts.tick()
    assert len(ordered(fleet)) == 4
    fleet.rollouts.tick()
    assert len(ordered(fleet)) == 8
    assert shown(fleet, rollout).counts.held == {"turn": 6}
    fleet.rollouts.tick()
    assert ordered(fleet) == set(TEN)
    fleet.rollouts.tick()
    assert shown(fleet, rollout).counts.held == {}


def test_so_is_one_that_nothing_limits(fleet: PaperGateways, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud_hub.rollouts.carrying.BATCH", 2)
    monkeypatch.setattr("cloud_hub.rollouts.carrying._A_TURN", 4)
    ten_connected(fleet)
    fleet.report("gw-0", "gw-1", presence=Presence.LOST)
    fleet.rollouts.tick()
    rollout = start(fleet)
    for ready in (4, 8, 10):
        fleet.rollouts.tick()
        assert len(ordered(fleet)) == ready
    fleet.rollouts.tick()
    assert shown(fleet, rollout).counts.held == {}
    assert shown(fleet, rollout).because.code != "orders-owed"


def test_half_a_device_a_minute_is_one_in_two_minutes(fleet: PaperGateways) -> None:
    ten_connected(fleet)
    start(fleet, rate={"devices_per_minute": 0.5})
    so_far = []
    for _ in range(5):
        fleet.rollouts.tick()
        so_far.append(len(ordered(fleet)))
        fleet.clock.pass_seconds(60)
        connected(fleet)
    assert so_far == [1, 1, 2, 2, 3]


def test_who_is_away_gets_its_order_when_it_comes_back_and_holds_nobody(fleet: PaperGateways) -> None:
    ten_connected(fleet)
    fleet.report("gw-0", presence=Presence.LOST)
    rollout = start(fleet, max_in_flight=5)
    for _ in range(6):
        fleet.rollouts.tick()
        fleet.obey(*ordered(fleet))
        connected(fleet, *TEN[1:])
    found = shown(fleet, rollout)
    assert (found.state, found.counts.held) == ("completed", {"away": 1})
    connected(fleet, "gw-0")
    fleet.rollouts.tick()
    assert ordered(fleet) == set(TEN)


def test_who_comes_back_and_waits_does_not_start_the_soak_anew(fleet: PaperGateways) -> None:
    ten_connected(fleet)
    fleet.report("gw-0", "gw-1", presence=Presence.LOST)
    rollout = start(fleet, max_in_flight=1, soak_seconds=600, success_percent=50)
    for _ in range(9):
        fleet.rollouts.tick()
        fleet.obey(*ordered(fleet))
        connected(fleet, *TEN[2:])
    fleet.rollouts.tick()
    assert (shown(fleet, rollout).because.code, shown(fleet, rollout).counts.held) == ("soaking", {"away": 2})
    fleet.clock.pass_seconds(590)
    connected(fleet)
    for _ in range(2):
        fleet.rollouts.tick()
    assert (shown(fleet, rollout).because.code, shown(fleet, rollout).counts.held) == ("orders-owed", {"cap": 1})
    for _ in range(3):
        fleet.obey(*ordered(fleet))
        fleet.clock.pass_seconds(5)
        fleet.rollouts.tick()
    assert ordered(fleet) == set(TEN)
    assert shown(fleet, rollout).state == "completed"


def test_a_wave_whose_devices_are_all_away_is_not_proven_by_those_before_it(fleet: PaperGateways) -> None:
    ten_connected(fleet)
    rollout = start(fleet, max_in_flight=10, waves=[{"devices": 3}, {"devices": 6}, {"percent": 100}])
    fleet.rollouts.tick()
    first = ordered(fleet)
    fleet.report(*(set(TEN) - first), presence=Presence.LOST)
    for _ in range(8):
        fleet.obey(*first)
        fleet.rollouts.tick()
    found = shown(fleet, rollout)
    assert (found.wave, found.because.code, found.counts.held) == (1, "nobody-heard", {"away": 3})
    assert found.because.sentence.startswith("None of the 3 devices that this wave adds")


def test_who_is_away_and_no_longer_meant_is_waited_for_no_more(fleet: PaperGateways) -> None:
    ten_connected(fleet)
    fleet.report("gw-0", presence=Presence.LOST)
    rollout = start(fleet, max_in_flight=10, selector="not has broken")
    fleet.rollouts.tick()
    fleet.rollouts.tick()
    assert shown(fleet, rollout).counts.held == {"away": 1}
    fleet.join("gw-0", broken="yes")
    fleet.rollouts.tick()
    fleet.rollouts.tick()
    assert shown(fleet, rollout).counts.held == {}


def test_a_device_over_its_deadline_has_failed_and_one_that_waits_for_its_window_has_not(fleet: PaperGateways) -> None:
    ten_connected(fleet)
    rollout = start(
        fleet, deadline_seconds=600, stop_failed_percent=15, window={"days": ["sun"], "start": "02:00", "end": "04:00"}
    )
    fleet.rollouts.tick()
    assigned = fleet.assigned("gw-0")
    assert assigned is not None
    assert assigned.window is not None
    assert (assigned.window.days, assigned.window.start, assigned.window.end) == (("sun",), "02:00", "04:00")
    fleet.obey(*TEN[:8])
    fleet.wait_for_window(*TEN[8:])
    fleet.rollouts.tick()
    counts = shown(fleet, rollout).counts
    assert (counts.succeeded, counts.pending, counts.waiting) == (8, 2, 2)
    fleet.clock.pass_seconds(601)
    fleet.rollouts.tick()
    assert shown(fleet, rollout).counts.failed == 0
    assert "2 of them until their maintenance window" in shown(fleet, rollout).because.sentence
    fleet.obey(*TEN[8:], phase=Phase.FETCHING)
    fleet.rollouts.tick()
    assert (shown(fleet, rollout).counts.failed, shown(fleet, rollout).state) == (2, "stopped")
    fleet.obey(*TEN[8:])
    fleet.rollouts.tick()


def test_what_undoes_waits_for_no_window(fleet: PaperGateways) -> None:
    ten_connected(fleet)
    start(fleet, 1)
    fleet.rollouts.tick()
    fleet.obey()
    rollout = start(fleet, 2, window={"start": "02:00", "end": "04:00"})
    fleet.rollouts.tick()
    fleet.rollouts.abort(rollout)
    fleet.rollouts.tick()
    back = fleet.assigned("gw-0")
    assert back is not None
    assert (back.version, back.window) == (1, None)


def test_what_a_device_rejects_is_retried_as_often_as_the_policy_says(fleet: PaperGateways) -> None:
    fleet.join("a")
    fleet.register()
    rollout = start(fleet, retries=2)
    seen = set()
    for tried in range(3):
        fleet.rollouts.tick()
        found = fleet.assigned("a")
        assert found is not None
        assert shown(fleet, rollout).state == "running", tried
        seen.add(found.retry)
        fleet.obey(phase=Phase.REJECTED)
    assert len(seen) == 3
    fleet.rollouts.tick()
    assert (shown(fleet, rollout).counts.failed, shown(fleet, rollout).state) == (1, "stopped")
    retried = fleet.assigned("a")
    assert retried is not None
    assert retried.retry in seen


@pytest.mark.parametrize("then", ["pause", "supersede"])
def test_what_is_queued_is_cancelled_and_what_is_under_way_goes_on(fleet: PaperGateways, then: str) -> None:
    ten_connected(fleet)
    start(fleet, 1)
    fleet.rollouts.tick()
    fleet.obey()
    rollout = start(fleet, 2, max_in_flight=2)
    fleet.rollouts.tick()
    under_way = ordered(fleet, 2)
    assert len(under_way) == 2
    if then == "pause":
        fleet.rollouts.pause(rollout)
    else:
        start(fleet, 1, waves=[{"devices": 1}])
    for _ in range(3):
        fleet.rollouts.tick()
        fleet.obey(*under_way)
        fleet.clock.pass_seconds(5)
    assert ordered(fleet, 2) <= under_way
    assert shown(fleet, rollout).counts.held == {} or then == "supersede"


def test_silent_devices_are_outside_the_counts_once_they_are_silent(fleet: PaperGateways) -> None:
    ten_connected(fleet)
    rollout = start(fleet)
    fleet.rollouts.tick()
    fleet.rollouts.tick()
    assert shown(fleet, rollout).counts.pending == 10
    fleet.clock.pass_seconds(timedelta(seconds=91).total_seconds())
    fleet.rollouts.tick()
    assert (shown(fleet, rollout).counts.unheard, shown(fleet, rollout).because.code) == (10, "nobody-heard")


def test_who_waits_and_is_pinned_meanwhile_keeps_no_rollout_waiting(fleet: PaperGateways) -> None:
    ten_connected(fleet)
    rollout = start(fleet, max_in_flight=1)
    for _ in range(4):
        # What it says of itself does not change any more.
        fleet.rollouts.tick()
    (last,) = sorted(set(TEN) - ordered(fleet))[-1:]
    asked = PinIn(device=last, reason="under repair", until=fleet.clock() + timedelta(days=1))
    PinService(fleet.database, fleet.changes, fleet.clock).pin(asked)
    for _ in range(14):
        fleet.rollouts.tick()
        connected(fleet)
        fleet.obey(*ordered(fleet))
    assert ordered(fleet) == set(TEN) - {last}
    assert shown(fleet, rollout).state == "completed"


def test_what_is_tried_again_waits_for_its_group_as_well(fleet: PaperGateways) -> None:
    fleet.join("a1", "a2", pair="a")
    fleet.register()
    fleet.rollouts.tick()
    connected(fleet)
    start(fleet, group={"label": "pair"}, stop_failed_percent=99)
    fleet.rollouts.tick()
    (first,) = ordered(fleet)
    fleet.obey(first, phase=Phase.REJECTED)
    fleet.rollouts.tick()
    assert ordered(fleet) == {"a1", "a2"}
    with pytest.raises(GroupBusy):
        fleet.rollouts.retry(first, "digits")
    (second,) = {"a1", "a2"} - {first}
    fleet.obey(second)
    assert fleet.rollouts.retry(first, "digits").version == 1


def test_who_waits_for_a_moment_of_its_own_is_not_asked_about_before(
    fleet: PaperGateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    ten_connected(fleet)
    rollout = start(fleet, rate={"devices_per_minute": 100, "jitter_seconds": 86_400})
    fleet.rollouts.tick()
    asked: list[str] = []
    bring = fleet.orders.bring
    monkeypatch.setattr(fleet.orders, "bring", lambda devices: asked.extend(devices) or bring(devices))
    fleet.rollouts.tick()
    assert asked == []
    assert shown(fleet, rollout).counts.held == {"jitter": 10}


def test_the_moment_of_each_device_is_worked_out_once_and_not_at_each_look(
    fleet: PaperGateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    ten_connected(fleet)
    fleet.rollouts.tick()
    moments: list[str] = []

    def ripe_at(policy: Policy, salt: str, device: str, since: datetime) -> datetime:
        moments.append(device)
        return since + timedelta(hours=1 + int(device[3:]))

    monkeypatch.setattr("cloud_hub.rollouts.carrying.ripe_at", ripe_at)
    monkeypatch.setattr("cloud_hub.rollouts.admission.ripe_at", ripe_at)
    start(fleet, rate={"devices_per_minute": 10_000, "jitter_seconds": 86_400})
    for _ in range(3):
        fleet.rollouts.tick()
    assert set(moments) == set(TEN)
    moments.clear()
    for _ in range(5):
        fleet.rollouts.tick()
    assert moments == []
    # Who reports is looked at, and waits on.
    connected(fleet, "gw-7")
    fleet.rollouts.tick()
    moments.clear()
    fleet.clock.pass_seconds(3 * 3600)
    connected(fleet, "gw-0", "gw-1", "gw-2")
    fleet.rollouts.tick()
    assert ordered(fleet) == {"gw-0", "gw-1", "gw-2"}
    assert set(moments) == {"gw-0", "gw-1", "gw-2"}


def test_who_was_heard_while_the_database_was_away_is_looked_at_afterwards(
    fleet: PaperGateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    ten_connected(fleet)
    start(fleet)
    fleet.play(3)
    fleet.join("late")
    with monkeypatch.context() as away:
        away.setattr("cloud_hub.rollouts.orders.moves", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fleet.rollouts.tick()
    fleet.rollouts.tick()
    assert fleet.version("late") == 1
