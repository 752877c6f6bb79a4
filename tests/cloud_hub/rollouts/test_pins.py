"""What is pinned is left alone and counted by no rollout, until the pin ends, by itself or by somebody."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import ValidationError
from sqlalchemy import delete

from cloud_hub import problems
from cloud_hub.devices import store as devices
from cloud_hub.devices.tables import Device
from cloud_hub.errors import Invalid, NotFound
from cloud_hub.rollouts import pins_api
from cloud_hub.rollouts.freeze import FreezeService
from cloud_hub.rollouts.pins import PinService
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.views import FreezeIn, PinIn, RolloutIn
from tests.fakes.paper_gateways import PaperGateways

WEEK, MINUTE = timedelta(days=7), timedelta(minutes=1)


@pytest.fixture
def pins(fleet: PaperGateways) -> PinService:
    return PinService(fleet.database, fleet.changes, fleet.clock)


@pytest.fixture
def api(pins: PinService) -> Iterator[TestClient]:
    app = FastAPI()
    app.include_router(pins_api.router(pins), prefix="/api/v1")
    problems.install(app)
    with TestClient(app) as client:
        yield client


def a_pin(fleet: PaperGateways, **asked: Any) -> PinIn:
    return PinIn.model_validate({"reason": "Under repair.", "until": fleet.clock() + WEEK, **asked})


def roll_out(fleet: PaperGateways, version: int, model: str = "digits", **policy: object) -> str:
    asked = Policy.model_validate({"waves": [{"percent": 100}], "rate": None, **policy})
    return fleet.rollouts.create(RolloutIn(model=model, version=version, policy=asked)).id


def on_version_1(fleet: PaperGateways, model: str = "digits") -> None:
    fleet.join("a", "b", "c", site="lyon")
    fleet.run_version_1(model)


def test_a_pinned_device_keeps_what_it_has_and_is_outside_the_counts(fleet: PaperGateways, pins: PinService) -> None:
    on_version_1(fleet)
    pins.pin(a_pin(fleet, device="a"), "ada")
    rollout = roll_out(fleet, 2)
    fleet.play()
    assert fleet.versions() == {"a": 1, "b": 2, "c": 2}
    done = fleet.rollouts.get(rollout)
    assert (done.state, done.counts.eligible, done.counts.offered) == ("completed", 2, 2)
    (shown,) = pins.list("a")
    assert (shown.reason, shown.by, pins.list("b")) == ("Under repair.", "ada", [])


def test_what_was_pinned_after_its_offer_counts_and_hides_nobody_who_waits(
    fleet: PaperGateways, pins: PinService
) -> None:
    on_version_1(fleet)
    rollout = roll_out(fleet, 2, waves=[{"devices": 1}, {"percent": 100}], soak_seconds=600)
    fleet.rollouts.tick()
    fleet.obey()
    fleet.rollouts.tick()
    (canary,) = [name for name, version in fleet.versions().items() if version == 2]
    before = fleet.rollouts.get(rollout).counts
    assert (before.eligible, before.offered, before.pinned, before.left) == (3, 1, 0, 2)
    pins.pin(a_pin(fleet, device=canary))
    fleet.rollouts.tick()
    after = fleet.rollouts.get(rollout).counts
    assert (after.eligible, after.offered, after.succeeded, after.pinned, after.left) == (2, 1, 1, 1, 2)


def test_a_pin_ends_by_itself_at_its_second_and_the_device_catches_up(fleet: PaperGateways, pins: PinService) -> None:
    on_version_1(fleet)
    pins.pin(a_pin(fleet, device="a", until=fleet.clock() + timedelta(hours=1)))
    roll_out(fleet, 2)
    fleet.clock.pass_seconds(3599)
    fleet.rollouts.tick()
    assert fleet.version("a") == 1
    fleet.clock.pass_seconds(1)
    fleet.rollouts.tick()
    assert (fleet.version("a"), pins.list()) == (2, [])


def test_somebody_ends_it(fleet: PaperGateways, pins: PinService) -> None:
    on_version_1(fleet)
    made = pins.pin(a_pin(fleet, device="a"))
    roll_out(fleet, 2)
    fleet.play(3)
    pins.unpin(made.id)
    fleet.rollouts.tick()
    assert fleet.version("a") == 2
    with pytest.raises(NotFound, match=made.id):
        pins.unpin(made.id)


def test_a_device_that_runs_what_is_reverted_keeps_it_while_it_is_pinned(
    fleet: PaperGateways, pins: PinService
) -> None:
    on_version_1(fleet)
    bad = roll_out(fleet, 2)
    fleet.rollouts.tick()
    fleet.obey()
    made = pins.pin(a_pin(fleet, device="a"))
    fleet.rollouts.abort(bad)
    fleet.play(3)
    assert fleet.rollouts.get(bad).state == "aborted"
    assert fleet.versions() == {"a": 2, "b": 1, "c": 1}
    pins.unpin(made.id)
    fleet.rollouts.tick()
    assert fleet.version("a") == 1


# A model's name may start as the ids of pins do.
@pytest.mark.parametrize("model", ["digits", "pin-counter"])
def test_a_revert_says_how_many_keep_the_version_by_pins_and_by_another_rollout(
    fleet: PaperGateways, pins: PinService, model: str
) -> None:
    on_version_1(fleet, model)
    fleet.join("d", "e", site="oslo")
    roll_out(fleet, 2, model, selector="site = oslo", soak_seconds=3600)
    fleet.play(ticks=3)
    rollout = roll_out(fleet, 2, model, selector="site = lyon", soak_seconds=3600)
    fleet.play(ticks=3)
    pins.pin(a_pin(fleet, device="a"))
    pins.pin(a_pin(fleet, device="b", model=model, version=2))
    fleet.rollouts.abort(rollout)
    fleet.play(ticks=5)
    assert fleet.versions(model) == {"a": 2, "b": 2, "c": 1, "d": 2, "e": 2}
    found = fleet.rollouts.get(rollout)
    assert found.state == "aborted"
    assert "but for 2 that pins hold and 2 that have it by another rollout, no device" in found.because.sentence


def test_a_pin_holds_while_a_rollout_of_another_model_waits_for_its_rate(
    fleet: PaperGateways, pins: PinService
) -> None:
    on_version_1(fleet)
    fleet.register("vibration")
    pins.pin(a_pin(fleet, device="c", model="digits"))
    roll_out(fleet, 2)
    fleet.rollouts.tick()
    one_at_a_time = Policy.model_validate({"waves": [{"percent": 100}], "rate": None, "max_in_flight": 1})
    fleet.rollouts.create(RolloutIn(model="vibration", version=1, policy=one_at_a_time))
    fleet.rollouts.tick()
    assert fleet.versions("vibration") == {"a": 1, "b": None, "c": None}
    assert fleet.versions() == {"a": 2, "b": 2, "c": 1}


def test_a_device_is_pinned_to_a_version_and_goes_back_to_its_rollout(fleet: PaperGateways, pins: PinService) -> None:
    on_version_1(fleet)
    made = pins.pin(a_pin(fleet, device="a", model="digits", version=2))
    fleet.play(2)
    assigned = fleet.assigned("a")
    assert assigned is not None
    assert (assigned.version, assigned.rollout, assigned.because.code) == (2, made.id, "pinned")
    assert fleet.versions() == {"a": 2, "b": 1, "c": 1}
    pins.unpin(made.id)
    fleet.play(2)
    assert fleet.version("a") == 1


def test_whom_a_pin_names_a_version_for_is_ordered_it_at_once(fleet: PaperGateways, pins: PinService) -> None:
    on_version_1(fleet)
    pins.pin(a_pin(fleet, selector="site in (lyon, oslo)", model="digits", version=2))
    fleet.rollouts.tick()
    assert fleet.versions() == {"a": 2, "b": 2, "c": 2}


def test_what_a_pin_put_there_is_told_with_by_whom_and_why_also_when_it_is_over(
    fleet: PaperGateways, pins: PinService
) -> None:
    on_version_1(fleet)
    made = pins.pin(a_pin(fleet, device="a", model="digits", version=2, reason="The camera needs it."), "ada")
    fleet.play(ticks=2)
    then = fleet.clock()
    fleet.clock.pass_seconds(60)
    pins.unpin(made.id, "grace")
    fleet.play(ticks=2)
    (found,) = fleet.rollouts.ran("a", then)
    assert (found.version, found.rollout, found.asked_by, found.decision) == (2, made.id, "ada", None)
    assert found.pin is not None
    assert (found.pin.reason, found.pin.by, found.pin.ended_at) == ("The camera needs it.", "ada", then + MINUTE)
    (now,) = fleet.rollouts.ran("a")
    assert (now.version, now.pin) == (1, None)


def test_of_several_pins_the_newest_decides_and_each_model_is_for_itself(
    fleet: PaperGateways, pins: PinService
) -> None:
    on_version_1(fleet)
    fleet.register("parts")
    pins.pin(a_pin(fleet, device="a", model="digits"))
    fleet.clock.pass_seconds(1)
    pins.pin(a_pin(fleet, device="a", model="digits", version=2))
    fleet.rollouts.create(RolloutIn(model="parts", version=1, policy=Policy(minimum_records=0, rate=None)))
    fleet.play(10)
    assert (fleet.version("a"), fleet.version("a", "parts")) == (2, 1)


def test_those_that_a_selector_means_are_pinned_as_long_as_it_means_them(
    fleet: PaperGateways, pins: PinService
) -> None:
    on_version_1(fleet)
    with fleet.database.session() as session:
        devices.set_labels(session, "c", {"site": "oslo"})
    pins.pin(a_pin(fleet, selector="site = lyon", model="digits"))
    roll_out(fleet, 2)
    fleet.play()
    assert fleet.versions() == {"a": 1, "b": 1, "c": 2}
    assert [one.selector for one in pins.list("a")] == ["site = lyon"]
    with fleet.database.session() as session:
        devices.set_labels(session, "a", {"site": "oslo"})
    fleet.orders.touch("a")
    fleet.rollouts.tick()
    assert fleet.versions() == {"a": 2, "b": 1, "c": 2}


def test_a_new_device_under_a_pin_gets_nothing(fleet: PaperGateways, pins: PinService) -> None:
    on_version_1(fleet)
    pins.pin(a_pin(fleet, selector="has spare"))
    fleet.join("d", spare="yes")
    fleet.rollouts.tick()
    assert fleet.version("d") is None


def test_a_pin_that_ends_during_a_freeze_lets_go_after_it(fleet: PaperGateways, pins: PinService) -> None:
    on_version_1(fleet)
    freeze = FreezeService(fleet.database, fleet.changes, fleet.clock)
    pins.pin(a_pin(fleet, device="a", until=fleet.clock() + timedelta(hours=1)))
    roll_out(fleet, 2)
    fleet.rollouts.tick()
    freeze.begin(FreezeIn(reason="Audit."))
    fleet.clock.pass_seconds(7200)
    fleet.rollouts.tick()
    assert fleet.version("a") == 1
    freeze.end()
    fleet.rollouts.tick()
    assert fleet.version("a") == 2


def test_a_device_that_is_deleted_takes_its_pins_along(fleet: PaperGateways, pins: PinService) -> None:
    fleet.join("a")
    pins.pin(a_pin(fleet, device="a"))
    with fleet.database.session() as session:
        session.execute(delete(Device))
    assert pins.list() == []
    fleet.rollouts.tick()


def test_a_pin_says_whom_why_and_until_when(fleet: PaperGateways, api: TestClient, pins: PinService) -> None:
    fleet.join("a")
    fleet.register(targets=("cpu-avx2",))
    until = (fleet.clock() + WEEK).isoformat()
    asked = {"device": "a", "reason": "Audit.", "until": until}
    made = api.post("/api/v1/pins", json=asked, headers={"Vedette-Actor": "ada"})
    assert (made.status_code, made.json()["by"]) == (201, "ada")
    for wrong, status in (
        ({**asked, "selector": "all"}, 422),
        ({"reason": "x", "until": until}, 422),
        ({**asked, "version": 2}, 422),
        ({**asked, "reason": ""}, 422),
        ({**asked, "device": "nobody"}, 404),
        ({**asked, "model": "digits", "version": 9}, 404),
        ({**asked, "model": "digits", "version": 1}, 404),
        ({"selector": "site =", "reason": "x", "until": until}, 422),
    ):
        assert api.post("/api/v1/pins", json=wrong).status_code == status, wrong
    with pytest.raises(Invalid, match="over"):
        pins.pin(a_pin(fleet, device="a", until=fleet.clock()))
    with pytest.raises(ValidationError, match="either device or selector"):
        a_pin(fleet)
    assert api.delete(f"/api/v1/pins/{made.json()['id']}").status_code == 200
    assert api.get("/api/v1/pins").json() == []


def test_a_pin_that_is_asked_for_again_under_the_same_name_is_made_once(fleet: PaperGateways, api: TestClient) -> None:
    fleet.join("a")
    asked = {"device": "a", "reason": "Under repair.", "until": (fleet.clock() + WEEK).isoformat()}
    named = {"Idempotency-Key": "night-shift-1"}
    made = api.post("/api/v1/pins", json=asked, headers=named)
    again = api.post("/api/v1/pins", json=asked, headers=named)
    assert (again.status_code, again.json()) == (201, made.json())
    assert len(api.get("/api/v1/pins").json()) == 1
    other = api.post("/api/v1/pins", json={**asked, "reason": "An audit."}, headers=named)
    assert (other.status_code, other.json()["code"]) == (422, "request-key-reused")
    fleet.clock.pass_seconds(6 * 24 * 3600)
    api.post("/api/v1/pins", json=asked)
    assert len(api.get("/api/v1/pins").json()) == 2


def test_a_pin_that_has_ended_is_answered_again_and_holds_nothing(fleet: PaperGateways, api: TestClient) -> None:
    fleet.join("a")
    asked = {"device": "a", "reason": "Under repair.", "until": (fleet.clock() + timedelta(days=1)).isoformat()}
    named = {"Idempotency-Key": "night-shift-1"}
    made = api.post("/api/v1/pins", json=asked, headers=named)
    fleet.clock.pass_seconds(2 * 24 * 3600)
    again = api.post("/api/v1/pins", json=asked, headers=named)
    assert (again.status_code, again.json()) == (201, made.json())
    assert api.get("/api/v1/pins").json() == []
    late = api.post("/api/v1/pins", json=asked, headers={"Idempotency-Key": "night-shift-2"})
    assert (late.status_code, late.json()["code"]) == (422, "pin-over")


def test_a_pin_is_ended_as_it_was_seen(fleet: PaperGateways, api: TestClient) -> None:
    fleet.join("a")
    asked = {"device": "a", "reason": "Under repair.", "until": (fleet.clock() + WEEK).isoformat()}
    made = api.post("/api/v1/pins", json=asked)
    where = f"/api/v1/pins/{made.json()['id']}"
    refused = api.delete(where, headers={"If-Match": '"7"'})
    assert (refused.status_code, refused.json()["code"]) == (412, "stale")
    assert api.delete(where, headers={"If-Match": made.headers["ETag"]}).headers["ETag"] != made.headers["ETag"]


def test_a_rollout_tells_how_many_it_would_be_for_were_they_not_pinned(fleet: PaperGateways, pins: PinService) -> None:
    fleet.join("a", "b", "c", site="lyon")
    fleet.join("tpu", target="tpu-v1", site="lyon")
    fleet.join("elsewhere", site="oslo")
    fleet.register()
    pins.pin(a_pin(fleet, selector="site in (lyon, oslo) and not site = nowhere"))
    pins.pin(a_pin(fleet, device="b", model="parts"))
    rollout = roll_out(fleet, 1, selector="site = lyon and not target = tpu-v1")
    fleet.rollouts.tick()

    def held() -> dict[str, int]:
        return {hold.code: hold.devices for hold in fleet.rollouts.explain(rollout).held}

    assert held() == {"pinned": 3}
    for pin in pins.list():
        pins.unpin(pin.id)
    fleet.rollouts.tick()
    assert "pinned" not in held()


@pytest.mark.parametrize("pinned", [{"device": "a"}, {"selector": "line = 1"}, {"device": "a", "model": "digits"}])
def test_who_is_pinned_after_its_offer_hides_nobody_that_a_paused_rollout_holds(
    fleet: PaperGateways, pins: PinService, pinned: Any
) -> None:
    fleet.join("a", line="1")
    fleet.join("b", "c", "d", line="2")
    fleet.register()
    rollout = roll_out(fleet, 1, lab="line = 1", approval={"waves": "after-first"})
    fleet.play()
    assert fleet.versions() == {"a": 1, "b": None, "c": None, "d": None}

    def held() -> dict[str, int]:
        return {hold.code: hold.devices for hold in fleet.rollouts.explain(rollout).held}

    assert held() == {"wave": 3}
    pins.pin(a_pin(fleet, **pinned))
    fleet.rollouts.tick()
    assert held() == {"wave": 3, "pinned": 1}
    fleet.rollouts.pause(rollout)
    assert held() == {"paused": 3, "pinned": 1}
    for pin in pins.list():
        pins.unpin(pin.id)
    fleet.rollouts.tick()
    assert held() == {"paused": 3}
