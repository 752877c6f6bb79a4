"""A join token is made in the console, is shown once, and is nowhere else."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi.testclient import TestClient

from cloud_hub.access.views import TokenOrder
from cloud_hub.app import build
from cloud_hub.console import join_form
from cloud_hub.folder import DataFolder
from cloud_hub.settings import Settings
from fleet_contract.encoding import encode
from fleet_contract.join import JoinRequest, open_identity, parse_token
from fleet_contract.signing import envelope
from tests.cloud_hub.console.test_pages import Reader, read
from tests.fakes.certificates import request_for
from tests.fakes.console_server import HTML, app_of, now
from tests.fakes.paper_fleet import empty_hub
from tests.fakes.paper_hub.hub import FakeHub
from tests.fakes.reports import INVENTORY

KEY = "00112233aabbccdd"


def made(browser: TestClient, status: int = 200, **typed: Any) -> Reader:
    answer = browser.post("/join", data={"key": KEY, "hours": "24"} | typed)
    assert answer.status_code == status
    assert answer.headers["cache-control"] == "no-store"
    return Reader(answer.text)


def test_it_is_found_among_the_devices(browser: TestClient) -> None:
    assert "/join" in read(browser, "/devices").attributes("href")
    assert "secret-" not in read(browser, "/join").text


def test_who_has_no_device_yet_is_led_there() -> None:
    with TestClient(app_of(empty_hub(now)), headers=HTML) as browser:
        for path in ("/", "/devices"):
            assert read(browser, path).attributes("href").count("/join") >= 1


def test_a_token_is_made_as_it_was_typed_and_shown_with_its_command(browser: TestClient, hub: FakeHub) -> None:
    page = made(browser, device=" press-07 ", labels="site=lyon\r\n\r\nline=3", target="cpu-avx2", hours="0.5", by="mo")
    assert hub.joining.made == [("press-07", "cpu-avx2", {"site": "lyon", "line": "3"}, 1800)]
    assert "Token for press-07 until 2026-11-02 12:30" in page.text
    assert "It is shown now, and never again." in page.text
    (token,) = [one for one in page.attributes("data-copy") if " " not in one]
    assert f"sudo -u vedette /opt/vedette/bin/vedette-agent join {token} --config /etc/vedette/agent.toml" in page.text
    assert "mo" in read(browser, "/join").attributes("value"), "who made it is remembered"
    form = {a["name"]: a.get("value") for tag, a in page.tags if tag == "input" and a.get("name")}
    assert (form["device"], page.areas) == ("", ["site=lyon\r\n\r\nline=3"]), "the next is of the same place"
    assert "secret-" not in read(browser, "/join").text


def test_what_is_left_out_the_device_says_itself(browser: TestClient, hub: FakeHub) -> None:
    page = made(browser)
    assert hub.joining.made == [(None, None, {}, 86_400)]
    assert "Token until" in page.text


def test_pressed_twice_it_is_one_token_and_changed_another(browser: TestClient, hub: FakeHub) -> None:
    first, again = made(browser, device="press-07"), made(browser, device="press-07")
    assert first.attributes("data-copy") == again.attributes("data-copy")
    assert first.attributes("data-copy") != made(browser, device="press-08").attributes("data-copy")
    assert len(hub.joining.made) == 2
    keys = {one for page in (first, again) for one in page.attributes("value") if len(one) == 16}
    assert len(keys - {KEY}) == 2, "and the next token is another"
    made(browser, key="x", device="press-07")
    assert len(hub.joining.made) == 3


def test_a_device_that_has_joined_before_is_told(browser: TestClient) -> None:
    assert "has joined before" in made(browser, device="lyon-line1-00").text
    assert "has joined before" not in made(browser, device="press-07").text


def test_what_is_wrong_is_told_where_it_is_and_nothing_is_made(browser: TestClient, hub: FakeHub) -> None:
    page = made(browser, 422, device="Press 7", labels="site", target="CPU!", hours="a day")
    assert "'Press 7' cannot be a device id." in page.text
    assert "'site' is not a label. Write it as key=value." in page.text
    assert "'CPU!' cannot be a hardware target." in page.text
    assert "'a day' is no number of hours. Write one from 0.01 to 720." in page.text
    assert page.attributes("aria-invalid").count("true") == 4
    assert {"Press 7", "CPU!", "a day"} <= set(page.attributes("value")), "what was typed is still there"
    assert page.areas == ["site"]
    assert "printable ASCII" in made(browser, 422, by="má").text
    assert hub.joining.made == []


def test_whatever_is_typed_is_text(browser: TestClient) -> None:
    hostile = "</textarea><script>alert(1)</script>"
    answer = browser.post("/join", data=dict.fromkeys((*join_form.FIELDS, "by"), hostile))
    assert answer.status_code == 422
    assert "<script>alert" not in answer.text


@pytest.mark.parametrize(
    ("hours", "seconds"), [("24", 86_400), ("0.001", 10), ("720", 2_592_000), ("0", 0), ("720.1", 0), ("-1", 0)]
)
def test_it_works_for_ten_seconds_to_thirty_days(hours: str, seconds: int) -> None:
    found = join_form.asked({"hours": hours})
    assert (found.expires_in_seconds if isinstance(found, TokenOrder) else 0) == seconds


def test_a_hubs_own_token_is_what_a_device_joins_with(tmp_path: Path) -> None:
    hub = build(Settings(), DataFolder(tmp_path / "data"), "http://127.0.0.1:8420", 1883)
    browser = TestClient(hub.app, base_url="http://127.0.0.1:8420", headers=HTML)
    page = made(browser, device="press-07", labels="site=lyon")
    (token,) = [one for one in page.attributes("data-copy") if " " not in one]
    key = ec.generate_private_key(ec.SECP256R1())
    asked = JoinRequest(parse_token(token).secret, request_for(key), "cpu-avx2", "0.1.0", INVENTORY)
    answer = browser.post("/api/v1/join", content=encode(asked))
    assert open_identity(envelope(answer.content), parse_token(token)).device == "press-07"
    assert "joined before" in made(browser, device="press-07").text
    assert "site=lyon" in read(browser, "/devices").text
    assert not [one for one in read(browser, "/audit").words if parse_token(token).secret in one]
