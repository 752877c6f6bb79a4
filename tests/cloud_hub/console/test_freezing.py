"""The fleet is frozen and let go by buttons, for a while or until somebody ends it."""

import re
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient

from tests.cloud_hub.console.test_pages import read
from tests.fakes.console_server import NOW
from tests.fakes.paper_hub.hub import FakeHub


@pytest.mark.parametrize(("hours", "until"), [("", None), (" 6 ", timedelta(hours=6)), ("0.5", timedelta(minutes=30))])
def test_it_is_frozen_for_so_many_hours_or_until_somebody_ends_it(
    browser: TestClient, hub: FakeHub, hours: str, until: timedelta | None
) -> None:
    given = {"reason": "An audit.", "hours": hours, "by": "maria"}
    assert browser.post("/freeze/on", data=given).headers["location"] == "/rollouts"
    lasts = hub.freeze.lasts
    assert (lasts.frozen, lasts.reason, lasts.by) == (True, "An audit.", "maria")
    assert lasts.until == (None if until is None else NOW + until)
    assert "The fleet is frozen: nothing moves. An audit." in read(browser, "/devices").text
    browser.post("/freeze/off", data={"by": "maria"})
    assert not hub.freeze.lasts.frozen


def test_another_freeze_than_the_one_that_was_seen_is_not_ended(browser: TestClient, hub: FakeHub) -> None:
    browser.post("/freeze/on", data={"reason": "An audit."})
    (seen,) = re.findall(r'name="revision" value="([0-9]+)"', browser.get("/devices").text)
    browser.post("/freeze/on", data={"reason": "An outage."})
    assert browser.post("/freeze/off", data={"revision": seen}).status_code == 412
    assert hub.freeze.lasts.reason == "An outage."


@pytest.mark.parametrize("hours", ["0", "soon", "-3", "1e9", "999999"])
def test_what_is_no_number_of_hours_freezes_nothing(browser: TestClient, hub: FakeHub, hours: str) -> None:
    response = browser.post("/freeze/on", data={"hours": hours})
    assert response.status_code == 422
    assert "is no number of hours." in response.text
    assert not hub.freeze.lasts.frozen
