"""The labels of a device, changed on its page."""

import pytest
from fastapi.testclient import TestClient

from tests.cloud_hub.console.test_pages import Reader, read
from tests.fakes.paper_hub.hub import FakeHub

DEVICE = "lyon-line1-00"
WHERE = f"/devices/{DEVICE}/labels"


def shown(browser: TestClient) -> str:
    page = read(browser, f"/devices/{DEVICE}")
    return next(a["value"] or "" for tag, a in page.tags if tag == "input" and a.get("name") == "shown")


def test_labels_are_set_changed_and_taken_away(browser: TestClient, hub: FakeHub) -> None:
    before = shown(browser)
    assert before.splitlines() == ["line=line1", "site=lyon"]
    typed = "\r\n site=lyon-2\r\nroom=B 12\r\n"
    response = browser.post(WHERE, data={"labels": typed, "shown": before, "by": "maria"})
    assert (response.status_code, response.headers["location"]) == (303, f"/devices/{DEVICE}")
    assert hub.devices.get(DEVICE).labels == {"site": "lyon-2", "room": "B 12"}
    assert "maria" in response.headers["set-cookie"]


def test_what_somebody_else_changed_meanwhile_stays(browser: TestClient, hub: FakeHub) -> None:
    before = shown(browser)
    hub.devices.relabel(DEVICE, {"shift": "night", "line": "line9"})
    browser.post(WHERE, data={"labels": "line=line1\nsite=oslo", "shown": before})
    assert hub.devices.get(DEVICE).labels == {"line": "line9", "shift": "night", "site": "oslo"}


@pytest.mark.parametrize("value", ["B 12 ", "\u3000", "B\u2028C=12", "B\x85C"])
def test_values_that_are_odd_stay_as_they_are_beside_what_is_changed(
    browser: TestClient, hub: FakeHub, value: str
) -> None:
    hub.devices.relabel(DEVICE, {"room": value})
    before = shown(browser)
    typed = before.replace("site=lyon", "site=oslo").replace("\n", "\r\n")
    assert browser.post(WHERE, data={"labels": typed, "shown": before}).status_code == 303
    assert hub.devices.get(DEVICE).labels == {"line": "line1", "room": value, "site": "oslo"}


@pytest.mark.parametrize(
    ("typed", "by", "said"),
    [
        ("site", "", "'site' is not a label. Write it as key=value."),
        ("Site=lyon", "", "'Site' cannot be a label's key."),
        ("site=lyon\nsite=oslo", "", "The label 'site' is given twice. Keep one of them."),
        ("site=lyon", "m\u00e1", "printable ASCII"),
    ],
)
def test_what_cannot_be_a_label_is_told_and_stays_typed(
    browser: TestClient, hub: FakeHub, typed: str, by: str, said: str
) -> None:
    answer = browser.post(WHERE, data={"labels": typed, "shown": shown(browser), "by": by})
    assert answer.status_code == 422
    page = Reader(answer.text)
    assert said in page.text
    assert f">\n{typed}</textarea>" in answer.text
    assert hub.devices.get(DEVICE).labels == {"line": "line1", "site": "lyon"}
