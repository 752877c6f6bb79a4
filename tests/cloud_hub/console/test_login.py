"""Signing in, where an API token is set."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient

from cloud_hub.access.sessions import COOKIE
from cloud_hub.console.login import own_path
from tests.fakes.clock import StoppedClock
from tests.fakes.console_server import app_of
from tests.fakes.paper_fleet import busy_hub

TOKEN = "a-long-and-random-token"
HTML = {"accept": "text/html"}


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock(datetime(2026, 11, 2, 12, 0, 0, tzinfo=UTC))


@pytest.fixture
def browser(clock: StoppedClock) -> Iterator[TestClient]:
    with TestClient(app_of(busy_hub(clock), TOKEN), headers=HTML, follow_redirects=False) as client:
        yield client


def test_a_stranger_is_led_to_the_login_and_then_where_they_wanted_to_go(browser: TestClient) -> None:
    led = browser.get("/devices?q=lyon&sort=id")
    assert led.status_code == 303
    assert led.headers["location"] == "/login?to=/devices%3Fq%3Dlyon%26sort%3Did"
    login = browser.get(led.headers["location"])
    assert 'name="to" value="/devices?q=lyon&amp;sort=id"' in login.text
    assert "Sign out" not in login.text
    entered = browser.post("/login", data={"token": f" {TOKEN} ", "to": "/devices?q=lyon&sort=id"})
    assert (entered.status_code, entered.headers["location"]) == (303, "/devices?q=lyon&sort=id")
    assert "lyon-line1-00" in browser.get("/devices?q=lyon&sort=id").text


def test_the_cookie_is_strict_unreadable_for_scripts_and_not_the_token(browser: TestClient) -> None:
    cookie = browser.post("/login", data={"token": TOKEN}).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Max-Age=43200" in cookie
    assert TOKEN not in cookie


def test_a_wrong_token_is_told_so_and_gets_nothing(browser: TestClient) -> None:
    response = browser.post("/login", data={"token": "wrong"})
    assert response.status_code == 401
    assert "That is not this hub&#39;s API token." in response.text
    assert "set-cookie" not in response.headers


def test_a_session_ends_by_itself_and_by_signing_out(browser: TestClient, clock: StoppedClock) -> None:
    browser.post("/login", data={"token": TOKEN})
    kept = browser.cookies[COOKIE]
    clock.pass_seconds(12 * 3600 - 1)
    assert browser.get("/").status_code == 200
    browser.post("/logout")
    assert browser.get("/").status_code == 303
    clock.pass_seconds(2)
    browser.cookies.set(COOKIE, kept)
    assert browser.get("/").status_code == 303


@pytest.mark.parametrize("path", ["/events?subjects=devices", "/rollouts/digits-3-q7f2", "/lake?sql=SELECT+1"])
def test_nothing_but_the_login_is_open(browser: TestClient, path: str) -> None:
    assert browser.get(path).status_code == 303
    assert browser.get(path, headers={"accept": "application/json"}).status_code == 401
    assert browser.get(path, headers={"HX-Request": "true"}).status_code == 401, "a part must not become the login page"


def test_the_login_page_brings_its_own_looks(browser: TestClient) -> None:
    page = browser.get("/login").text
    style = page.split('rel="stylesheet" href="')[1].split('"')[0]
    assert browser.get(style).status_code == 200


@pytest.mark.parametrize(
    "to", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:x", "", "/a\nb"]
)
def test_signing_in_leads_nowhere_else(to: str) -> None:
    assert own_path(to) == "/"
