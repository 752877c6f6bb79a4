"""A request that is known before it is read, and what is not it."""

import numpy as np
import pytest

from edge_agent.serving.http.body import Body
from edge_agent.serving.http.head import read_head
from edge_agent.serving.http.known import Known, knowable

JSON = b'{"inputs": []}'
TENSORS = np.arange(10_000, dtype="<f4").tobytes()


def a_head(*fields: bytes, length: int = len(JSON) + len(TENSORS), of_json: int = len(JSON)) -> bytes:
    lengths = b"Content-Length: %d" % length, b"Inference-Header-Content-Length: %d" % of_json
    return b"\r\n".join([b"POST /v2/models/digits/infer HTTP/1.1", b"Host: localhost", *lengths, *fields, b"", b""])


def known(*fields: bytes) -> tuple[Known, bytes]:
    """What is known, and its bytes."""
    head = a_head(*fields)
    prefix = head + JSON
    return Known(prefix, read_head(head[:-4]), JSON, len(prefix) + len(TENSORS)), prefix + TENSORS


@pytest.mark.parametrize("more", [b"", b"x", b"xy" * 4, b"xyz" * 5])
def test_its_tensors_can_be_read_where_they_lie_however_long_its_head_is(more: bytes) -> None:
    one, whole = known(b"X: " + more)
    room = one.room()
    room[:] = whole
    body = one.body(room)
    assert body is not None
    assert body.json == JSON
    assert isinstance(body.binary, memoryview)
    tensors = np.frombuffer(body.binary, "<f4")
    assert tensors.flags.aligned
    assert tensors.tobytes() == TENSORS


def test_what_begins_otherwise_or_ends_early_is_another() -> None:
    one, whole = known()
    assert one.body(memoryview(whole)) == Body(JSON, memoryview(TENSORS))
    assert one.body(memoryview(whole[:-1])) is None
    for at in (0, 40, len(whole) - len(TENSORS) - 1):
        assert one.body(memoryview(whole[:at] + b"?" + whole[at + 1 :])) is None


@pytest.mark.parametrize(
    ("head", "is_worth_it"),
    [
        (a_head(), True),
        (a_head(b"Content-Encoding: gzip"), False),
        (a_head(of_json=len(JSON) + len(TENSORS)), False),
        (a_head(length=1_000_000), False),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000\r\n\r\n", False),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", False),
    ],
    ids=["tensors", "packed", "all JSON", "more than a socket holds", "no tensors", "of no length"],
)
def test_only_what_may_be_there_as_a_whole_with_tensors_of_numbers_is_worth_knowing(head: bytes, is_worth_it) -> None:
    assert knowable(len(head) + len(JSON), read_head(head[:-4])) == is_worth_it
