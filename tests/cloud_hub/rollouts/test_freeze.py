"""While the fleet is frozen nothing moves; afterwards all that was decided is carried out."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from cloud_hub import problems
from cloud_hub.errors import Invalid
from cloud_hub.rollouts import freeze_api
from cloud_hub.rollouts.freeze import FleetFrozen, FreezeService
from cloud_hub.rollouts.orders import VALID
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.views import FreezeIn, FreezeView, RolloutIn
from fleet_contract.report import Phase
from tests.fakes.paper_gateways import PaperGateways

HOLIDAY = FreezeIn(reason="Nobody is here over Christmas.")


@pytest.fixture
def freeze(fleet: PaperGateways) -> FreezeService:
    return FreezeService(fleet.database, fleet.changes, fleet.clock)


@pytest.fixture
def api(freeze: FreezeService) -> Iterator[TestClient]:
    app = FastAPI()
    app.include_router(freeze_api.router(freeze), prefix="/api/v1")
    problems.install(app)
    with TestClient(app) as client:
        yield client


def roll_out(fleet: PaperGateways, version: int, **limits: object) -> str:
    policy = Policy.model_validate({"waves": [{"percent": 100}], "rate": None, **limits})
    return fleet.rollouts.create(RolloutIn(model="digits", version=version, policy=policy)).id


def on_version_1(fleet: PaperGateways) -> None:
    fleet.join("a", "b")
    fleet.run_version_1()
    fleet.published()


def test_nothing_moves_until_somebody_ends_it(fleet: PaperGateways, freeze: FreezeService) -> None:
    on_version_1(fleet)
    freeze.begin(HOLIDAY, "ada")
    roll_out(fleet, 2)
    fleet.join("late")
    fleet.play(3)
    assert fleet.published() == []
    assert fleet.versions() == {"a": 1, "b": 1, "late": None}
    freeze.end("ada")
    fleet.play(3)
    assert fleet.versions() == {"a": 2, "b": 2, "late": 2}


@pytest.mark.parametrize("limits", [{}, {"max_in_flight": 2}])
@pytest.mark.parametrize("meanwhile", ["frozen", "paused"])
def test_what_stands_still_for_a_moment_while_orders_are_written_is_not_forgotten(
    fleet: PaperGateways,
    freeze: FreezeService,
    monkeypatch: pytest.MonkeyPatch,
    limits: dict[str, object],
    meanwhile: str,
) -> None:
    on_version_1(fleet)
    rollout, bring = roll_out(fleet, 2, **limits), fleet.orders.bring

    def in_between(devices: Sequence[str]) -> set[str]:
        monkeypatch.setattr(fleet.orders, "bring", bring)
        if meanwhile == "frozen":
            freeze.begin(HOLIDAY)
        else:
            fleet.rollouts.pause(rollout)
        found = bring(devices)
        if meanwhile == "frozen":
            freeze.end()
        else:
            fleet.rollouts.resume(rollout)
        return found

    monkeypatch.setattr(fleet.orders, "bring", in_between)
    fleet.report("a", "b")
    fleet.orders._heard.clear()
    for _ in range(3):
        fleet.rollouts.tick()
    assert fleet.versions() == {"a": 2, "b": 2}


def test_a_revert_that_a_freeze_meets_goes_on_after_it(fleet: PaperGateways, freeze: FreezeService) -> None:
    on_version_1(fleet)
    bad = roll_out(fleet, 2)
    fleet.play(2)
    assert fleet.versions() == {"a": 2, "b": 2}
    freeze.begin(HOLIDAY)
    fleet.rollouts.abort(bad)
    fleet.play(3)
    assert fleet.versions() == {"a": 2, "b": 2}
    assert fleet.rollouts.get(bad).state == "reverting"
    freeze.end()
    fleet.play(3)
    assert fleet.versions() == {"a": 1, "b": 1}
    assert fleet.rollouts.get(bad).state == "aborted"


def test_orders_are_renewed_with_the_same_content_even_of_what_is_to_be_reverted(
    fleet: PaperGateways, freeze: FreezeService
) -> None:
    on_version_1(fleet)
    bad = roll_out(fleet, 2)
    fleet.play(2)
    freeze.begin(HOLIDAY)
    fleet.rollouts.abort(bad)
    before = fleet.assigned("a")
    fleet.published()
    fleet.clock.pass_seconds((VALID / 2 + timedelta(hours=1)).total_seconds())
    fleet.rollouts.tick()
    assert fleet.published() == ["a", "b"]
    after = fleet.assigned("a")
    assert before is not None
    assert after is not None
    assert (after.version, after.rollout, after.retry) == (before.version, bad, before.retry)


def test_it_ends_by_itself_at_the_second_that_was_said(fleet: PaperGateways, freeze: FreezeService) -> None:
    on_version_1(fleet)
    freeze.begin(FreezeIn(reason="An hour.", until=fleet.clock() + timedelta(hours=1)))
    roll_out(fleet, 2)
    fleet.clock.pass_seconds(3599)
    fleet.rollouts.tick()
    assert (freeze.show().frozen, fleet.versions()) == (True, {"a": 1, "b": 1})
    fleet.clock.pass_seconds(1)
    fleet.rollouts.tick()
    assert (freeze.show(), fleet.versions()) == (FreezeView(frozen=False, revision=2), {"a": 2, "b": 2})


def test_a_device_that_joins_again_on_other_hardware_waits_and_keeps_no_other_from_being_renewed(
    fleet: PaperGateways, freeze: FreezeService
) -> None:
    on_version_1(fleet)
    freeze.begin(HOLIDAY)
    fleet.join("a", target="tpu")
    fleet.published()
    fleet.clock.pass_seconds((VALID / 2 + timedelta(hours=1)).total_seconds())
    fleet.rollouts.tick()
    assert fleet.published() == ["b"]


def test_nothing_is_tried_again_meanwhile(fleet: PaperGateways, freeze: FreezeService) -> None:
    on_version_1(fleet)
    roll_out(fleet, 2)
    fleet.rollouts.tick()
    fleet.obey("a", phase=Phase.REJECTED)
    freeze.begin(HOLIDAY, "ada")
    with pytest.raises(FleetFrozen, match=r"ada froze the fleet at .*: Nobody is here over Christmas\."):
        fleet.rollouts.retry("a", "digits")


def test_a_freeze_is_ended_or_replaced_only_by_who_saw_it(api: TestClient, fleet: PaperGateways) -> None:
    free = api.get("/api/v1/freeze").headers["ETag"]
    soon = (fleet.clock() + timedelta(hours=2)).isoformat()
    ann = api.put("/api/v1/freeze", json={"reason": "Ann.", "until": soon}, headers={"If-Match": free})
    late = api.put("/api/v1/freeze", json={"reason": "Bob."}, headers={"If-Match": free})
    assert (late.status_code, late.json()["code"]) == (412, "stale")
    seen = ann.headers["ETag"]
    fleet.clock.pass_seconds(7200)
    assert api.get("/api/v1/freeze").headers["ETag"] not in (free, seen), "it ended by itself"
    bob = api.put("/api/v1/freeze", json={"reason": "Bob."})
    assert api.delete("/api/v1/freeze", headers={"If-Match": seen}).status_code == 412
    assert api.get("/api/v1/freeze").json()["reason"] == "Bob."
    assert api.delete("/api/v1/freeze", headers={"If-Match": bob.headers["ETag"]}).json()["frozen"] is False


def test_who_froze_it_why_and_until_when_is_told(api: TestClient, fleet: PaperGateways) -> None:
    assert api.get("/api/v1/freeze").json()["frozen"] is False
    until = (fleet.clock() + timedelta(hours=2)).isoformat()
    asked = {"reason": "Audit.", "until": until}
    assert api.put("/api/v1/freeze", json=asked, headers={"Vedette-Actor": "ada"}).status_code == 200
    api.put("/api/v1/freeze", json={"reason": "A longer audit."}, headers={"Vedette-Actor": "grace"})
    shown = api.get("/api/v1/freeze").json()
    assert (shown["frozen"], shown["by"], shown["reason"], shown["until"]) == (True, "grace", "A longer audit.", None)
    for _ in range(2):
        assert api.delete("/api/v1/freeze").json()["frozen"] is False


def test_a_freeze_that_is_over_or_says_no_reason_is_refused(
    api: TestClient, freeze: FreezeService, fleet: PaperGateways
) -> None:
    with pytest.raises(Invalid, match="over"):
        freeze.begin(FreezeIn(reason="Late.", until=fleet.clock()))
    assert api.put("/api/v1/freeze", json={"reason": ""}).status_code == 422
    assert api.put("/api/v1/freeze", json={"reason": "x", "until": "2026-11-02T12:00:00"}).status_code == 422
    assert not freeze.show().frozen
