"""True labels in the console: pasted or chosen, shown by version, counted once."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response

from cloud_hub.console import label_form
from cloud_hub.console.label_form import OfVersion, Wrong, by_version
from cloud_hub.monitoring.views import LabelsIn
from tests.cloud_hub.console.test_pages import Reader, read
from tests.fakes.paper_hub.hub import FakeHub

HEAD = "device,version,labelled,correct,from,until"
HOUR = "2026-11-02T10:00:00Z,2026-11-02T11:00:00Z"
ROWS = f"{HEAD}\nlyon-line1-00,3,200,188,{HOUR}\nlyon-line1-01,3,100,100,{HOUR}\nlyon-line1-02,2,10,1,{HOUR}\n"


def shown(browser: TestClient, text: str, **more: Any) -> Reader:
    answer = browser.post("/labels", data={"model": "digits", "text": text.replace("\n", "\r\n")} | more)
    assert answer.status_code == 200
    return Reader(answer.text)


def counted(browser: TestClient, shown_text: str, **more: Any) -> Response:
    """The answer to the button below what is shown of `text`."""
    inputs = [a for tag, a in shown(browser, shown_text).tags if tag == "input" and a.get("name") == "seen"]
    seen = inputs[0]["value"] if inputs else ""
    form = {"model": "digits", "text": shown_text.replace("\n", "\r\n"), "seen": seen}
    return browser.post("/labels/count", data=form | more)


def test_a_models_page_leads_to_them(browser: TestClient) -> None:
    assert "/labels?model=digits" in read(browser, "/models/digits").attributes("href")


def test_what_they_add_to_each_version_is_shown_and_nothing_is_counted(browser: TestClient, hub: FakeHub) -> None:
    page = shown(browser, ROWS)
    assert "v3 default 2 300 96 % v2 default 1 10 10 %" in page.text
    assert "3 rows of digits." in page.text
    assert page.areas == [ROWS]
    assert hub.labels.taken == []


def test_they_are_counted_in_somebodys_name_and_the_same_again_are_not(browser: TestClient, hub: FakeHub) -> None:
    first, again = (counted(browser, ROWS, by="maria") for _ in range(2))
    assert first.headers["location"] == "/labels?model=digits&counted=3&repeated=0"
    ((model, said, by),) = hub.labels.taken
    assert (model, [row.correct for row in said.rows], by) == ("digits", [188, 100, 1], "maria")
    assert "3 rows are counted." in read(browser, first.headers["location"]).text
    assert "Nothing is counted: 3 rows had been before." in read(browser, again.headers["location"]).text


def test_what_was_not_shown_is_shown_first(browser: TestClient, hub: FakeHub) -> None:
    for other in ({"text": ROWS.replace("188", "18")}, {"model": "vibration"}, {"seen": ""}):
        answer = counted(browser, ROWS, **other)
        assert answer.status_code == 412
        assert "Nothing was counted" in answer.text
        assert "/labels/count" in Reader(answer.text).attributes("formaction")
    assert hub.labels.taken == []


def test_a_file_that_is_chosen_stands_in_the_text_to_be_counted(browser: TestClient, hub: FakeHub) -> None:
    file = b"\xef\xbb\xbf" + ROWS.replace("\n", "\r\n").encode()
    answer = browser.post("/labels", data={"model": "digits", "text": "old"}, files={"upload": ("a.csv", file)})
    page = Reader(answer.text)
    assert page.areas == [ROWS]
    assert "3 rows of digits." in page.text


@pytest.mark.parametrize(
    ("file", "told"),
    [(b"\xff\x00", "a.csv is no text"), (b"x" * 600_000, "a.csv has 600,000 bytes, and 524,288 are taken at once.")],
)
def test_a_file_that_cannot_be_taken_is_told_and_the_text_stays(browser: TestClient, file: bytes, told: str) -> None:
    answer = browser.post("/labels", data={"model": "digits", "text": ROWS}, files={"upload": ("a.csv", file)})
    page = Reader(answer.text)
    assert told in page.text
    assert page.areas == [ROWS]


def test_without_a_model_nothing_is_counted(browser: TestClient, hub: FakeHub) -> None:
    page = shown(browser, ROWS, model="")
    assert "Choose the model that they are of." in page.text
    assert "/labels/count" not in page.attributes("formaction")


def test_what_the_hub_refuses_is_told_and_the_text_stays(browser: TestClient, hub: FakeHub) -> None:
    text = ROWS.replace("lyon-line1-00", "nobody")
    for answer, status in ((counted(browser, text), 404), (counted(browser, ROWS, by="má"), 422)):
        assert answer.status_code == status
        assert Reader(answer.text).areas[0].startswith(HEAD)
    assert "There is no device" in counted(browser, text).text
    assert counted(browser, "", by="maria").status_code == 422
    assert hub.labels.taken == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("device,version\n", Wrong(1, "The first line names no column labelled, correct, from, until.")),
        (f"{HEAD},by\n", Wrong(1, "There is no column by: leave it out.")),
        (f"{HEAD}\n", Wrong(1, "There is no row below the columns' names.")),
        (f"{HEAD}\na,3,5,6,{HOUR}\n", Wrong(2, "6 right ones of 5 labelled cannot be.")),
        (f"{HEAD}\na,3,5,5,{HOUR}\na,0,5,5,{HOUR}\n", Wrong(3, "version: Input should be greater than or equal to 1.")),
        (f"{HEAD}\na,3,5,5,{HOUR},x\n", Wrong(2, "It has more cells than there are columns.")),
        (f'{HEAD}\n"a,3\n', Wrong(2, "This is not CSV: unexpected end of data.")),
        (f"{HEAD},correct\na,3,5,1,{HOUR},4\n", Wrong(1, "The first line names column correct twice.")),
        (f"{HEAD}\na\0,3,5,5,{HOUR}\n", Wrong(2, "It has a character U+0000, as files have that are no text.")),
        (f"{HEAD}\n" + f"a,3,5,5,{HOUR}\n" * 1001, Wrong(1002, "1,000 rows are taken at once: split them.")),
    ],
)
def test_what_is_wrong_is_told_at_its_line(text: str, wrong: Wrong) -> None:
    assert label_form.read(text) == [wrong]


def test_lines_with_faults_are_told_all_at_once(browser: TestClient) -> None:
    page = shown(browser, f"{HEAD}\n" + f"a,3,5,x,{HOUR}\n" * 60)
    assert "60 lines to put right first line 2 correct:" in page.text
    assert "And 10 more: correct these first." in page.text
    assert "/labels/count" not in page.attributes("formaction")


def test_a_slot_may_be_named_and_a_files_key_is_that_of_the_command_line() -> None:
    said = label_form.read(f"slot,{HEAD}\nshadow,a,3,5,4,{HOUR}\n,a,3,5,5,{HOUR}\n")
    assert isinstance(said, LabelsIn)
    assert [row.slot for row in said.rows] == ["shadow", "default"]
    assert by_version(said) == [OfVersion(3, "default", 1, 5, 5), OfVersion(3, "shadow", 1, 5, 4)]
    assert label_form.key("digits", "a\r\nb") == label_form.key("digits", "a\nb\n") != label_form.key("other", "a\nb")


def test_of_ever_so_many_wrong_lines_no_more_are_looked_at_than_are_taken() -> None:
    told = label_form.read(f"{HEAD}\n" + "x\n" * 100_000)
    assert isinstance(told, list)
    assert (len(told), told[-1]) == (1001, Wrong(1002, "1,000 rows are taken at once: split them."))


def test_the_same_rows_are_counted_for_each_model_that_they_are_of(browser: TestClient, hub: FakeHub) -> None:
    other = shown(browser, ROWS, model="vibration")
    seen = next(a["value"] for tag, a in other.tags if tag == "input" and a.get("name") == "seen")
    counted(browser, ROWS)
    browser.post("/labels/count", data={"model": "vibration", "text": ROWS, "seen": seen})
    assert [model for model, _, _ in hub.labels.taken] == ["digits", "vibration"]


def test_a_text_may_begin_as_files_do_and_end_without_a_lines_end(browser: TestClient, hub: FakeHub) -> None:
    counted(browser, ROWS)
    again = counted(browser, "\ufeff" + ROWS.rstrip())
    assert again.headers["location"] == "/labels?model=digits&counted=0&repeated=3"


def test_who_reloads_what_a_refusal_was_told_on_comes_back_to_the_form(browser: TestClient) -> None:
    assert browser.get("/labels/count").headers["location"] == "/labels"


def test_whatever_is_written_is_text(browser: TestClient) -> None:
    hostile = "</textarea><script>alert(1)</script>"
    for text in (hostile, f"{HEAD}\n{hostile},3,5,6,{HOUR}\n", f"{HEAD},{hostile}\n"):
        answer = browser.post("/labels", data={"model": hostile, "text": text, "by": hostile})
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
