"""A rate counts only where every answer was right."""

import pytest

from benchmarks import load
from benchmarks.load import LoadFailed, counted, program

TOLD = """\
finished in 1.20s, {count}.00 req/s, 4.75MB/s
requests: {count} total, {count} started, {count} done, {right} succeeded, {wrong} failed, 0 errored, 0 timeout
status codes: {right} 2xx, 0 3xx, 0 4xx, {wrong} 5xx
traffic: 9.50MB (9964200) total, 3.41MB (3578049) headers (space savings 0.00%), 7.14MB ({data}) data
"""


def told(count: int, data: int, wrong: int = 0) -> str:
    return TOLD.format(count=count, right=count - wrong, wrong=wrong, data=data)


def test_an_answer_whose_head_came_before_the_count_began_is_one() -> None:
    begun_before = told(1000, data=1200 * 182).replace("1000 2xx", "999 2xx")
    assert counted(begun_before, answer_bytes=182) == 1000


def test_what_was_answered_before_is_in_the_bytes_and_not_in_the_count() -> None:
    assert counted(told(1000, data=1200 * 182), answer_bytes=182) == 1000


@pytest.mark.parametrize(
    "output",
    [
        pytest.param(told(1000, data=1000 * 182, wrong=1), id="an error"),
        pytest.param(told(1000, data=999 * 182), id="an answer without a body, as gRPC tells of an error"),
        pytest.param(told(1000, data=1200 * 182 - 7), id="an answer of another length"),
        pytest.param(told(0, data=0), id="a server that hangs"),
        pytest.param("", id="no server"),
    ],
)
def test_no_rate_comes_of_a_wrong_answer(output: str) -> None:
    with pytest.raises(LoadFailed):
        counted(output, answer_bytes=182)


def test_who_has_no_load_generator_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load.shutil, "which", lambda _: None)
    with pytest.raises(SystemExit, match="apt-get install nghttp2-client"):
        program()
