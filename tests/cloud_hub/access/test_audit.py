"""The audit: each write is kept with who, when and what; no read is, and no secret of a join or a login."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse
from fastapi.testclient import TestClient

from cloud_hub import forgetting, problems
from cloud_hub.access import api
from cloud_hub.access.audit import MAX_BODY_CHARACTERS, Audit, AuditService
from cloud_hub.database import Database
from cloud_hub.errors import Conflict
from tests.fakes.clock import StoppedClock


@pytest.fixture
def audit(database: Database, clock: StoppedClock) -> AuditService:
    return AuditService(database, clock, timedelta(days=30))


@pytest.fixture
def http(audit: AuditService) -> Iterator[TestClient]:
    app = FastAPI()
    problems.install(app)
    app.include_router(api.audit_router(audit), prefix="/api/v1")

    @app.api_route("/things/{thing}", methods=["GET", "PUT", "POST", "DELETE"])
    async def thing(request: Request) -> int:
        return len(await request.body())

    @app.post("/refused")
    def refused() -> None:
        raise Conflict("No.")

    @app.post("/labels")
    @app.post("/manifests")
    @app.post("/rollouts/new")
    async def wizard(request: Request, start: bool = False) -> Any:
        await request.body()
        return RedirectResponse("/rollouts/r1", 303) if start else "this would happen"

    for path in ("/login", "/blobs/a", "/api/v1/lake/query"):
        app.add_api_route(path, lambda: 1, methods=["POST"])
    app.add_middleware(Audit, service=audit, open_paths=("/login", "/blobs/"))
    with TestClient(app, follow_redirects=False) as client:
        yield client


def kept(http: TestClient, **query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = http.get("/api/v1/audit", params=query).json()["items"]
    return found


def test_a_write_is_kept_with_who_when_and_what(http: TestClient, clock: StoppedClock) -> None:
    assert http.put("/things/a", json={"x": 1}, headers={"Vedette-Actor": "ada"}).json() == 7
    http.delete("/things/b")
    last, first = kept(http)
    assert (first["by"], first["method"], first["path"], first["status"]) == ("ada", "PUT", "/things/a", 200)
    assert first["body"] == '{"x":1}'
    assert first["at"].startswith(clock().strftime("%Y-%m-%dT%H:%M:%S"))
    assert (last["by"], last["method"], last["body"]) == ("operator", "DELETE", None)


@pytest.mark.parametrize(
    "asked",
    [
        {"content": "by=a%00d%1b%0aa", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
        {"headers": {"Cookie": 'vedette-actor="a\\000d\\033\\012a"'}},
    ],
    ids=["form", "cookie"],
)
def test_nobody_hides_from_the_audit_behind_characters_that_no_name_has(http: TestClient, asked: Any) -> None:
    assert http.post("/things/a", **asked).status_code == 200
    assert [one["by"] for one in kept(http)] == ["a\ufffdd\ufffd\ufffda"]


def test_what_reads_and_what_was_refused_is_not_there(http: TestClient) -> None:
    http.get("/things/a")
    http.post("/api/v1/lake/query")
    http.post("/rollouts/new")
    http.post("/manifests")
    http.post("/labels")
    assert http.post("/refused").status_code == 409
    assert kept(http) == []


def test_no_secret_of_a_login_or_of_a_device_is_there(http: TestClient) -> None:
    http.post("/login", data={"token": "sesame"})
    http.post("/blobs/a", content=b"bytes")
    assert kept(http) == []


def test_a_form_says_who_acts_and_then_the_browser_remembers(http: TestClient) -> None:
    http.post("/rollouts/new?start=true", data={"by": " grace ", "reason": "x"})
    http.cookies.set("vedette-actor", "grace")
    http.post("/things/a", data={"reason": "x"})
    assert [(one["by"], one["status"]) for one in kept(http)] == [("grace", 200), ("grace", 303)]


def test_who_acts_is_found_behind_a_long_text(http: TestClient) -> None:
    http.post("/things/a", data={"text": "x" * 100_000, "by": "grace"})
    (one,) = kept(http)
    assert (one["by"], len(one["body"])) == ("grace", MAX_BODY_CHARACTERS)


def test_what_is_long_is_cut_and_what_is_no_text_is_left_out(http: TestClient) -> None:
    assert http.post("/things/a", json="ä" * 20_000).json() == 40_002
    http.post("/things/b", content=b"\x00\x01", headers={"Content-Type": "application/octet-stream"})
    http.post("/things/c", content=b'"\x00"', headers={"Content-Type": "application/json"})
    nul, binary, long = kept(http)
    assert len(long["body"]) == MAX_BODY_CHARACTERS
    assert binary["body"] is None
    assert nul["body"] == '"\ufffd"'


def test_it_is_asked_for_by_person_and_by_place(http: TestClient) -> None:
    for name, thing in (("ada", "a_1"), ("ada", "b"), ("grace", "aX1")):
        http.post(f"/things/{thing}", headers={"Vedette-Actor": name})
    assert [one["path"] for one in kept(http, by="ada")] == ["/things/b", "/things/a_1"]
    assert [one["path"] for one in kept(http, q="a_1")] == ["/things/a_1"]
    assert [one["path"] for one in kept(http, limit="1")] == ["/things/aX1"]


def test_what_was_kept_long_enough_is_forgotten_a_few_at_a_time(
    http: TestClient, audit: AuditService, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "AT_ONCE", 2)
    for thing in "abcde":
        http.post(f"/things/{thing}")
    clock.pass_seconds(30 * 86400)
    http.post("/things/f")
    audit.forget_old()
    assert len(kept(http)) == 6, "they are not older than 30 days"
    clock.pass_seconds(1)
    audit.forget_old()
    assert [one["path"] for one in kept(http)] == ["/things/f"]
    clock.pass_seconds(30 * 86400)
    audit.forget_old()
    assert kept(http) == []


def test_a_write_that_cannot_be_kept_is_answered_all_the_same_and_logged(
    http: TestClient, audit: AuditService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(audit, "keep", full)
    assert http.post("/things/a").status_code == 200
    assert "POST /things/a by operator was done, and is missing in the audit" in caplog.text
