"""Devices over HTTP."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from cloud_hub import problems
from cloud_hub.devices import api
from cloud_hub.devices.service import DeviceService
from tests.cloud_hub.devices.conftest import Join


@pytest.fixture
def client(devices: DeviceService, join: Join) -> Iterator[TestClient]:
    app = FastAPI()
    app.include_router(api.router(devices), prefix="/api/v1")
    problems.install(app)
    join("gw-1", site="lyon", line="1")
    join("gw-2", target="cpu-vnni", site="lyon")
    join("gw-3", site="oslo")
    with TestClient(app) as client:
        yield client


def ids(answer: Any) -> list[str]:
    return [device["id"] for device in answer.json()["items"]]


def test_a_list_is_filtered_sorted_and_paged(client: TestClient) -> None:
    first = client.get("/api/v1/devices", params={"label": "site=lyon", "sort": "-id", "limit": 1})
    assert (ids(first), first.json()["total"]) == (["gw-2"], 2)
    second = client.get(
        "/api/v1/devices", params={"label": "site=lyon", "sort": "-id", "limit": 1, "cursor": first.json()["next"]}
    )
    assert (ids(second), second.json()["next"]) == (["gw-1"], None)
    assert ids(client.get("/api/v1/devices?label=site=lyon&label=line=1")) == ["gw-1"]
    assert ids(client.get("/api/v1/devices?presence=never&target=cpu-vnni")) == ["gw-2"]


@pytest.mark.parametrize(
    "query",
    [
        "label=site",
        "label==x",
        "presence=asleep",
        "limit=0",
        "limit=501",
        "cursor=x",
        "sort=x",
        "version=0",
        f"version={2**40}",
    ],
)
def test_a_query_that_cannot_be_is_a_problem(client: TestClient, query: str) -> None:
    answer = client.get(f"/api/v1/devices?{query}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_one_device_is_shown_with_its_history(client: TestClient) -> None:
    shown = client.get("/api/v1/devices/gw-1").json()
    assert shown["labels"] == {"line": "1", "site": "lyon"}
    assert shown["presence"] == "never"
    assert shown["presence_because"]["code"] == "never-heard"
    events = client.get("/api/v1/devices/gw-1/events").json()["items"]
    assert [event["kind"] for event in events] == ["joined"]


def test_labels_are_changed(client: TestClient) -> None:
    answer = client.patch("/api/v1/devices/gw-1", json={"labels": {"line": None, "room": "7"}})
    assert answer.json()["labels"] == {"room": "7", "site": "lyon"}
    assert client.patch("/api/v1/devices/gw-1", json={"labels": {"Room": "7"}}).json()["code"] == "label-wrong"
    assert client.patch("/api/v1/devices/gw-1", json={"target": "x"}).status_code == 422


def test_a_device_that_is_not_there_is_not_found(client: TestClient) -> None:
    answer = client.get("/api/v1/devices/gw-9")
    assert (answer.status_code, answer.json()["code"]) == (404, "device-unknown")


def test_the_fleet_is_counted(client: TestClient) -> None:
    fleet = client.get("/api/v1/fleet").json()
    assert (fleet["total"], fleet["presence"]["never"], fleet["targets"]) == (3, 3, {"cpu-avx2": 2, "cpu-vnni": 1})


def test_a_number_that_no_database_holds_is_the_callers_fault(client: TestClient) -> None:
    assert client.get("/api/v1/devices", params={"model": "digits", "version": 2**64}).status_code == 422


@pytest.mark.parametrize("sort", ["id", "joined_at", "last_heard_at", "target", "presence", "hostname"])
@pytest.mark.parametrize("kind", ["plain", "time"])
@pytest.mark.parametrize("value", ["text", 7, 1.5, "2026-01-01T00:00:00Z"])
@pytest.mark.parametrize("key", ["a", 7])
def test_a_cursor_that_was_made_up_is_no_incident(
    client: TestClient, sort: str, kind: str, value: object, key: object
) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps([sort, kind, value, key]).encode()).decode().rstrip("=")
    answer = client.get("/api/v1/devices", params={"sort": sort, "cursor": cursor})
    assert answer.status_code in (200, 422), answer.text
    if answer.status_code == 422:
        assert answer.json()["code"] in ("cursor-wrong", "sort-unknown")


def test_a_cursor_whose_time_has_lost_its_zone_breaks_nothing(client: TestClient) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps(["joined_at", "time", "2026-01-01T00:00:00", "a"]).encode()).decode()
    answer = client.get("/api/v1/devices", params={"sort": "joined_at", "cursor": cursor.rstrip("=")})
    assert answer.status_code == 200
