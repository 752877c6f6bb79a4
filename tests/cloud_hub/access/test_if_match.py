"""What a caller says that it saw: an ETag as it came, several, any, or none; and what comes of anything else."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from cloud_hub import problems
from cloud_hub.access.if_match import Seen, SeenTags


@pytest.fixture
def http() -> Iterator[TestClient]:
    app = FastAPI()
    problems.install(app)

    @app.put("/revised")
    def revised(seen: Seen) -> list[int] | None:
        return None if seen is None else sorted(seen)

    @app.put("/tagged")
    def tagged(seen: SeenTags) -> list[str] | None:
        return None if seen is None else sorted(seen)

    with TestClient(app) as client:
        yield client


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ('"3"', [3]),
        (' "0" ', [0]),
        ("*", None),
        (None, None),
        ('"3", "4"', [3, 4]),
        (',"3" ,, "4","3",', [3, 4]),
        ('W/"5", "4", "yesterday"', [4]),
    ],
)
def test_a_revision_is_read_from_its_etag_and_each_of_a_list(
    http: TestClient, sent: str | None, seen: list[int] | None
) -> None:
    answer = http.put("/revised", headers={} if sent is None else {"If-Match": sent})
    assert (answer.status_code, answer.json()) == (200, seen)


def test_a_tag_that_is_no_revision_is_read_as_it_is(http: TestClient) -> None:
    assert http.put("/tagged", headers={"If-Match": '"3f0c-a"'}).json() == ["3f0c-a"]
    both = http.put("/tagged", headers={"If-Match": '"3f0c-a", "a,b"'})
    assert both.json() == ["3f0c-a", "a,b"], "a tag may have a comma"


def test_a_list_may_come_as_several_headers(http: TestClient) -> None:
    answer = http.put("/revised", headers=[("If-Match", '"3"'), ("If-Match", '"4"')])
    assert answer.json() == [3, 4]


@pytest.mark.parametrize("sent", ['"yesterday"', '"03"', '"-1"', '"4000000000"', 'W/"3"', '""', 'W/"3", W/"4"'])
def test_an_etag_that_never_was_does_not_match(http: TestClient, sent: str) -> None:
    answer = http.put("/revised", headers={"If-Match": sent})
    assert (answer.status_code, answer.json()["code"]) == (412, "stale")
    assert sent in answer.json()["detail"]


@pytest.mark.parametrize("sent", ["3", "yesterday", '"3', "", " , ", '"3" "4"', '"3""4"', '"3", *', '"3", 4', "'3'"])
def test_what_is_no_etag_is_told_with_what_to_send(http: TestClient, sent: str) -> None:
    answer = http.put("/revised", headers={"If-Match": sent})
    assert (answer.status_code, answer.json()["code"]) == (400, "if-match-malformed")
    assert 'If-Match: "3"' in answer.json()["remedy"]
