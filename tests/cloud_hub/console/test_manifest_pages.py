"""Manifests in the console: pasted or uploaded, compared with what is there, and applied as they were shown."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response

from tests.cloud_hub.console.test_pages import Reader, read
from tests.fakes.paper_hub.hub import FakeHub

ROLLOUT = """\
apiVersion: vedette/v1
kind: Rollout
metadata: {name: digits-lyon}
spec:
  model: digits
  version: 3
  selector: site = lyon
"""
SLOWER = ROLLOUT + "  soak_seconds: 600\n"
COHORT = """\
apiVersion: vedette/v1
kind: Cohort
metadata: {name: turin}
spec: {selector: site = turin}
"""


def typed(*texts: str, **more: str) -> dict[str, Any]:
    names = [f"{'abc'[number]}.yaml" for number in range(len(texts))]
    return {"name": names, "text": [text.replace("\n", "\r\n") for text in texts], **more}


def shown(browser: TestClient, *texts: str, **more: str) -> Reader:
    answer = browser.post("/manifests", data=typed(*texts, **more))
    assert answer.status_code == 200
    return Reader(answer.text)


def hidden(page: Reader, name: str) -> str:
    return next(a["value"] or "" for tag, a in page.tags if tag == "input" and a.get("name") == name)


def applied(browser: TestClient, page: Reader, *texts: str, **more: str) -> Response:
    marks = {"seen": hidden(page, "seen"), "key": hidden(page, "key")}
    return browser.post("/manifests/apply", data=typed(*texts, **(marks | more)))


@pytest.mark.parametrize("path", ["/rollouts", "/rollouts/new", "/cohorts"])
def test_it_is_found_where_rollouts_and_cohorts_are_made(browser: TestClient, path: str) -> None:
    assert "/manifests" in read(browser, path).attributes("href")


def test_at_first_there_is_room_for_a_text_and_what_may_be_in_it(browser: TestClient) -> None:
    page = read(browser, "/manifests")
    assert "Write a manifest, paste one, or choose files." in page.text
    assert {"/api/v1/schemas/rollout.json", "/api/v1/schemas/cohort.json"} <= set(page.attributes("href"))
    assert "/manifests/apply" not in page.attributes("formaction"), "nothing is applied that was not shown"


def test_what_would_change_is_told_and_nothing_is_done(browser: TestClient, hub: FakeHub) -> None:
    page = shown(browser, ROLLOUT + "---\n" + COHORT)
    assert "2 manifests turin Cohort new Cohort turin is new: site = turin" in page.text
    assert "digits-lyon is new: a rollout starts for 14 devices, 2 of them at once; it takes over from" in page.text
    assert "Save 1 cohort and start 1 rollout" in page.text
    assert "version: 3" in page.text, "what was sent is still there"
    assert (hub.rollouts.created, "turin" in hub.cohorts.saved) == ([], False)


def test_what_was_shown_is_applied_in_somebodys_name_and_pressed_twice_once(browser: TestClient, hub: FakeHub) -> None:
    page = shown(browser, ROLLOUT, COHORT)
    for _ in range(2):
        response = applied(browser, page, ROLLOUT, COHORT, by="maria")
        assert (response.status_code, response.headers["location"]) == (303, "/rollouts/digits-new")
    ((wanted, origin),) = hub.rollouts.created
    assert (wanted.version, wanted.policy.selector, origin.by) == (3, "site = lyon", "maria")
    assert origin.manifest is not None
    assert origin.manifest.name == "digits-lyon"
    assert hub.cohorts.get("turin").changed_by == "maria"
    assert "Nothing would change." in shown(browser, ROLLOUT, COHORT).text


def test_a_field_that_changes_is_told_as_it_is_and_as_it_becomes(browser: TestClient) -> None:
    pairs = ROLLOUT + "  group: {label: ha-pair}\n"
    applied(browser, shown(browser, pairs), pairs)
    page = shown(browser, SLOWER + "  waves: [{devices: 1}, {percent: 100}]\n")
    assert "spec.waves 1 %, 5 %, 25 %, 100 % → 1, 100 %" in page.text
    assert "spec.soak_seconds 60 → 600" in page.text
    assert "spec.group label ha-pair, max in flight 1 → none" in page.text
    assert "it takes over from digits-new (version 3, running)" in page.text
    assert {"plus", "minus"} <= set(page.attributes("class"))


def test_a_hub_that_changed_meanwhile_is_told_with_what_would_change_now(browser: TestClient, hub: FakeHub) -> None:
    mine = shown(browser, SLOWER, COHORT)
    applied(browser, shown(browser, ROLLOUT), ROLLOUT, by="maria")
    for _ in range(2):
        answer = applied(browser, mine, SLOWER, COHORT)
        page = Reader(answer.text)
        assert answer.status_code == 412
        assert "would do something else than what was shown" in page.text
        assert "spec.soak_seconds 60 → 600" in page.text, "what it would do now stands beside"
    assert (len(hub.rollouts.created), "turin" in hub.cohorts.saved) == (1, False)
    assert applied(browser, page, SLOWER, COHORT).status_code == 303
    assert len(hub.rollouts.created) == 2


def test_a_text_that_was_changed_after_it_was_shown_is_shown_again_first(browser: TestClient, hub: FakeHub) -> None:
    page = shown(browser, ROLLOUT)
    answer = applied(browser, page, ROLLOUT.replace("site = lyon", "all"))
    assert answer.status_code == 412
    assert "for 42 devices" in Reader(answer.text).text
    assert applied(browser, page, ROLLOUT, seen="").status_code == 412, "and without a mark nothing is"
    assert hub.rollouts.created == []


def test_who_goes_back_and_changes_something_is_shown_it_first(browser: TestClient, hub: FakeHub) -> None:
    page = shown(browser, ROLLOUT)
    assert applied(browser, page, ROLLOUT).status_code == 303
    answer = applied(browser, page, SLOWER)
    assert answer.status_code == 412
    assert "What this page showed is applied already" in Reader(answer.text).text
    assert len(hub.rollouts.created) == 1
    assert applied(browser, Reader(answer.text), SLOWER).status_code == 303


HOSTILE = "</textarea><script>alert(1)</script><img src=x onerror=alert(1)>"


@pytest.mark.parametrize(
    "text",
    [
        f"kind: '{HOSTILE}'\n",
        f"'{HOSTILE}': 1\n",
        f"[ {HOSTILE}\n",
        ROLLOUT.replace("site = lyon", f"'site = \"{HOSTILE}\"'"),
        ROLLOUT.replace("site = lyon", f"'cohort:{HOSTILE}'"),
        ROLLOUT.replace("digits-lyon", f"'{HOSTILE}'"),
        COHORT.replace("site = turin", f"'site = \"{HOSTILE}\"'"),
    ],
)
def test_whatever_is_written_is_text(browser: TestClient, text: str) -> None:
    answer = browser.post("/manifests", data={"name": [f"{HOSTILE}.yaml"], "text": [text], "by": HOSTILE})
    assert answer.status_code == 200
    assert "&lt;script&gt;" in answer.text
    assert "<script>alert" not in answer.text
    assert "<img src=x" not in answer.text


def test_what_is_wrong_is_told_at_its_line_and_the_text_stays(browser: TestClient, hub: FakeHub) -> None:
    wrong = ROLLOUT.replace("version: 3", "version: three") + "  lab: site =\n"
    page = shown(browser, wrong, COHORT.replace("turin}\n", "= turin}\n", 1) + "  x: 1\n")
    assert "to put right first" in page.text
    assert 'a.yaml:6:3 spec.version Input should be a valid integer, and is "three". version: three' in page.text
    assert "a.yaml:8:14" in page.text, "of a selector, the very column"
    assert {"line-0-6", "line-0-8"} <= set(page.attributes("id"))
    assert any(one.startswith("#line-1-") for one in page.attributes("href")), "each text has its own lines"
    assert "version: three" in page.text
    assert "/manifests/apply" not in page.attributes("formaction")
    assert browser.post("/manifests/apply", data=typed(wrong, seen="x")).status_code == 422


def test_what_the_hub_does_not_have_is_told_at_its_line(browser: TestClient) -> None:
    page = shown(browser, ROLLOUT.replace("site = lyon", "cohort:nobody"))
    assert "a.yaml:7:3 spec.selector There is no cohort 'nobody'. vedette cohorts list shows all" in page.text


def test_what_the_hub_refuses_when_it_is_applied_is_told_and_the_text_stays(browser: TestClient, hub: FakeHub) -> None:
    page = shown(browser, ROLLOUT)
    answer = applied(browser, page, ROLLOUT, by="má")
    assert answer.status_code == 422
    assert "Use 1 to 64 printable ASCII characters." in Reader(answer.text).text
    assert "site = lyon" in Reader(answer.text).text
    assert hub.rollouts.created == []


def test_more_than_is_taken_at_once_is_told(browser: TestClient) -> None:
    page = shown(browser, "# " + "x" * 140_000)
    assert "131,072 are taken at once. Send fewer of them at once." in page.text


def test_a_text_of_megabytes_is_told_and_stays(browser: TestClient) -> None:
    answer = browser.post("/manifests", files=[("name", (None, "a.yaml")), ("text", (None, "# " + "x" * 1_200_000))])
    assert answer.status_code == 200
    assert "131,072 are taken at once." in answer.text
    assert "x" * 1_200_000 in answer.text, "no error loses what was pasted"


def test_faults_far_to_the_right_and_thousands_of_them_take_no_page_of_megabytes(browser: TestClient) -> None:
    answer = browser.post("/manifests", data=typed("[" + "*a, " * 9_000 + "]\n"))
    assert "9,001 things to put right first" in Reader(answer.text).text
    assert "And 8,951 more: correct these first." in Reader(answer.text).text
    assert len(answer.text) < 100_000


def upload(browser: TestClient, *files: tuple[str, bytes], **form: Any) -> Reader:
    answer = browser.post("/manifests", data=form, files=[("upload", one) for one in files])
    assert answer.status_code == 200
    return Reader(answer.text)


def test_files_are_uploaded_beside_what_is_typed_and_can_be_left_out_again(browser: TestClient) -> None:
    page = upload(browser, ("lyon.yaml", b"\xef\xbb\xbf" + ROLLOUT.encode()), ("turin.yml", COHORT.encode()),
                  name=["manifest.yaml"], text=["  "])  # fmt: skip
    assert [a["value"] for tag, a in page.tags if tag == "input" and a.get("name") == "name"] == [
        "lyon.yaml",
        "turin.yml",
    ]
    assert "Save 1 cohort and start 1 rollout" in page.text
    submit = next(a for tag, a in page.tags if tag == "button" and a.get("type") != "button")
    assert not {"name", "formaction"} & submit.keys(), "Enter only shows: it presses the first button there is"
    page = shown(browser, ROLLOUT, COHORT, without="0")
    assert "1 manifest turin" in page.text
    assert "digits-lyon" not in page.text


def texts(page: Reader) -> dict[str, Any]:
    """The texts of the form, as a browser would send them."""
    named = {name: [a["value"] for tag, a in page.tags if a.get("name") == name] for name in ("name", "read")}
    return {**named, "text": page.areas}


def test_a_file_that_is_uploaded_again_takes_the_place_of_what_it_was(browser: TestClient) -> None:
    first = upload(browser, ("a.yaml", ROLLOUT.replace("\n", "\r\n").encode()))
    page = upload(browser, ("a.yaml", SLOWER.encode()), **texts(first))
    assert texts(page)["text"] == [SLOWER]
    again = upload(browser, ("a.yaml", ROLLOUT.encode()), **texts(page))
    assert (texts(again)["name"], texts(again)["text"]) == (["a.yaml"], [ROLLOUT])


@pytest.mark.parametrize("typed_in", ["pasted", "changed"])
def test_a_file_stands_beside_what_was_typed_under_its_name(browser: TestClient, typed_in: str) -> None:
    form = typed(COHORT, read="") if typed_in == "pasted" else texts(upload(browser, ("a.yaml", ROLLOUT.encode())))
    page = upload(browser, ("a.yaml", SLOWER.encode()), **(form | {"text": [COHORT]}))
    assert (texts(page)["name"], texts(page)["text"]) == (["a.yaml", "a-2.yaml"], [COHORT, SLOWER])
    assert "the file stands beside it as a-2.yaml. Leave out the one that is not meant." in page.text
    page = upload(browser, ("a.yaml", ROLLOUT.encode()), **texts(page))
    assert texts(page)["name"] == ["a.yaml", "a-2.yaml", "a-3.yaml"]
    page = upload(browser, ("a.yaml", COHORT.encode()), **typed(COHORT))
    assert texts(page)["name"] == ["a.yaml"], "and beside what is the same stands nothing"


def test_two_texts_of_one_name_are_both_kept(browser: TestClient) -> None:
    page = shown(browser, ROLLOUT, COHORT, name=["manifest.yaml", "manifest.yaml"])
    assert texts(page)["text"] == [ROLLOUT, COHORT]
    assert texts(upload(browser, ("x", ROLLOUT.encode()), ("x", COHORT.encode())))["name"] == ["x", "x-2"]


def test_a_file_that_is_no_text_is_told_and_the_others_stay(browser: TestClient) -> None:
    page = upload(browser, ("model.onnx", b"\xff\x00"), **typed(ROLLOUT))
    assert "model.onnx is no text" in page.text
    assert "Save it as YAML in UTF-8." in page.text
    assert "site = lyon" in page.text


def test_a_file_that_is_too_large_is_told_and_does_not_come_along(browser: TestClient) -> None:
    page = upload(browser, ("dump.yaml", b"# " + b"x" * 140_000), **typed(ROLLOUT))
    assert "dump.yaml has 140,002 characters, and 131,072 characters are taken at once." in page.text
    assert "xxx" not in page.text
    assert "digits-lyon is new" in page.text


def test_of_many_files_no_more_come_along_than_are_taken(browser: TestClient) -> None:
    page = upload(browser, *((f"{number}.yaml", b"# " + b"x" * 50_000) for number in range(9)), **typed(ROLLOUT))
    assert "8.yaml and what is here have" in page.text
    assert len(page.areas) == 3
    assert page.areas[0] == ROLLOUT


def test_what_is_too_much_to_be_read_is_not_numbered(browser: TestClient) -> None:
    answer = browser.post("/manifests", data=typed("a\n" * 70_000))
    assert "131,072 are taken at once." in answer.text
    assert len(answer.text) < 200_000


def test_a_file_of_megabytes_costs_nothing_that_was_typed(browser: TestClient) -> None:
    page = upload(browser, ("core", b"\xff" * 9 * 1024 * 1024), **typed(ROLLOUT))
    assert "core has 9,437,184 bytes, and 131,072 characters are taken at once. Choose a smaller file." in page.text
    assert "digits-lyon is new" in page.text


def test_what_would_change_is_announced_in_a_sentence(browser: TestClient) -> None:
    for text, said in (
        (ROLLOUT, "Start 1 rollout: 1 manifest."),
        (f"{ROLLOUT}---\n{COHORT}", "Save 1 cohort and start 1 rollout: 2 manifests."),
        ("a: [", "1 thing to put right first."),
    ):
        page = shown(browser, text)
        live = [a for _, a in page.tags if a.get("aria-live") or a.get("role") == "status"]
        assert [a.get("id") for a in live] == ["said"], "a reader is told a sentence, and not all of the plan"
        assert said in page.text


def test_what_was_applied_leads_back_to_the_form(browser: TestClient) -> None:
    answer = browser.get("/manifests/apply", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/manifests")


def test_lines_are_counted_as_the_text_shows_them(browser: TestClient) -> None:
    page = shown(browser, f"{ROLLOUT}  # a\u2028b\n  soak_second: 5\n")
    assert "a.yaml:8:6" in page.text
    assert "YAML has no character U+2028 here" in page.text
    assert {"line-0-8"} == {one for one in page.attributes("id") if one.startswith("line-")}
    page = upload(browser, ("mac.yaml", f"{ROLLOUT}  soak_second: 5\n".replace("\n", "\r").encode()))
    assert "mac.yaml:8:3" in page.text
    assert "line-0-8" in page.attributes("id")


def test_what_has_not_changed_is_started_again_only_when_that_is_asked_for(browser: TestClient, hub: FakeHub) -> None:
    applied(browser, shown(browser, ROLLOUT), ROLLOUT)
    page = shown(browser, ROLLOUT, again="yes")
    assert "digits-lyon is started again: a rollout starts for 14 devices" in page.text
    response = applied(browser, page, ROLLOUT, again="yes")
    assert response.headers["location"] == "/rollouts/digits-new2"
    assert len(hub.rollouts.created) == 2


def test_cohorts_alone_lead_to_the_cohorts(browser: TestClient) -> None:
    assert applied(browser, shown(browser, COHORT), COHORT).headers["location"] == "/cohorts"
