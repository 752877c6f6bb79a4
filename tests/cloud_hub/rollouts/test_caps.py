"""No more devices are in flight than the cap allows, and who waits behind it is held to nothing that is over."""

from datetime import timedelta

import pytest

from cloud_hub.rollouts import store
from cloud_hub.rollouts.pins import PinService
from cloud_hub.rollouts.views import PinIn
from tests.cloud_hub.rollouts.limited_rollout import TEN, connected, ordered, shown, start, ten_connected
from tests.fakes.paper_gateways import PaperGateways


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


def test_nor_is_it_to_an_older_one_that_would_let_all_go_at_once(
    fleet: PaperGateways, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    moved = 0 if then == "pause" else 1
    for _ in range(3):
        fleet.rollouts.tick()
        fleet.obey(*under_way)
        fleet.clock.pass_seconds(5)
    assert ordered(fleet, 2) <= under_way
    assert len(under_way - ordered(fleet, 2)) <= moved, "the newer one has a device of its own"
    if then == "pause":
        assert shown(fleet, rollout).counts.held == {}
