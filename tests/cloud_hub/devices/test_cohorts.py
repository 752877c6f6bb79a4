"""Cohorts: selectors with a name, saved, referred to, replaced and deleted."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from cloud_hub import problems
from cloud_hub.changes import Changes
from cloud_hub.database import Database
from cloud_hub.devices import api, cohorts_api
from cloud_hub.devices.cohorts import CohortService
from cloud_hub.devices.service import DeviceService
from tests.cloud_hub.devices.conftest import Join
from tests.fakes.clock import StoppedClock


@pytest.fixture
def client(
    database: Database, changes: Changes, clock: StoppedClock, devices: DeviceService, join: Join
) -> Iterator[TestClient]:
    app = FastAPI()
    app.include_router(cohorts_api.router(CohortService(database, changes, clock)), prefix="/api/v1")
    app.include_router(api.router(devices), prefix="/api/v1")
    problems.install(app)
    join("gw-1", site="lyon", shift="night")
    join("gw-2", site="lyon")
    join("gw-3", site="oslo", shift="night")
    with TestClient(app) as client:
        yield client


def save(client: TestClient, name: str, selector: str) -> Any:
    return client.post("/api/v1/cohorts", json={"name": name, "selector": selector}, headers={"Vedette-Actor": "ada"})


def meant(client: TestClient, selector: str) -> list[str]:
    answer = client.get("/api/v1/devices", params={"select": selector})
    assert answer.status_code == 200, answer.text
    return [device["id"] for device in answer.json()["items"]]


def test_a_cohort_is_saved_counted_and_referred_to(client: TestClient) -> None:
    assert save(client, "lyon", "site = lyon").status_code == 201
    made = save(client, "lyon-night", "cohort:lyon and shift = night").json()
    assert (made["devices"], made["changed_by"], made["revision"]) == (1, "ada", 1)
    assert meant(client, "cohort:lyon-night") == ["gw-1"]
    assert meant(client, "not cohort:lyon-night") == ["gw-2", "gw-3"]
    listed = client.get("/api/v1/cohorts").json()
    assert [(one["name"], one["devices"]) for one in listed] == [("lyon", None), ("lyon-night", None)]
    counted = client.get("/api/v1/cohorts", params={"counted": "true"}).json()
    assert [(one["name"], one["devices"]) for one in counted] == [("lyon", 2), ("lyon-night", 1)]


def test_a_cohort_that_is_saved_again_under_the_same_name_of_the_request_is_saved_once(client: TestClient) -> None:
    named, twice = {"Idempotency-Key": "k1"}, {"name": "twice", "selector": "site = lyon"}
    for _ in range(2):
        assert client.post("/api/v1/cohorts", json=twice, headers=named).json()["selector"] == "site = lyon"
    assert client.post("/api/v1/cohorts", json=twice).json()["code"] == "cohort-exists"
    reused = client.post("/api/v1/cohorts", json={**twice, "name": "thrice"}, headers=named)
    assert (reused.status_code, reused.json()["code"]) == (422, "request-key-reused")


def test_only_the_revision_that_was_looked_at_is_replaced(client: TestClient) -> None:
    save(client, "night", "shift = night")
    etag = client.get("/api/v1/cohorts/night").headers["ETag"]
    change = {"selector": "site = oslo"}
    replaced = client.put("/api/v1/cohorts/night", json=change, headers={"If-Match": etag})
    assert (replaced.json()["devices"], replaced.headers["ETag"]) == (1, '"2"')
    again = client.put("/api/v1/cohorts/night", json=change, headers={"If-Match": etag})
    assert (again.status_code, again.json()["code"]) == (412, "stale")
    assert client.put("/api/v1/cohorts/night", json={"selector": "all"}).json()["devices"] == 3


def test_what_is_referred_to_is_not_deleted(client: TestClient) -> None:
    save(client, "lyon", "site = lyon")
    save(client, "night", "cohort:lyon and shift = night")
    refused = client.delete("/api/v1/cohorts/lyon")
    assert (refused.status_code, refused.json()["code"]) == (409, "cohort-needed")
    for name in ("night", "lyon"):
        assert client.delete(f"/api/v1/cohorts/{name}").status_code == 200
    assert client.get("/api/v1/cohorts").json() == []


def test_what_makes_no_sense_is_refused(client: TestClient) -> None:
    save(client, "a", "site = lyon")
    save(client, "b", "cohort:a")
    for answer, code in (
        (save(client, "a", "all"), "cohort-exists"),
        (save(client, "A b", "all"), "id-wrong"),
        (save(client, "c", "site ="), "selector-wrong"),
        (save(client, "c", "cohort:nowhere"), "cohort-unknown"),
        (client.put("/api/v1/cohorts/a", json={"selector": "not cohort:b"}), "cohort-circular"),
        (save(client, "c", "cohort:c"), "cohort-unknown"),
        (client.get("/api/v1/cohorts/c"), "cohort-unknown"),
        (client.get("/api/v1/devices", params={"select": "cohort:c"}), "cohort-unknown"),
    ):
        assert answer.json()["code"] == code


def test_cohorts_of_cohorts_of_cohorts_end_in_an_error_that_says_so_and_not_in_a_crash(client: TestClient) -> None:
    save(client, "c0", "all")
    answers = [save(client, f"c{n}", f"not cohort:c{n - 1} or cohort:c{n - 1}") for n in range(1, 30)]
    refused = [answer.json()["code"] for answer in answers if answer.status_code != 201]
    assert refused[0] == "selector-too-large"
    known = client.get("/api/v1/cohorts", params={"counted": True}).json()
    grown = client.put("/api/v1/cohorts/c0", json={"selector": " or ".join(["line = 1"] * 40)}).json()
    assert grown["code"] == "selector-too-large", "what refers to it could not be asked for any more"
    assert client.get("/api/v1/cohorts", params={"counted": True}).json() == known
    assert len(answers) - len(refused) < 10
