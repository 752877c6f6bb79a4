"""Errors over HTTP: each is a problem+json with a code, and none tells what it should not."""

import logging
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from cloud_hub import errors, problems
from fleet_contract.errors import ManifestWrong, VedetteError
from provisioning.pki import RequestWrong


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


def test_an_error_of_ours_that_nobody_gave_a_status_is_a_bug(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    @app.get("/raise")
    def fail() -> None:
        raise VedetteError("what?")

    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/raise")
    assert answer.status_code == 500
    assert answer.json()["incident"] in caplog.text


def test_a_page_may_answer_in_its_own_way() -> None:
    from fastapi.responses import HTMLResponse

    app = FastAPI()
    problems.install(app, lambda _request, problem: HTMLResponse(problem["code"], problem["status"]))
    with TestClient(app) as client:
        assert client.get("/nowhere").text == "not-found"
