"""Pins in the console: listed, made for a device or for those of a selector, with why and until when, and ended."""

from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient

from cloud_hub.console.pin_form import asked
from cloud_hub.errors import NotFound
from cloud_hub.rollouts.views import PinIn
from tests.cloud_hub.console.test_pages import Reader, read
from tests.fakes.console_server import NOW
from tests.fakes.paper_hub.hub import FakeHub

GIVEN = {"device": "", "selector": "site = lyon", "days": "2.5", "reason": "The line is rebuilt."}


def test_what_is_typed_becomes_a_pin() -> None:
    pin = asked({**GIVEN, "model": "digits", "version": "3"}, NOW)
    assert isinstance(pin, PinIn)
    assert (pin.device, pin.selector, pin.model, pin.version) == (None, "site = lyon", "digits", 3)
    assert (pin.reason, pin.until) == ("The line is rebuilt.", NOW + timedelta(days=2, hours=12))


@pytest.mark.parametrize(
    ("typed", "field", "said"),
    [
        ({"selector": " "}, "device", "for a device, or for those that a selector means"),
        ({"device": "gw-1"}, "device", "not for both"),
        ({"selector": "site = = lyon"}, "selector", "wrong at column 8"),
        ({"version": "3"}, "version", "A version is one of a model"),
        ({"model": "digits", "version": "newest"}, "version", "'newest' is no version"),
        ({"model": "digits", "version": "4" * 30}, "version", "is no version"),
        ({"days": "a week"}, "days", "'a week' is no number of days"),
        ({"days": "0"}, "days", "'0' is no number of days"),
        ({"days": "999999"}, "days", "'999999' is no number of days"),
        ({"days": "nan"}, "days", "'nan' is no number of days"),
        ({"reason": "  "}, "reason", "asks why"),
        ({"reason": "x" * 1001}, "reason", "at most 1000 characters"),
    ],
)
def test_what_is_wrong_is_told_at_its_field(typed: dict[str, str], field: str, said: str) -> None:
    faults = asked({**GIVEN, **typed}, NOW)
    assert isinstance(faults, dict)
    assert set(faults) == {field}
    assert said in faults[field].what


def test_all_that_is_wrong_is_told_at_once_and_what_was_typed_stays(browser: TestClient, hub: FakeHub) -> None:
    response = browser.post("/pins", data={"selector": "", "days": "x", "version": "3", "by": "maria"})
    assert response.status_code == 422
    page = Reader(response.text)
    for said in ("for a device, or for those", "no number of days", "A version is one of a model", "asks why"):
        assert said in page.text
    assert {"x", "3", "maria"} <= set(page.attributes("value"))
    assert hub.pins.pinned == []


def test_before_it_is_tried_nothing_is_called_wrong(browser: TestClient) -> None:
    text = read(browser, "/pins").text
    assert "Nothing is pinned" in text
    assert "asks why" not in text


def test_a_selector_is_counted_while_it_is_typed(browser: TestClient) -> None:
    text = Reader(browser.get("/pins", params={"part": "meant", "selector": "site = lyon"}).text).text
    assert "14 devices Look at them" in text


def test_those_of_a_selector_are_pinned_listed_and_let_go(browser: TestClient, hub: FakeHub) -> None:
    response = browser.post("/pins", data={**GIVEN, "model": "digits", "by": "maria"})
    assert (response.status_code, response.headers["location"]) == (303, "/pins")
    page = read(browser, "/pins")
    until = datetime(2026, 11, 5, 0, 0, tzinfo=UTC)
    assert hub.pins.pinned[0].until == until
    assert "site = lyon digits, as offered until 2026-11-05 00:00:00 UTC The line is rebuilt. maria" in page.text
    assert "/devices?select=site%20%3D%20lyon" in page.attributes("href")
    assert "1 pin keeps rollouts from devices." in read(browser, "/rollouts").text
    assert browser.post("/pins/pin-1/end").headers["location"] == "/pins"
    assert hub.pins.pinned == []


def test_a_device_is_pinned_from_its_page_and_shown_there(browser: TestClient, hub: FakeHub) -> None:
    (device, *_) = hub.devices.devices
    (link,) = [one for one in read(browser, f"/devices/{device}").attributes("href") if one.startswith("/pins?")]
    assert device in read(browser, link).attributes("value")
    given = {"device": device, "days": "7", "reason": "<b>repair</b>", "by": "maria"}
    assert browser.post("/pins", data=given).headers["location"] == f"/devices/{device}"
    shown = browser.get(f"/devices/{device}").text
    assert "&lt;b&gt;repair&lt;/b&gt;" in shown
    assert "maria" in shown
    assert browser.post(f"/devices/{device}/pins/pin-1/end").headers["location"] == f"/devices/{device}"
    assert hub.pins.pinned == []


def test_what_the_hub_refuses_is_told_on_the_page(
    browser: TestClient, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise NotFound("There is no device 'gw-1'.", "`vedette devices list` shows all.", code="device-unknown")

    monkeypatch.setattr(hub.pins, "pin", refuse)
    response = browser.post("/pins", data={**GIVEN, "selector": "", "device": "gw-1"})
    assert response.status_code == 422
    assert "There is no device &#39;gw-1&#39;." in response.text
    assert "<code>vedette devices list</code>" in response.text
