"""A head is understood in one way or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.serving.http.head import Head, read_head
from edge_agent.serving.http.status import Refused


def head(*lines: str, request: str = "POST /v2/models/digits/infer HTTP/1.1", host: bool = True) -> Head:
    hosts = ["Host: localhost"] if host else []
    return read_head("\r\n".join([request, *hosts, *lines]).encode("latin-1"))


def test_a_head_says_how_the_body_comes():
    found = head("Content-Length: 12", "Inference-Header-Content-Length: 5", "Content-Encoding: GZIP")
    assert (found.method, found.path, found.length, found.json_length, found.encoding) == (
        "POST",
        "/v2/models/digits/infer",
        12,
        5,
        "gzip",
    )


def test_without_a_length_there_is_no_body():
    found = head()
    assert (found.length, found.json_length, found.encoding, found.expects_continue) == (0, -1, "", False)


def test_the_query_is_not_part_of_the_path():
    assert head(request="GET /v2?x=/infer HTTP/1.1").path == "/v2"
    assert head(request="GET http://localhost:8431/v2/health/live HTTP/1.1").path == "/v2/health/live"


@pytest.mark.parametrize(
    ("request_line", "connection", "kept"),
    [
        ("GET /v2 HTTP/1.1", None, True),
        ("GET /v2 HTTP/1.1", "close", False),
        ("GET /v2 HTTP/1.1", "Upgrade, Close", False),
        ("GET /v2 HTTP/1.0", None, False),
        ("GET /v2 HTTP/1.0", "Keep-Alive", True),
    ],
)
def test_a_connection_is_kept_as_its_version_says(request_line, connection, kept):
    lines = [f"Connection: {connection}"] if connection else []
    assert head(*lines, request=request_line).keep_alive is kept


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["Content-Length: 5", "Content-Length: 6"], "twice"),
        (["Content-Length: 5, 6"], "no number"),
        (["Content-Length: +5"], "no number"),
        (["Content-Length: -5"], "no number"),
        (["Content-Length: 5_0"], "no number"),
        (["Content-Length: "], "no number"),
        (["Content-Length: 5", "Transfer-Encoding: chunked"], "not both"),
        (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], "not understood"),
        (["Transfer-Encoding: gzip, chunked"], "not understood"),
        (["Transfer-Encoding: identity"], "not understood"),
        (["Host: elsewhere"], "twice"),
        (["Content-Length : 5"], "no header|not a header"),
        ([" folded: 5"], "not a header"),
        (["X: a\x00b"], "not a header"),
        (["X: a\nContent-Length: 5"], "not a header"),
        (["nothing"], "not a header"),
    ],
)
def test_what_two_readers_could_understand_differently_is_refused(lines, words):
    with pytest.raises(Refused, match=words) as refused:
        head(*lines)
    assert refused.value.status == 400
    assert refused.value.closes


@pytest.mark.parametrize(
    "request_line",
    [
        "",
        "GET",
        "GET /v2",
        "GET  /v2 HTTP/1.1",
        "GET /v2 HTTP/2.0",
        "GET /a b HTTP/1.1",
        "GE\tT /v2 HTTP/1.1",
        "\x16\x03",
    ],
)
def test_what_is_no_request_line_is_refused(request_line):
    with pytest.raises(Refused, match="request line"):
        head(request=request_line)


def test_http_1_1_names_its_host():
    with pytest.raises(Refused, match="Host"):
        head(host=False)
    assert head(request="GET /v2 HTTP/1.0", host=False).host == ""


def test_the_same_length_twice_is_no_contradiction():
    assert head("Content-Length: 5", "content-length:5").length == 5


def test_an_unknown_encoding_is_refused_as_such():
    with pytest.raises(Refused) as refused:
        head("Content-Encoding: br")
    assert refused.value.status == 415


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_be_refused(raw):
    try:
        found = read_head(raw)
    except Refused:
        return
    assert found.path.isascii()


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30), st.integers(0, 10**9))
def test_a_well_formed_head_is_always_read(path, length):
    found = head(f"Content-Length:  {length} ", request=f"POST /{path} HTTP/1.1")
    assert found.length == length
    assert found.path == f"/{path}".partition("?")[0]
