"""Who comes in."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from cloud_hub import problems
from cloud_hub.access.guard import MAX_BODY_BYTES, MAX_FILES_BYTES, Guard
from cloud_hub.access.sessions import COOKIE, Sessions
from tests.fakes.clock import StoppedClock

TOKEN = "0123456789abcdef"
PATHS = ("/api/v1/devices", "/api/v1/join", "/blobs/x", "/healthz", "/static/a.css", "/login", "/", "/loginx")
OPEN = {"/api/v1/join", "/blobs/x", "/healthz", "/static/a.css", "/login"}


def hub(token: str | None, sessions: Sessions | None = None) -> TestClient:
    app = FastAPI()

    async def echo(request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    for path in (*PATHS, "/api/v1/blobs/x", "/manifests", "/manifests/apply"):
        app.add_api_route(path, echo, methods=["GET", "POST"])
    app.add_middleware(
        Guard,
        token=token,
        sessions=sessions,
        hosts={"127.0.0.1", "::1", "localhost"},
        open_paths=("/login", "/static/"),
        answer=problems.install(app),
    )
    return TestClient(app, base_url="http://127.0.0.1:8420")


@pytest.fixture
def closed(clock: StoppedClock) -> Iterator[TestClient]:
    """A hub with an API token."""
    with hub(TOKEN, Sessions(TOKEN, clock)) as client:
        yield client


@pytest.fixture
def open_hub() -> Iterator[TestClient]:
    """A hub on loopback without one."""
    with hub(None) as client:
        yield client


@pytest.mark.parametrize("path", PATHS)
def test_without_the_token_only_what_needs_none_is_answered(closed: TestClient, path: str) -> None:
    answer = closed.get(path)
    assert answer.status_code == (200 if path in OPEN else 401)
    if path not in OPEN:
        assert answer.json()["code"] == "unauthorized"
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("host", ["h/blobs/x?", "h/static/", "h/login?", "h/healthz#", "h/api/v1/blobs/x?"])
def test_a_host_header_that_looks_like_an_open_path_opens_nothing(closed: TestClient, host: str) -> None:
    assert closed.get("/api/v1/devices", headers={"host": host}).status_code == 401


@pytest.mark.parametrize("header", ["host", "origin"])
def test_an_address_that_is_none_is_refused_and_no_incident(open_hub: TestClient, header: str) -> None:
    answer = open_hub.post("/api/v1/devices", headers={header: "http://[x" if header == "origin" else "[x"})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (f"Bearer {TOKEN}x", 401),
        ("Bearer ", 401),
        (f"Basic {TOKEN}", 401),
        (TOKEN, 401),
        ("Bearer é".encode(), 401),
    ],
)
def test_the_token_must_be_the_right_one(closed: TestClient, header: str | bytes, status: int) -> None:
    assert closed.get("/api/v1/devices", headers={"Authorization": header}).status_code == status


def test_a_session_of_the_console_comes_in_until_it_expires(closed: TestClient, clock: StoppedClock) -> None:
    cookie = Sessions(TOKEN, clock).open(TOKEN)
    headers = {"Cookie": f"other=1; {COOKIE}={cookie}"}
    assert closed.get("/", headers=headers).status_code == 200
    clock.pass_seconds(13 * 3600)
    assert closed.get("/", headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8420", 200),
        ("localhost:8420", 200),
        ("[::1]:8420", 200),
        ("evil.example", 403),
        ("evil.example:8420", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
    ],
)
def test_a_name_that_was_pointed_at_us_is_not_answered(open_hub: TestClient, host: str, status: int) -> None:
    assert open_hub.get("/api/v1/devices", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://127.0.0.1:8420"}, 200),
        ({"Origin": "http://127.0.0.1:8420", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_no_page_of_another_site_writes(open_hub: TestClient, headers: dict[str, str], status: int) -> None:
    assert open_hub.post("/api/v1/devices", headers=headers).status_code == status
    assert open_hub.get("/api/v1/devices", headers=headers).status_code == 200


def test_a_body_that_is_too_large_is_refused_and_a_blobs_is_not(open_hub: TestClient) -> None:
    large = b"x" * (MAX_BODY_BYTES + 1)
    answer = open_hub.post("/api/v1/devices", content=large)
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
    assert open_hub.post("/api/v1/blobs/x", content=large).json() == {"bytes": len(large)}


def test_a_form_with_files_may_have_more_so_that_its_page_can_say_what_is_too_much(open_hub: TestClient) -> None:
    for most in (MAX_FILES_BYTES, MAX_FILES_BYTES + 1):
        answer = open_hub.post("/manifests", content=iter([b"x" * most]))
        assert (answer.status_code == 413) == (most > MAX_FILES_BYTES)
    assert open_hub.post("/manifests", headers={"Content-Length": str(MAX_FILES_BYTES + 1)}).status_code == 413
    assert open_hub.post("/manifests/apply", content=b"x" * (MAX_BODY_BYTES + 1)).status_code == 413


def test_a_body_that_does_not_say_its_length_is_counted(open_hub: TestClient) -> None:
    answer = open_hub.post("/api/v1/devices", content=iter([b"x" * 1_000_000] * 10))
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
