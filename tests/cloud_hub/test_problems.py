"""Errors over HTTP: each is a problem+json with a code, and none tells what it should not."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError

from cloud_hub import errors, problems
from cloud_hub.access.tables import JoinTokenRow
from cloud_hub.database import Database
from cloud_hub.rollouts.policy import Policy
from fleet_contract.errors import ManifestWrong, VedetteError
from provisioning.pki import RequestWrong

AT = datetime(2026, 11, 2, 12, tzinfo=UTC)


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    problems.install(app)

    @app.get("/number/{n}")
    def number(n: int) -> int:
        return n

    @app.get("/bug")
    def bug() -> None:
        raise ZeroDivisionError("the secret is sesame")

    return app


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.NotFound("w", code="device-unknown"), 404),
        (errors.Conflict("w"), 409),
        (errors.Invalid("w"), 422),
        (errors.Unauthorized("w"), 401),
        (errors.Forbidden("w"), 403),
        (errors.TooLarge("w"), 413),
        (errors.DiskFull("w"), 507),
        (errors.Unavailable("w"), 503),
        (ManifestWrong("w"), 422),
        (RequestWrong("w"), 422),
    ],
)
def test_each_kind_of_error_has_its_status(app: FastAPI, error: VedetteError, status: int) -> None:
    error.remedy = "Do this."

    @app.get("/raise")
    def fail() -> None:
        raise error

    with TestClient(app) as client:
        answer = client.get("/raise")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() | {"title": ""} == {
        "type": f"urn:vedette:problem:{error.code}",
        "title": "",
        "status": status,
        "detail": "w",
        "code": error.code,
        "remedy": "Do this.",
    }


def test_a_request_that_is_not_as_it_should_be_names_each_fault(client: TestClient) -> None:
    answer = client.get("/number/seven")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert answer.json()["errors"][0]["where"] == "path.n"
    assert "path.n" in answer.json()["detail"]


def test_of_a_list_with_a_wrong_item_only_that_is_told_and_our_own_words_stand_alone(app: FastAPI) -> None:
    @app.post("/policies")
    def take(policy: Policy) -> None:
        """Takes it."""

    with TestClient(app) as client:
        answer = client.post("/policies", json={"waves": [{"percent": 200}], "selector": "site = ="}).json()
    assert [fault["where"] for fault in answer["errors"]] == ["body.waves.0.percent", "body.selector"]
    assert "body.selector: The selector is wrong at column 8: " in answer["detail"]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("DELETE", "/number/1", 405)])
def test_what_is_not_there_is_a_problem_too(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


def test_a_bug_shows_an_incident_that_the_log_explains(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        answer = client.get("/bug")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "sesame" not in answer.text
    assert answer.json()["incident"] in caplog.text
    assert "sesame" in caplog.text


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        ("database or disk is full", 507, "disk-full"),
        ('could not extend file "base/1": No space left on device', 507, "disk-full"),
        ("connection refused", 503, "database-unavailable"),
    ],
)
def test_a_database_that_cannot_is_not_a_bug(app: FastAPI, said: str, status: int, code: str) -> None:
    @app.get("/raise")
    def fail() -> None:
        raise OperationalError("INSERT", {}, Exception(said))

    with TestClient(app) as client:
        answer = client.get("/raise")
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_disk_of_sqlite_that_is_really_full_is_said_so(app: FastAPI, tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'hub.sqlite'}")
    database.migrate()

    @app.post("/fill")
    def fill() -> None:
        with database.session() as session:
            session.connection().exec_driver_sql("PRAGMA max_page_count = 1")
            for number in range(100):
                session.add(JoinTokenRow(secret_hash=f"{number}" * 1000, created_at=AT, expires_at=AT))
                session.flush()

    with TestClient(app) as client:
        answer = client.post("/fill")
    database.dispose()
    assert (answer.status_code, answer.json()["code"]) == (507, "disk-full")


def test_what_no_database_can_hold_is_the_callers_fault(app: FastAPI, database: Database) -> None:
    @app.post("/nul")
    def nul() -> None:
        with database.session() as session:
            session.add(JoinTokenRow(secret_hash="a\x00b", created_at=AT, expires_at=AT))

    with TestClient(app) as client:
        answer = client.post("/nul")
    assert answer.status_code == (200 if database.is_sqlite else 422)


def test_an_error_of_ours_that_nobody_gave_a_status_is_a_bug(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    @app.get("/raise")
    def fail() -> None:
        raise VedetteError("what?")

    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/raise")
    assert answer.status_code == 500
    assert answer.json()["incident"] in caplog.text


def test_a_page_may_answer_in_its_own_way() -> None:
    app = FastAPI()
    problems.install(app, lambda _request, problem: HTMLResponse(problem["code"], problem["status"]))
    with TestClient(app) as client:
        assert client.get("/nowhere").text == "not-found"
