"""Labels that arrive late are evidence, all of a request or none, and once."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select

from cloud_hub import problems
from cloud_hub.database import Database
from cloud_hub.devices.tables import Device
from cloud_hub.monitoring import api, store
from cloud_hub.monitoring.evidence import Evidence
from cloud_hub.monitoring.labels import LabelService
from cloud_hub.monitoring.service import MonitoringService
from cloud_hub.monitoring.tables import LabelReport
from cloud_hub.releases.tables import Model, Version
from tests.fakes.clock import StoppedClock
from tests.fakes.lake import NOW, window

HOUR = timedelta(hours=1)
ROW = {
    "device": "gateway-1",
    "version": 1,
    "labelled": 200,
    "correct": 188,
    "from": NOW.isoformat(),
    "until": (NOW + HOUR).isoformat(),
}


@pytest.fixture
def client(database: Database, clock: StoppedClock) -> TestClient:
    clock.now = NOW + 2 * HOUR
    with database.session() as session:
        session.add(Device(id="gateway-1", fleet="default", target="cpu-vnni", key="k", joined_at=NOW))
        session.add(Model(name="digits", created_at=NOW, newest=1))
        session.flush()
        session.add(
            Version(model="digits", version=1, created_at=NOW, task="classification", labels=["0"], content="c")
        )
        store.insert(session, [store.Arrived("gateway-1", "b0", NOW, window(1, labelled=10, correct=9))])
    app = FastAPI()
    problems.install(app)
    app.include_router(api.router(MonitoringService(database, clock), LabelService(database, clock)), prefix="/api/v1")
    return TestClient(app)


def tell(client: TestClient, *rows: dict[str, Any], key: str | None = "k1", model: str = "digits") -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post(f"/api/v1/models/{model}/labels", json={"rows": list(rows)}, headers=headers)


def evidence(database: Database, since: datetime = NOW - HOUR, slot: str = "default") -> Evidence:
    with database.reading() as session:
        return store.evidence(session, "digits", since, version=1, slot=slot)


def counted(database: Database) -> tuple[int, int, int]:
    total = evidence(database).total
    return total.labelled, total.correct, total.records


def test_they_are_evidence_beside_what_devices_know_themselves(client: TestClient, database: Database) -> None:
    answer = tell(client, ROW, {**ROW, "labelled": 50, "correct": 40})
    assert (answer.status_code, answer.json()) == (200, {"counted": 2, "repeated": 0})
    assert counted(database) == (260, 237, 10)
    assert evidence(database, since=NOW + HOUR).total.labelled == 0, "they belong to when the records were answered"


def test_they_may_be_of_a_shadow(client: TestClient, database: Database) -> None:
    tell(client, {**ROW, "slot": "shadow"})
    assert counted(database) == (10, 9, 10)
    assert evidence(database, slot="shadow").total.correct == 188


def test_the_same_request_again_counts_nothing_twice(client: TestClient, database: Database) -> None:
    tell(client, ROW)
    assert tell(client, ROW).json() == {"counted": 0, "repeated": 1}
    assert counted(database) == (210, 197, 10)
    assert tell(client, ROW, key="k2").json()["counted"] == 1, "another request with the same content is another"


def test_another_content_under_a_key_that_was_used_is_refused(client: TestClient, database: Database) -> None:
    tell(client, ROW)
    answer = tell(client, {**ROW, "correct": 1})
    assert (answer.status_code, answer.json()["code"]) == (409, "key-reused")
    assert counted(database) == (210, 197, 10)


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"device": "gateway-9"}, 404, "device-unknown"),
        ({"version": 9}, 404, "version-unknown"),
        ({"correct": 201}, 422, "invalid"),
        ({"until": (NOW - HOUR).isoformat()}, 422, "invalid"),
        ({"from": "2026-11-02T12:00:00"}, 422, "invalid"),
        ({"labelled": 2**31}, 422, "invalid"),
        ({"right": 1}, 422, "invalid"),
    ],
)
def test_a_request_with_one_row_that_cannot_be_counts_nothing(
    client: TestClient, database: Database, change: dict[str, object], status: int, code: str
) -> None:
    answer = tell(client, ROW, {**ROW, **change})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert counted(database) == (10, 9, 10)


def test_without_a_key_or_for_no_model_nothing_is_counted(client: TestClient) -> None:
    assert tell(client, ROW, key=None).status_code == 422
    assert tell(client, ROW, model="faces").json()["code"] == "model-unknown"


def test_a_key_is_forgotten_long_after_what_it_brought(client: TestClient, database: Database) -> None:
    tell(client, ROW)
    for later, left in ((timedelta(days=3), 1), (timedelta(days=40), 0)):
        with database.session() as session:
            store.forget(session, NOW + later)
        with database.reading() as session:
            assert len(session.execute(select(LabelReport)).all()) == left
