"""A rollout is started from a plain form: it shows what would happen, keeps what is typed, starts what it showed."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from tests.cloud_hub.console.test_pages import Reader, read
from tests.fakes.console_server import HTML, NOW, app_of
from tests.fakes.paper_fleet import empty_hub
from tests.fakes.paper_hub.hub import FakeHub

DIGITS = "/rollouts/new?model=digits&version=3"


@pytest.fixture
def browser(hub: FakeHub) -> Iterator[TestClient]:
    with TestClient(app_of(hub), headers=HTML) as client:
        yield client


def fields(page: Reader) -> dict[str, str]:
    """What a browser would send of the form as it is."""
    given: dict[str, str] = {}
    select = ""
    for tag, attributes in page.tags:
        name = attributes.get("name") or ""
        if tag == "select":
            select = name
        elif tag == "option" and (select not in given or "selected" in attributes):
            given[select] = attributes.get("value") or ""
        elif tag == "input" and (attributes.get("type") != "checkbox" or "checked" in attributes):
            given[name] = attributes.get("value") or ("on" if attributes.get("type") == "checkbox" else "")
    return given


def test_it_begins_with_a_model_then_its_newest_version(browser: TestClient) -> None:
    page = read(browser, "/rollouts/new")
    assert "Start the rollout" not in page.text
    assert "Choose" in page.text
    page = read(browser, "/rollouts/new?model=digits")
    assert fields(page)["model"] == ""  # options say it by their text
    assert "v3, for cpu-avx2, cpu-vnni: more data" in page.text
    assert "What would happen digits v3" in page.text


def test_a_models_page_leads_to_it(browser: TestClient) -> None:
    links = read(browser, "/models/digits").attributes("href")
    assert "/rollouts/new?model=digits&version=2" in links
    assert "/rollouts/new" in read(browser, "/rollouts").attributes("href")


def test_the_plan_shows_who_is_meant_each_wave_and_its_first_devices(browser: TestClient) -> None:
    text = read(browser, f"{DIGITS}&selector=site+%3D+lyon").text
    assert "The selector means 14 devices cpu-avx2 7 cpu-vnni 7" in text
    assert "4: 100 % 10 14 cpu-avx2 7 , cpu-vnni 7" in text
    assert "First devices of wave 1 lyon-" in text
    assert "At once 2 devices of 14 are ordered to fetch, prove and run digits v3." in text
    assert "It takes over from digits v3 , which is running" in text


def test_what_is_started_is_what_was_shown(browser: TestClient, hub: FakeHub) -> None:
    page = read(browser, f"{DIGITS}&selector=site+%3D+lyon&waves=3%2C+100+%25")
    shown = [link.rpartition("/")[2] for link in page.attributes("href") if link.startswith("/devices/lyon")]
    given = fields(page) | {"model": "digits", "by": "maria"}
    response = browser.post("/rollouts/new", data=given, follow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (303, "/rollouts/digits-new")
    ((wanted, origin),) = hub.rollouts.created
    assert (wanted.model, wanted.version, wanted.policy.selector) == ("digits", 3, "site = lyon")
    assert hub.rollouts.preview(wanted).devices == shown
    assert origin.by == "maria"

    again = browser.post("/rollouts/new", data=given, follow_redirects=False)
    assert again.status_code == 303
    keys = {origin.request.key for _, origin in hub.rollouts.created if origin.request}
    assert len(keys) == 1, "pressed twice, it is the same request"
    changed = browser.post("/rollouts/new", data=given | {"soak_seconds": "5"}, follow_redirects=False)
    assert changed.status_code == 303
    assert len({origin.request.key for _, origin in hub.rollouts.created if origin.request}) == 2


def test_an_error_stands_at_its_field_and_nothing_typed_is_lost(browser: TestClient, hub: FakeHub) -> None:
    given = fields(read(browser, DIGITS)) | {
        "model": "digits",
        "selector": "site == lyon or",
        "soak_seconds": "-3",
        "heard_percent": "80",
        "approval.second_person": "on",
        "rate.devices_per_minute": "7",
        "by": "maria",
    }
    response = browser.post("/rollouts/new", data=given)
    assert response.status_code == 422
    page = Reader(response.text)
    assert "The selector is wrong at column 16" in page.text
    assert "site == lyon or\n               ^" in response.text
    assert "2 things to put right first Selector" in page.text
    invalid = {a["name"] for _, a in page.tags if a.get("aria-invalid")}
    assert invalid == {"selector", "soak_seconds"}
    after = fields(page)
    assert all(after.get(name) == text for name, text in given.items() if name != "model")
    assert "Start the rollout" not in page.text
    assert not hub.rollouts.created


def test_what_the_hub_refuses_is_said_with_what_to_do(browser: TestClient) -> None:
    given = fields(read(browser, DIGITS)) | {"model": "digits", "selector": "site = nowhere"}
    response = browser.post("/rollouts/new", data=given)
    assert response.status_code == 422
    assert "has no artifact for 1 of the devices" in response.text
    assert "Compile it." in response.text
    assert 'value="site = nowhere"' in response.text


def test_a_cohort_that_is_not_there_is_said_and_stays_typed(browser: TestClient) -> None:
    page = read(browser, f"{DIGITS}&selector=cohort:night")
    assert "There is no cohort 'night'. Save it first." in page.text
    assert fields(page)["selector"] == "cohort:night"
    assert "Start the rollout" not in page.text


def test_the_devices_of_another_wave_are_a_button_away(browser: TestClient) -> None:
    text = read(browser, f"{DIGITS}&wave=3").text
    assert "First devices of wave 4" in text
    assert "First devices of wave 4" in read(browser, f"{DIGITS}&wave=77").text


def test_the_plan_can_be_fetched_alone_while_somebody_types(browser: TestClient) -> None:
    part = Reader(browser.get(f"{DIGITS}&selector=site+%3D&part=plan").text)
    assert part.tags[0][1]["id"] == "plan"
    assert "1 thing to put right first Selector" in part.text


def test_a_model_without_versions_and_a_hub_without_models_say_so(browser: TestClient) -> None:
    assert "nope has no version that could be rolled out." in read(browser, "/rollouts/new?model=nope").text
    with TestClient(app_of(empty_hub(lambda: NOW)), headers=HTML) as client:
        assert "No model yet" in read(client, "/rollouts/new").text


def test_who_acts_is_remembered_for_the_next_time(browser: TestClient, hub: FakeHub) -> None:
    browser.post("/rollouts/digits-3-q7f2/pause", data={"reason": "", "by": " Maria Curie "})
    assert hub.rollouts.by == ["Maria Curie"]
    values = [a.get("value") for _, a in read(browser, "/rollouts/digits-3-q7f2").tags if a.get("name") == "by"]
    assert set(values) == {"Maria Curie"}
    response = browser.post("/rollouts/digits-3-q7f2/resume", data={"by": "\x07"})
    assert response.status_code == 422


def test_a_wave_that_waits_is_approved_by_a_button_that_says_what_it_opens(browser: TestClient, hub: FakeHub) -> None:
    text = read(browser, "/rollouts/bearing-2-w4it").text
    assert "Wave 2 (50 %) opens at once: 20 more devices are offered v2, 21 of 42 in all." in text
    browser.post("/rollouts/bearing-2-w4it/approve", data={"by": "otto"})
    assert hub.rollouts.asked == [("bearing-2-w4it", "approve", "")]
    assert hub.rollouts.by == ["otto"]


def test_another_model_brings_its_own_versions_before_anything_is_started(browser: TestClient, hub: FakeHub) -> None:
    asked = "model=digits&of=bearing&version=1&selector=site+%3D+lyon&salt=00112233aabbccdd"
    answer = browser.get(f"/rollouts/new?part=plan&{asked}")
    assert answer.headers["HX-Retarget"] == "#wizard"
    page = Reader(answer.text)
    assert page.text.startswith("What Model")
    assert "What would happen digits v3" in page.text, "the newest, not the number that the other model had"
    assert fields(page)["of"] == "digits"
    assert fields(page)["selector"] == "site = lyon"
    again = browser.get(f"/rollouts/new?part=plan&{asked.replace('bearing', 'digits')}")
    assert "HX-Retarget" not in again.headers
    assert Reader(again.text).text.startswith("What would happen digits v1")

    refused = browser.post("/rollouts/new", data=dict(pair.split("=") for pair in asked.split("&")[:3]))
    assert refused.status_code == 422
    assert "another model was chosen than the one whose plan was shown" in refused.text
    assert hub.rollouts.created == []
