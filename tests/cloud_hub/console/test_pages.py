"""Pages hold what they should, without JavaScript, and nothing that a strict policy forbids."""

import gzip
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from fastapi.testclient import TestClient

from cloud_hub.because import BecauseView
from cloud_hub.console.overview import UNDER_WAY
from cloud_hub.errors import Unavailable
from cloud_hub.rollouts.states import UNFINISHED
from tests.fakes.console_server import HTML, NOW, app_of
from tests.fakes.paper_fleet import busy_hub, empty_hub
from tests.fakes.paper_hub.hub import FakeHub
from tests.fakes.paper_hub.views import because

PATHS = (
    "/",
    "/devices",
    "/devices/lyon-line1-00",
    "/devices/gdansk-line1-08",
    "/models",
    "/models/digits",
    "/rollouts",
    "/rollouts/digits-3-q7f2",
    "/rollouts/digits-2-k9zr",
    "/rollouts/vibration-1-h8tt",
    "/rollouts/bearing-1-t0pp",
    "/rollouts/bearing-2-w4it",
    "/rollouts/new",
    "/rollouts/new?model=digits",
    "/cohorts",
    "/cohorts/lyon",
    "/pins",
    "/join",
    "/labels?model=digits",
    "/labels?model=digits&counted=3",
    "/join?device=press-07&labels=site%3Dlyon",
    "/pins?selector=site+%3D+lyon",
    "/audit",
    "/lake",
    "/lake?sql=SELECT+1",
    "/login",
    "/nothing/here",
)


@pytest.fixture
def browser(hub: FakeHub) -> Iterator[TestClient]:
    with TestClient(app_of(hub), headers=HTML) as client:
        yield client


class Reader(HTMLParser):
    """What is in a page: its tags, their attributes, its words, and what stands in its text areas."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.areas: list[str] = []
        self._area = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._area = tag == "textarea"
        if self._area:
            self.areas.append("")

    def handle_endtag(self, tag: str) -> None:
        self._area = self._area and tag != "textarea"

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())
        if self._area:
            # The first line's end is the page's.
            self.areas[-1] = (self.areas[-1] + data).removeprefix("\n")

    @property
    def text(self) -> str:
        return " ".join(word for word in self.words if word)

    def attributes(self, name: str) -> list[str]:
        return [value or "" for _, attributes in self.tags for key, value in attributes.items() if key == name]


def read(client: TestClient, path: str, status: int = 200) -> Reader:
    response = client.get(path)
    assert response.status_code == status, response.text
    return Reader(response.text)


@pytest.mark.parametrize("path", PATHS)
def test_nothing_in_a_page_is_inline_or_from_elsewhere(browser: TestClient, path: str) -> None:
    response = browser.get(path)
    policy = response.headers.get("content-security-policy", "default-src 'none'; script-src 'self'; style-src 'self'")
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    page = Reader(response.text)
    assert "style" not in {tag for tag, _ in page.tags}
    assert not page.attributes("style")
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith(("on", "hx-on"))], attributes
        assert tag != "script" or attributes["src"].startswith("/static/")
    for link in page.attributes("href") + page.attributes("src") + page.attributes("action"):
        assert link.startswith(("/", "#")) and not link.startswith("//"), link


@pytest.mark.parametrize("path", [path for path in PATHS if path != "/nothing/here"])
def test_ids_are_unique_and_live_parts_can_be_fetched_alone(browser: TestClient, path: str) -> None:
    page = read(browser, path) if path != "/login" else Reader(browser.get(path, follow_redirects=True).text)
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    for tag, attributes in page.tags:
        if "data-live" not in attributes:
            continue
        part = Reader(browser.get(attributes["hx-get"] or "").text)
        first, own = part.tags[0]
        assert (first, own["id"]) == (tag, attributes["id"]), "a part must be one element, with the same id"
        assert own["hx-get"] == attributes["hx-get"]
        assert "html" not in {name for name, _ in part.tags}


def test_every_live_part_is_on_the_stream_of_its_page(browser: TestClient) -> None:
    for path in PATHS:
        page = Reader(browser.get(path).text)
        subjects = {subject for live in page.attributes("data-live") for subject in live.split()}
        streams = page.attributes("hx-sse:connect")
        assert len(streams) == (1 if subjects else 0), path
        for stream in streams:
            assert subjects == set(stream.partition("=")[2].replace("%3A", ":").replace("%2C", ",").split(","))


def test_the_fleet_is_told_without_javascript(browser: TestClient) -> None:
    text = read(browser, "/").text
    assert "37 of 42" in text
    assert "4 silent, 1 lost" in text
    assert "Wave 2 waits: 6 of 20 devices that were heard from succeeded (30 %), and 95 % must." in text
    assert "The spool's disk has 12 MB left" in text
    assert re.search(r"Now p95 [\d.]+ (ms|µs)", text)


def test_a_device_page_tells_what_was_captured_where_something_was(browser: TestClient) -> None:
    text = read(browser, "/devices/lyon-line1-00").text
    assert "Captures Kept 12 inputs, " in text
    assert "Dropped: quota 3 since its agent started" in text
    assert "Captures" not in read(browser, "/devices/gdansk-line1-08").text


def test_what_is_wrong_with_the_hub_itself_stands_first(browser: TestClient, hub: FakeHub) -> None:
    hub.troubles.append(BecauseView(code="lake-unavailable", sentence="The lake cannot be written: no space left."))
    assert "3 troubles The lake cannot be written: no space left." in read(browser, "/").text


def test_rows_of_devices_are_in_the_page_and_every_filter_narrows_them(browser: TestClient) -> None:
    def rows(query: str) -> int:
        return sum(one.startswith("device-") for one in read(browser, f"/devices{query}").attributes("id"))

    assert rows("") == 42
    for query in (
        "?q=lyon", "?presence=silent", "?target=cpu-vnni", "?label=site%3Dlyon", "?label=site%3Dlyon,line%3Dline1",
        "?model=vibration", "?version=3", "?phase=trial", "?rollout=digits-3-q7f2",
    ):  # fmt: skip
        assert 0 < rows(query) < 42, query
    assert rows("?q=&presence=&version=&label=&cursor=") == 42
    assert rows("?version=x&seen=-3") == 42
    assert "No device fits" in read(browser, "/devices?q=nobody").text


def test_a_list_is_walked_page_by_page_with_links(hub: FakeHub) -> None:
    hub = busy_hub(lambda: NOW, devices=120)
    with TestClient(app_of(hub), headers=HTML) as browser:
        seen: list[str] = []
        path: str | None = "/devices?target=cpu-vnni&sort=-id"
        told = []
        while path:
            page = read(browser, path)
            seen += [one for one in page.attributes("id") if one.startswith("device-")]
            told.append(re.search(r"\d+–\d+ of 60 devices", page.text).group())  # type: ignore[union-attr]
            path = next((a["href"] for tag, a in page.tags if tag == "a" and a.get("rel") == "next"), None)
        assert seen == sorted(set(seen), reverse=True)
        assert len(seen) == 60
        assert told == ["1–50 of 60 devices", "51–60 of 60 devices"]


def test_a_column_is_sorted_by_a_link_that_keeps_the_filter_and_turns_round(browser: TestClient) -> None:
    page = read(browser, "/devices?q=lyon&sort=id&cursor=2&seen=2")
    links = page.attributes("href")
    assert "/devices?q=lyon&sort=-id" in links
    assert "/devices?q=lyon&sort=last_heard_at" in links
    assert "ascending" in page.attributes("aria-sort")


def test_a_wrong_sort_is_a_page_that_says_what_to_do(browser: TestClient) -> None:
    text = read(browser, "/devices?sort=colour", 422).text
    assert "cannot be sorted by 'colour'" in text
    assert "sort-unknown" in text


def test_a_form_that_narrows_a_list_changes_the_address(browser: TestClient) -> None:
    response = browser.get("/devices?part=rows&q=lyon&presence=", headers={"HX-Source": "form"})
    assert response.headers["HX-Replace-Url"] == "/devices?q=lyon"
    assert "HX-Replace-Url" not in browser.get("/devices?part=rows", headers={"HX-Source": "section#rows"}).headers


def test_a_device_tells_what_runs_why_and_what_it_went_through(browser: TestClient) -> None:
    text = read(browser, "/devices/gdansk-line1-08").text
    assert "3 of 64 golden samples agree, and 62 must." in text
    assert "Wanted vibration v1" in text
    assert "Joined with a token that was made for it." in text
    assert "x86_64, 4 cores, 8.2 GB" in text


def test_a_model_shows_its_evidence_and_who_signed_it(browser: TestClient) -> None:
    text = read(browser, "/models/digits").text
    assert "trained on too little" in text
    assert "runs on 6 devices" in text
    assert "5f0c5f0c5f0c" in text
    assert "Predictions on 450 held-out records" in text


def test_a_rollout_shows_waves_gates_and_both_cohorts(browser: TestClient) -> None:
    page = read(browser, "/rollouts/digits-3-q7f2")
    assert "each wave waits for 95 % succeeded, 200 records, 1 min of soak" in page.text
    assert "not enough evidence" in page.text
    assert "−2.8 % to 6.2 %, allowed 10 %" in page.text
    assert {"treated", "control"} <= set(page.attributes("class"))


def test_a_rollout_that_goes_on_says_what_is_missing_first(browser: TestClient) -> None:
    text = read(browser, "/rollouts/digits-3-q7f2").text
    missing, held = text.index("Missing: Run it 6 of 20 devices (30.0 %) needs 95 %"), text.index("Holds: Heard from")
    assert text.index("What wave 3 needs to open") < missing < held
    assert "Missing: Gate predictions not enough evidence needs pass" in text
    text = read(browser, "/rollouts/bearing-2-w4it").text
    assert "Missing: Approval none Somebody who is not maria approves it" in text


def test_a_rollout_lists_what_holds_its_devices_back_with_how_many(browser: TestClient, hub: FakeHub) -> None:
    text = read(browser, "/rollouts/digits-3-q7f2").text
    assert "Held back 24 devices Not heard from 1 They were offered it and have said nothing since" in text
    assert "Later waves 21 They belong to wave 3." in text
    assert "Pinned which 2 Pins keep every rollout from them, and none counts them." in text
    counts = hub.rollouts.get("digits-3-q7f2").counts.model_copy(update={"offered": 12, "held": {"rate": 9}})
    hub.rollouts.decide("digits-3-q7f2", because("orders-owed", "Others wait for the rate."), counts=counts)
    text = read(browser, "/rollouts/digits-3-q7f2").text
    assert "Rate 9 20 a minute are offered it now, and more as they succeed; nobody waits for it once every" in text
    page = read(browser, "/rollouts/digits-1-x2ma")
    assert [a["hidden"] for _, a in page.tags if a.get("id") == "held"] == [None], "nothing holds what is complete"


def test_the_history_is_walked_page_by_page_and_is_found_again_where_it_was(browser: TestClient, hub: FakeHub) -> None:
    assert "Next" not in read(browser, "/rollouts/digits-3-q7f2").text
    for number in range(42):
        hub.rollouts.decide("digits-3-q7f2", because("waiting", f"Looked at for the time {number}."))
    path: str | None = "/rollouts/digits-3-q7f2"
    said, told = [], []
    while path:
        page = read(browser, path)
        said += re.findall(r"Looked at for the time (\d+)\.", page.text[page.text.index("History") :])
        told.append(re.search(r"\d+–\d+ of 45 decisions", page.text).group())  # type: ignore[union-attr]
        path = next((a["href"] for tag, a in page.tags if tag == "a" and a.get("rel") == "next"), None)
        assert path is None or path.endswith("#decisions")
    assert said == [str(number) for number in range(41, -1, -1)]
    assert told == [f"{seen + 1}–{min(seen + 10, 45)} of 45 decisions" for seen in range(0, 50, 10)]


def test_failures_are_grouped_by_their_reason(browser: TestClient) -> None:
    page = read(browser, "/rollouts/bearing-1-t0pp")
    assert "no-room 2 devices The artifact takes 58 kB, and 12 kB are left for models. lyon-line2-09" in page.text
    assert "/devices/gdansk-line1-08" in page.attributes("href")


def test_a_gate_is_drawn_over_time_with_what_is_allowed(browser: TestClient) -> None:
    page = read(browser, "/rollouts/digits-2-k9zr")
    labels = [label for label in page.attributes("aria-label") if label.startswith("predictions. From")]
    assert labels[0].endswith("in the end between 20.3 % and 29.3 %, allowed 10 %.")
    assert "course fail" in page.attributes("class")


def test_a_reverted_rollout_says_first_why_it_was_reverted(browser: TestClient) -> None:
    text = read(browser, "/rollouts/digits-2-k9zr").text
    head = text[: text.index("Eligible")]
    assert "the share of label 1 is 33.4 % with version 2 and 9.1 % elsewhere" in head
    assert "Pause" not in text


@pytest.mark.parametrize(
    ("rollout", "offered"),
    [("digits-3-q7f2", {"pause", "abort"}), ("vibration-1-h8tt", {"resume", "abort"}), ("digits-1-x2ma", set())],
)
def test_only_what_can_be_done_is_offered(browser: TestClient, rollout: str, offered: set[str]) -> None:
    actions = read(browser, f"/rollouts/{rollout}").attributes("action")
    assert {action.rpartition("/")[2] for action in actions} == offered


def test_a_button_works_as_a_plain_form(browser: TestClient, hub: FakeHub) -> None:
    response = browser.post(
        "/rollouts/digits-3-q7f2/pause", data={"reason": " the line is down "}, follow_redirects=False
    )
    assert (response.status_code, response.headers["location"]) == (303, "/rollouts/digits-3-q7f2")
    assert hub.rollouts.asked == [("digits-3-q7f2", "pause", "the line is down")]
    assert "Resume" in read(browser, "/rollouts/digits-3-q7f2").text


def test_a_rejected_model_can_be_tried_again_from_its_device(browser: TestClient, hub: FakeHub) -> None:
    (action,) = re.findall(
        r'<form method="post" action="(/devices/[^"]*/retry[^"]*)"', browser.get("/devices/gdansk-line1-08").text
    )
    response = browser.post(action, follow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (303, "/devices/gdansk-line1-08")
    assert hub.rollouts.asked == [("gdansk-line1-08", "retry vibration", "default")]


def test_a_button_that_came_too_late_says_so(browser: TestClient) -> None:
    response = browser.post("/rollouts/digits-1-x2ma/pause")
    assert response.status_code == 409
    assert "is completed, so it cannot pause" in response.text


def test_what_lets_more_go_acts_on_the_rollout_that_was_seen_and_a_brake_on_any(
    browser: TestClient, hub: FakeHub
) -> None:
    text = browser.get("/rollouts/vibration-1-h8tt").text
    forms = dict(re.findall(r'<form method="post" action="/rollouts/[^"]*/([a-z]+)">(.*?)</form>', text, re.DOTALL))
    seen = re.findall(r'name="revision" value="([0-9]+)"', forms["resume"])
    assert (seen, "revision" in forms["abort"]) == ([str(hub.rollouts.get("vibration-1-h8tt").revision)], False)
    late = browser.post("/rollouts/vibration-1-h8tt/resume", data={"revision": "99"})
    assert (late.status_code, hub.rollouts.asked) == (412, [])
    assert "Look at what it is now" in late.text
    browser.post("/rollouts/vibration-1-h8tt/resume", data={"revision": seen[0]})
    assert hub.rollouts.asked == [("vibration-1-h8tt", "resume", "")]


def test_a_page_of_another_site_cannot_press_a_button(browser: TestClient, hub: FakeHub) -> None:
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}):
        assert browser.post("/rollouts/digits-3-q7f2/abort", headers=headers).status_code == 403
    assert not hub.rollouts.asked


@pytest.mark.parametrize("path", ["/", "/devices", "/models", "/rollouts", "/lake"])
def test_an_empty_hub_teaches_the_next_command(path: str) -> None:
    with TestClient(app_of(empty_hub(lambda: NOW)), headers=HTML) as browser:
        page = read(browser, path)
        commands = page.attributes("data-copy")
        assert all(command.startswith("vedette ") for command in commands)
        assert commands or "The first window that a device sends" in page.text


def test_what_devices_say_is_never_markup(browser: TestClient, hub: FakeHub) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x>"
    hub.devices.change(
        "lyon-line1-00",
        hostname=evil,
        labels={"site": evil},
        agent_version=evil,
        troubles=[BecauseView(code="x", sentence=evil)],
        inventory={"hostname": evil, "arch": evil, "cores": 1, "memory_bytes": 1, "runtimes": {evil: evil}},
    )
    hub.rollouts.decide("digits-3-q7f2", BecauseView(code="x", sentence=evil))
    for path in (
        "/",
        "/devices",
        "/devices/lyon-line1-00",
        "/rollouts",
        "/rollouts/digits-3-q7f2",
        f"/devices?q={evil}",
    ):
        tags = [(tag, attributes) for tag, attributes in read(browser, path).tags if tag in ("script", "img")]
        assert all((attributes["src"] or "").startswith("/static/") for _, attributes in tags), path


def test_the_audit_is_narrowed_to_a_person_and_to_what_was_written_to(browser: TestClient) -> None:
    text = read(browser, "/audit").text
    assert "1–3 of 3 writes" in text
    assert "maria POST /rollouts/digits-1-x2ma/pause" in text
    assert text.index("/pause") < text.index("/api/v1/pins") < text.index("/api/v1/rollouts")
    assert "1–1 of 1 write" in read(browser, "/audit?by=ada").text
    assert "1–2 of 2 writes" in read(browser, "/audit?q=rollouts&by=").text
    assert "No write fits" in read(browser, "/audit?by=nobody").text
    assert "/audit" in read(browser, "/").attributes("href")
    with TestClient(app_of(empty_hub(lambda: NOW)), headers=HTML) as empty:
        assert "Nothing was written yet" in read(empty, "/audit").text


def test_a_question_to_the_lake_is_answered_in_the_page(browser: TestClient, hub: FakeHub) -> None:
    text = read(browser, "/lake?sql=SELECT+model+FROM+windows").text
    assert "2 rows" in text
    assert "184220" in text
    assert hub.lake.asked == ["SELECT model FROM windows"]
    assert "syntax error" in read(browser, "/lake?sql=x").text


def test_a_lake_that_does_not_answer_is_part_of_its_page(browser: TestClient, hub: FakeHub) -> None:
    def away() -> list[object]:
        raise Unavailable("The lake does not answer.", "Try again.")

    hub.lake.tables = away  # type: ignore[method-assign,assignment]
    assert "The lake does not answer." in read(browser, "/lake").text


def test_a_page_that_is_not_there_is_a_page_and_for_programs_a_problem(browser: TestClient) -> None:
    assert "There is nothing here" in read(browser, "/devices/nobody", 404).text
    for headers in ({"accept": "application/json"}, {"accept": "*/*"}):
        response = browser.get("/devices/nobody", headers=headers)
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["code"] == "device-unknown"
    assert browser.get("/api/v1/nothing").headers["content-type"] == "application/problem+json"


def test_an_unknown_part_of_a_page_is_refused(browser: TestClient) -> None:
    for part in ("nothing", "main", "title"):
        assert browser.get(f"/?part={part}").status_code == 404


def test_pages_are_compressed_for_who_can_read_that(browser: TestClient) -> None:
    with browser.stream("GET", "/", headers={"accept-encoding": "gzip"}) as response:
        squeezed = b"".join(response.iter_raw())
    assert response.headers["content-encoding"] == "gzip"
    assert b"Fleet default" in gzip.decompress(squeezed)
    plain = browser.get("/", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.headers["vary"] == "Accept-Encoding"


def test_assets_may_be_kept_for_ever_and_pages_not_at_all(browser: TestClient) -> None:
    page = browser.get("/")
    assert page.headers["cache-control"] == "no-store"
    found = [
        one for one in Reader(page.text).attributes("href") + Reader(page.text).attributes("src") if "/static/" in one
    ]
    assert len(set(found)) == 6
    for asset in found:
        for encoding in ("gzip", "identity"):
            response = browser.get(asset, headers={"accept-encoding": encoding})
            assert response.status_code == 200
            assert "immutable" in response.headers["cache-control"]
            assert response.headers.get("content-encoding", "identity") == encoding
            assert response.content
    assert browser.get("/static/nothing.js").status_code == 404
    assert browser.get("/static/..%2f..%2fpages.py").status_code == 404
    assert browser.get("/favicon.ico").headers["content-type"] == "image/svg+xml"


def test_charts_carry_their_figures_as_data(browser: TestClient) -> None:
    series = [json.loads(one) for one in read(browser, "/").attributes("data-series")]
    assert [one["unit"] for one in series] == ["/s", "ms"]
    for one in series:
        assert one["lines"]
        assert all(len(line["values"]) == len(one["times"]) for line in one["lines"])
        # What has not arrived yet is not drawn as a fall.
        assert one["times"][-1] < NOW.timestamp() - 10


def test_times_are_relative_with_the_absolute_one_at_hand(browser: TestClient) -> None:
    page = read(browser, "/devices/lyon-line1-00")
    assert any(re.fullmatch(r"2026-1\d-\d\d \d\d:\d\d:\d\d UTC", title) for title in page.attributes("title"))
    assert "3 d ago" in page.text


def test_a_stream_names_what_it_watches(browser: TestClient) -> None:
    assert browser.get("/events?subjects=,").status_code == 422
    assert browser.get("/events", params={"subjects": ",".join(f"device:{i}" for i in range(99))}).status_code == 422


def test_a_rollout_that_stopped_and_waits_for_a_person_is_shown_as_under_way() -> None:
    assert set(UNDER_WAY) == {str(state) for state in UNFINISHED}


def test_a_selector_narrows_the_devices_and_one_that_is_wrong_says_where(browser: TestClient) -> None:
    found = browser.get("/devices", params={"select": "site = lyon and not target = cpu-vnni", "part": "rows"}).text
    assert "lyon-line" in found
    assert "turin-line" not in found
    wrong = browser.get("/devices", params={"select": "site = <b>", "part": "rows"})
    assert wrong.status_code == 200
    assert "wrong at column 8" in wrong.text
    assert "<b>" not in wrong.text


def test_what_a_rollout_brought_is_linked_to_it_and_what_a_pin_did_is_not(
    hub: FakeHub, browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ran,) = hub.rollouts.ran("lyon-line1-01")
    # A model's name may start as the ids of pins do.
    by = ("pin-0a1b2c", "pin-counter-v2-0a1b2c")
    monkeypatch.setattr(
        hub.rollouts, "ran", lambda *_: [ran.model_copy(update={"rollout": one, "decision": None}) for one in by]
    )
    text = browser.get("/devices/gdansk-line1-08").text
    assert '<span class="mono">pin-0a1b2c</span>' in text
    assert 'href="/rollouts/pin-counter-v2-0a1b2c"' in text
