"""Saved selectors in the console: listed and counted, saved, changed and deleted by plain forms."""

import pytest
from fastapi.testclient import TestClient

from tests.cloud_hub.console.test_pages import Reader, read
from tests.fakes.console_server import HTML, NOW, app_of
from tests.fakes.paper_fleet import empty_hub
from tests.fakes.paper_hub.hub import FakeHub


def test_each_is_listed_with_what_it_means_and_how_many_devices_that_are_now(browser: TestClient) -> None:
    page = read(browser, "/cohorts")
    assert "lyon site = lyon 14 now by maria" in page.text
    assert "lyon-first cohort:lyon and line = line1 4 now by maria" in page.text
    assert "/devices?select=cohort%3Alyon" in page.attributes("href")
    assert list(page.attributes("aria-current")) == ["page", "page"], "Devices, and Cohorts below it"


def test_the_first_one_is_asked_for_where_there_is_none() -> None:
    with TestClient(app_of(empty_hub(lambda: NOW)), headers=HTML) as browser:
        assert "No cohort yet" in read(browser, "/cohorts").text


def test_what_is_typed_is_counted_before_it_is_saved(browser: TestClient) -> None:
    text = Reader(browser.get("/cohorts", params={"part": "meant", "selector": "site = lyon"}).text).text
    assert "14 devices Look at them cpu-avx2 7 cpu-vnni 7" in text
    wrong = Reader(browser.get("/cohorts", params={"part": "meant", "selector": "site = = lyon"}).text).text
    assert "The selector is wrong at column 8" in wrong
    unknown = Reader(browser.get("/cohorts", params={"part": "meant", "selector": "cohort:nobody"}).text).text
    assert "There is no cohort 'nobody'." in unknown


def test_one_is_saved_in_somebodys_name(browser: TestClient, hub: FakeHub) -> None:
    response = browser.post("/cohorts", data={"name": " night ", "selector": "not site = lyon", "by": "maria"})
    assert (response.status_code, response.headers["location"]) == (303, "/cohorts")
    saved = hub.cohorts.get("night")
    assert (saved.selector, saved.changed_by, saved.devices) == ("not site = lyon", "maria", 28)


@pytest.mark.parametrize(
    ("name", "selector", "said"),
    [
        ("lyon", "all", "There is a cohort 'lyon' already."),
        ("Lyon!", "all", "'Lyon!' cannot be a cohort."),
        ("night", "  ", "A cohort needs a selector."),
        ("night", "site = = lyon", "The selector is wrong at column 8"),
        ("night", "cohort:nobody", "There is no cohort 'nobody'."),
    ],
)
def test_what_cannot_be_saved_is_told_and_what_was_typed_stays(
    browser: TestClient, hub: FakeHub, name: str, selector: str, said: str
) -> None:
    response = browser.post("/cohorts", data={"name": name, "selector": selector, "by": "maria"})
    assert response.status_code == 422
    page = Reader(response.text)
    assert said in page.text
    assert {name, "maria"} <= set(page.attributes("value"))
    assert selector.strip() in page.text
    assert sorted(hub.cohorts.saved) == ["lyon", "lyon-first"]


def test_what_it_means_is_changed_as_long_as_nobody_else_did_meanwhile(browser: TestClient, hub: FakeHub) -> None:
    page = read(browser, "/cohorts/lyon")
    assert "means 14 devices now" in page.text
    (revision,) = [a["value"] for tag, a in page.tags if tag == "input" and a.get("name") == "revision"]
    given = {"selector": "site = turin", "revision": revision or "", "by": "ada"}
    assert browser.post("/cohorts/lyon", data=given).headers["location"] == "/cohorts"
    assert (hub.cohorts.get("lyon").selector, hub.cohorts.get("lyon").changed_by) == ("site = turin", "ada")
    again = browser.post("/cohorts/lyon", data=given | {"selector": "all"})
    assert again.status_code == 422
    assert "Cohort lyon is at revision 2, and was to be changed as it was at revision 1." in again.text
    assert hub.cohorts.get("lyon").selector == "site = turin"


def test_one_is_deleted_unless_another_refers_to_it(browser: TestClient, hub: FakeHub) -> None:
    refused = browser.post("/cohorts/lyon/delete")
    assert refused.status_code == 409
    assert "Cohort lyon is referred to." in refused.text
    assert browser.post("/cohorts/lyon-first/delete").status_code == 303
    assert sorted(hub.cohorts.saved) == ["lyon"]
    assert read(browser, "/cohorts/lyon-first", 404)


def test_the_devices_that_a_selector_means_are_one_click_from_a_cohort_of_them(browser: TestClient) -> None:
    links = read(browser, "/devices?select=site+%3D+lyon").attributes("href")
    assert "/cohorts?selector=site%20%3D%20lyon" in links
    assert "/pins?selector=site%20%3D%20lyon" in links
    assert "14 devices" in read(browser, "/cohorts?selector=site+%3D+lyon").text
