"""Rollouts over HTTP: what is asked, answered and refused."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from cloud_hub import problems
from cloud_hub.rollouts import api
from fleet_contract.report import Phase
from tests.fakes.paper_gateways import PaperGateways


@pytest.fixture
def http(fleet: PaperGateways) -> Iterator[TestClient]:
    app = FastAPI()
    problems.install(app)
    app.include_router(api.router(fleet.rollouts), prefix="/api/v1")
    fleet.join("a", "b")
    fleet.join("c", target="cpu-avx2")
    fleet.register()
    fleet.register(targets=("cpu-vnni",))
    with TestClient(app) as client:
        yield client


def created(http: TestClient, **policy: Any) -> dict[str, Any]:
    answer = http.post("/api/v1/rollouts", json={"model": "digits", "version": 1, "policy": policy})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_rollout_is_started_shown_and_listed(http: TestClient, fleet: PaperGateways) -> None:
    rollout = created(http, rate=None)
    fleet.rollouts.tick()
    fleet.rollouts.tick()
    shown = http.get(f"/api/v1/rollouts/{rollout['id']}").json()
    assert (shown["model"], shown["version"], shown["state"], shown["wave"]) == ("digits", 1, "running", 0)
    assert (shown["counts"]["eligible"], shown["counts"]["offered"]) == (3, 2)
    assert shown["because"]["code"] == "nobody-heard"
    assert shown["policy"]["success_percent"] == 95
    assert [wave["state"] for wave in shown["waves"]] == ["open", "waiting", "waiting", "waiting"]
    assert http.get("/api/v1/rollouts", params={"model": "digits", "state": "running"}).json()["total"] == 1
    assert http.get("/api/v1/rollouts", params={"state": "paused"}).json()["items"] == []
    decisions = http.get(f"/api/v1/rollouts/{rollout['id']}/decisions", params={"limit": 1}).json()
    assert (decisions["total"], decisions["items"][0]["number"]) == (3, 3)


def test_a_person_pauses_resumes_and_aborts_with_or_without_a_reason(http: TestClient) -> None:
    where = f"/api/v1/rollouts/{created(http)['id']}"
    paused = http.post(f"{where}/pause", json={"reason": "lunch"}).json()
    assert (paused["state"], "lunch" in paused["because"]["sentence"]) == ("paused", True)
    assert http.post(f"{where}/resume").json()["state"] == "running"
    assert http.post(f"{where}/abort", json={}).json()["state"] == "reverting"
    again = http.post(f"{where}/abort")
    assert (again.status_code, again.json()["code"]) == (409, "rollout-state")
    assert again.json()["remedy"]


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({"model": "nothing", "version": 1}, 404, "model-unknown"),
        ({"model": "digits", "version": 9}, 404, "version-unknown"),
        ({"model": "digits", "version": 2}, 422, "artifact-missing"),
        ({"model": "digits", "version": 1, "policy": {"waves": []}}, 422, "invalid"),
        ({"model": "digits"}, 422, "invalid"),
    ],
)
def test_what_cannot_be_is_a_problem_with_a_code(
    http: TestClient, asked: dict[str, Any], status: int, code: str
) -> None:
    answer = http.post("/api/v1/rollouts", json=asked)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    if code == "artifact-missing":
        assert "1 on cpu-avx2" in answer.json()["detail"]


def test_a_device_is_asked_to_try_again_what_it_rejected(http: TestClient, fleet: PaperGateways) -> None:
    created(http, rate=None)
    fleet.rollouts.tick()
    canary, *_ = fleet.published()
    fleet.obey(canary, phase=Phase.REJECTED)
    where = f"/api/v1/devices/{canary}/models/digits/retry"
    answer = http.post(where)
    assert (answer.status_code, answer.json()["generation"]) == (202, 2), answer.text
    assert http.post(where, json={"slot": "shadow"}).json()["code"] == "device-model-unknown"
    assert http.post(where, json={"slot": "side"}).json()["code"] == "invalid"
    fleet.obey(canary)
    assert http.post(where).json()["code"] == "not-rejected"


def test_a_preview_is_kept_by_its_salt_and_starts_nothing(http: TestClient) -> None:
    asked = {"model": "digits", "version": 1}
    shown = http.post("/api/v1/rollouts/preview?wave=3", json=asked).json()
    assert http.post("/api/v1/rollouts/preview?wave=3", json={**asked, "salt": shown["salt"]}).json() == shown
    assert http.post("/api/v1/rollouts/preview?wave=4", json=asked).json()["code"] == "wave-unknown"
    assert http.get("/api/v1/rollouts").json()["total"] == 0


def test_a_verb_acts_only_on_the_rollout_that_was_seen(http: TestClient, fleet: PaperGateways) -> None:
    made = http.post(
        "/api/v1/rollouts",
        json={"model": "digits", "version": 1, "policy": {"approval": {"waves": "all"}}},
    )
    where = f"/api/v1/rollouts/{made.json()['id']}"
    assert (made.headers["ETag"], http.get(where).headers["ETag"]) == ('"1"', '"1"')
    fleet.rollouts.tick()
    for verb in ("approve", "pause", "abort"):
        refused = http.post(f"{where}/{verb}", headers={"If-Match": '"1"'})
        assert (refused.status_code, refused.json()["code"]) == (412, "stale")
        assert "is at revision 2, and was to be changed as it was at revision 1" in refused.json()["detail"]
    now = http.get(where)
    assert now.json()["because"]["code"] == "approval-wanted"
    approved = http.post(f"{where}/approve", headers={"If-Match": now.headers["ETag"]})
    assert (approved.json()["because"]["code"], approved.headers["ETag"]) == ("approved", '"3"')
    assert http.post(f"{where}/pause", headers={"If-Match": "*"}).status_code == 200
    malformed = http.post(f"{where}/resume", headers={"If-Match": "yesterday"})
    assert (malformed.status_code, malformed.json()["code"]) == (400, "if-match-malformed")


def test_a_wave_is_approved_by_a_second_person(http: TestClient, fleet: PaperGateways) -> None:
    policy = {"approval": {"waves": "all", "second_person": True}}
    made = http.post(
        "/api/v1/rollouts", json={"model": "digits", "version": 1, "policy": policy}, headers={"Vedette-Actor": "ann"}
    ).json()
    assert made["created_by"] == "ann"
    where = f"/api/v1/rollouts/{made['id']}"
    fleet.rollouts.tick()
    assert http.get(where).json()["because"]["code"] == "approval-wanted"
    for who in ({"Vedette-Actor": "ann"}, {"Vedette-Actor": "Ann"}, {}):
        refused = http.post(f"{where}/approve", headers=who)
        assert (refused.status_code, refused.json()["code"]) == (409, "same-person")
    approved = http.post(f"{where}/approve", json={"reason": "looks fine"}, headers={"Vedette-Actor": "bob"}).json()
    assert approved["because"]["sentence"] == "The next wave is approved by bob: looks fine."
    fleet.rollouts.tick()
    assert http.get(where).json()["wave"] == 0
    by = [one["by"] for one in http.get(f"{where}/decisions").json()["items"] if one["because"]["code"] == "approved"]
    assert by == ["bob"]


def test_an_unknown_rollout_is_not_found(http: TestClient) -> None:
    for method, path in (("GET", ""), ("GET", "/decisions"), ("POST", "/pause")):
        assert http.request(method, f"/api/v1/rollouts/nothing{path}").json()["code"] == "rollout-unknown"


BODY: dict[str, Any] = {"model": "digits", "version": 1}


def test_the_history_says_who_asked_and_who_decided(http: TestClient, fleet: PaperGateways) -> None:
    made = http.post("/api/v1/rollouts", json=BODY, headers={"Vedette-Actor": "ada"}).json()
    fleet.rollouts.tick()
    http.post(f"/api/v1/rollouts/{made['id']}/pause", headers={"Vedette-Actor": "grace hopper"})
    http.post(f"/api/v1/rollouts/{made['id']}/resume")
    decisions = http.get(f"/api/v1/rollouts/{made['id']}/decisions").json()["items"]
    assert made["created_by"] == "ada"
    assert [one["by"] for one in decisions] == ["operator", "grace hopper", None, "ada"]


@pytest.mark.parametrize("name", ["", " ada", "a" * 65, "ad\x00a"])
def test_who_acts_has_a_name_that_fits_into_a_line(http: TestClient, name: str) -> None:
    answer = http.post("/api/v1/rollouts", json=BODY, headers={"Vedette-Actor": name})
    assert (answer.status_code, answer.json()["code"]) == (422, "actor-wrong")


def test_a_create_that_is_sent_again_starts_nothing_twice(http: TestClient) -> None:
    first, second = (http.post("/api/v1/rollouts", json=BODY, headers={"Idempotency-Key": "k1"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] == second.json()["id"]
    other = http.post("/api/v1/rollouts", json=BODY, headers={"Idempotency-Key": "k2"}).json()
    assert other["id"] != first.json()["id"]
    assert http.get("/api/v1/rollouts").json()["total"] == 2


def test_a_key_that_comes_with_something_else_is_refused(http: TestClient) -> None:
    http.post("/api/v1/rollouts", json=BODY, headers={"Idempotency-Key": "k1"})
    answer = http.post("/api/v1/rollouts", json=BODY | {"version": 2}, headers={"Idempotency-Key": "k1"})
    assert (answer.status_code, answer.json()["code"]) == (422, "request-key-reused")
    assert http.post("/api/v1/rollouts", json=BODY, headers={"Idempotency-Key": "a b"}).status_code == 422
