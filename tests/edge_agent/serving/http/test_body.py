"""A body arrives whole, in whatever pieces, or is refused."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.serving.http.body import JSON_MAX_BYTES, Arriving, Chunked, Sized, split
from edge_agent.serving.http.head import Head
from edge_agent.serving.http.status import Refused

LIMIT = 4096


def a_head(length: int = 0, json_length: int = -1, encoding: str = "") -> Head:
    return Head("POST", "/", "localhost", True, length, json_length, encoding, False)


def pour(arriving: Arriving, data: bytes, step: int) -> bytes:
    """Hands `data` over in pieces, and gives back what was not read."""
    while data and (room := arriving.room()):
        count = min(len(room), step, len(data))
        room[:count] = data[:count]
        arriving.filled(count)
        data = data[count:]
    return data


@given(st.binary(max_size=200), st.integers(1, 50), st.integers(0, 200))
def test_a_body_of_known_length_is_what_was_sent(data, step, json_length):
    arriving = Sized(a_head(len(data), min(json_length, len(data))))
    assert pour(arriving, data + b"NEXT", step) == b"NEXT"
    assert not arriving.room()
    assert bytes(arriving.take()[0]) == data


@given(st.lists(st.binary(min_size=1, max_size=80), max_size=8), st.integers(1, 60), st.booleans())
def test_chunks_are_put_together(chunks, step, extended):
    sent = b"".join(b"%x%s\r\n%s\r\n" % (len(one), b";a=b" if extended else b"", one) for one in chunks)
    arriving = Chunked(LIMIT)
    left = pour(arriving, sent + b"0\r\nTrailer: x\r\n\r\nNEXT", step)
    data, behind = arriving.take()
    assert not arriving.room()
    assert data == b"".join(chunks)
    assert behind + left == b"NEXT"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"x\r\n", 400),
        (b"-1\r\n", 400),
        (b"\r\n", 400),
        (b"0x5\r\n", 400),
        (b"1_0\r\n", 400),
        (b"3\r\nabcd\r\n", 400),
        (b"1" * 300, 400),
        (b"fffffffffffffffff\r\n", 400),
        (b"1001\r\n", 413),
        (b"800\r\n" + b"x" * 2048 + b"\r\n801\r\n", 413),
    ],
)
def test_chunks_that_make_no_sense_are_refused(sent, status):
    with pytest.raises(Refused) as refused:
        pour(Chunked(LIMIT), sent, 7)
    assert refused.value.status == status
    assert refused.value.closes


@given(st.binary(max_size=400), st.integers(1, 40))
def test_no_chunks_do_more_than_be_refused(sent, step):
    arriving = Chunked(LIMIT)
    try:
        pour(arriving, sent, step)
    except Refused:
        return
    assert len(arriving.take()[0]) <= LIMIT


def test_the_tensors_of_a_large_body_begin_at_an_aligned_address():
    import numpy as np

    for json_length in range(1, 40):
        head = a_head(json_length + 64, json_length)
        arriving = Sized(head)
        pour(arriving, bytes(json_length + 64), 100)
        body = split(head, arriving.take()[0], LIMIT)
        assert body.binary is not None
        assert np.frombuffer(body.binary, "<f8").flags.aligned


def test_without_binary_tensors_all_is_json():
    body = split(a_head(2), b"{}", LIMIT)
    assert (body.json, body.binary) == (b"{}", None)


@pytest.mark.parametrize("json_length", [-1, JSON_MAX_BYTES + 1])
def test_json_that_would_take_too_much_memory_is_refused(json_length):
    with pytest.raises(Refused, match="binary") as refused:
        split(a_head(0, json_length), bytes(JSON_MAX_BYTES + 1), 1 << 30)
    assert refused.value.status == 413


def test_a_header_that_is_longer_than_the_body_is_refused():
    with pytest.raises(Refused, match="has 2 bytes") as refused:
        split(a_head(2, 3), b"{}", LIMIT)
    assert not refused.value.closes


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_packed_body_is_unpacked_before_its_lengths_count(encoding, pack):
    body = split(a_head(0, 2, encoding), pack(b"{}tensor"), LIMIT)
    assert (body.json, body.binary) == (b"{}", b"tensor")


@pytest.mark.parametrize(
    ("packed", "status"),
    [
        (b"no gzip", 400),
        (gzip.compress(b"x", mtime=0)[:-3], 400),
        (gzip.compress(b"x", mtime=0) + b"y", 400),
        (gzip.compress(bytes(LIMIT + 1)), 413),
        (gzip.compress(bytes(1 << 24)), 413),
    ],
    ids=["no gzip", "cut short", "more behind it", "too large", "far too large"],
)
def test_what_cannot_be_unpacked_is_refused(packed, status):
    with pytest.raises(Refused) as refused:
        split(a_head(0, -1, "gzip"), packed, LIMIT)
    assert refused.value.status == status
