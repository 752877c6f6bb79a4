"""Batches: what is sent arrives, and nothing that a broken or hostile device sends brings out another error."""

from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from fleet_contract.bounds import plain
from fleet_contract.errors import ContractError, Undecodable
from fleet_contract.histogram import MAX_LATENCY_BUCKET
from fleet_contract.telemetry import (
    MAX_UNPACKED_BYTES,
    Batch,
    Event,
    Lane,
    Sample,
    Window,
    channel_of,
    check_record,
    decode_batch,
    encode_batch,
)
from fleet_contract.topics import Channel
from tests.fleet_contract.messages import BATCH, repacked, unpacked
from tests.fleet_contract.messages import SAMPLES as SAMPLES_BATCH

COUNTS = st.integers(0, 2**31 - 1)
NUMBERS = st.integers(0, 2**53 - 1)
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)
WINDOWS = st.builds(
    Window,
    sequence=st.just(0),
    model=NAMES,
    version=COUNTS,
    digest=NAMES,
    started_at_ms=NUMBERS,
    ended_at_ms=NUMBERS,
    count=COUNTS,
    errors=COUNTS,
    latency=st.dictionaries(st.integers(0, MAX_LATENCY_BUCKET), COUNTS, max_size=4),
    predictions=st.dictionaries(NAMES, COUNTS, max_size=4),
    confidence=st.lists(COUNTS, max_size=4).map(tuple),
    features=st.dictionaries(NAMES, st.lists(COUNTS, max_size=3).map(tuple), max_size=3),
    error_codes=st.dictionaries(NAMES, COUNTS, max_size=3),
)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """Any batch that keeps the contract."""
    windows = draw(st.lists(WINDOWS, max_size=5))
    numbers = sorted(draw(st.sets(NUMBERS, min_size=len(windows) + 1, max_size=len(windows) + 1)))
    numbered = (msgspec.structs.replace(one, sequence=number) for one, number in zip(windows, numbers[1:], strict=True))
    return Batch(draw(NAMES), draw(NAMES), numbers[0], tuple(numbered))


@given(batches())
def test_what_is_sent_arrives(batch: Batch) -> None:
    assert decode_batch(encode_batch(batch)) == batch


EVENTS = st.builds(
    Event,
    sequence=st.just(0),
    at_ms=NUMBERS,
    kind=NAMES,
    code=NAMES,
    sentence=NAMES,
    model=NAMES,
    version=COUNTS,
)


@given(st.lists(EVENTS, max_size=5))
def test_events_arrive_as_they_were_sent(events: list[Event]) -> None:
    numbered = tuple(msgspec.structs.replace(one, sequence=number) for number, one in enumerate(events, 1))
    batch = Batch("gw-1", "b", 0, events=numbered, lane=Lane.EVENTS)
    assert decode_batch(encode_batch(batch)) == batch


SHARES = st.floats(0, 1)
SAMPLES = st.builds(
    Sample,
    sequence=st.just(0),
    at_ms=NUMBERS,
    model=NAMES,
    version=COUNTS,
    digest=NAMES,
    reason=NAMES,
    capture=NAMES,
    size_bytes=NUMBERS,
    label=NAMES,
    confidence=SHARES,
    margin=SHARES,
    beside=NAMES,
    beside_version=COUNTS,
)


@given(st.lists(SAMPLES, max_size=5))
def test_samples_arrive_as_they_were_sent(samples: list[Sample]) -> None:
    numbered = tuple(msgspec.structs.replace(one, sequence=number) for number, one in enumerate(samples, 1))
    batch = Batch("gw-1", "b", 0, samples=numbered, lane=Lane.SAMPLES)
    assert decode_batch(encode_batch(batch)) == batch
    assert batch.records == numbered


def test_a_batch_of_windows_is_written_as_before_there_were_lanes() -> None:
    assert "lane" not in unpacked(encode_batch(BATCH))


@given(st.text(max_size=2000) | st.just("a file named \udcff"))
def test_whatever_a_reason_says_can_be_carried_by_an_event(text: str) -> None:
    event = Event(1, 0, "trouble", "code", plain(text))
    batch = Batch("gw-1", "b", 0, events=(event,), lane=Lane.EVENTS)
    assert decode_batch(encode_batch(batch)).events == (event,)


@given(WINDOWS)
def test_a_record_that_keeps_the_contract_passes_the_check(window: Window) -> None:
    check_record(Lane.WINDOWS, msgspec.msgpack.encode(window))


@pytest.mark.parametrize(
    "wrong",
    [
        {"predictions": {"nul\0": 1}},
        {"error_codes": {"x" * 300: 1}},
        {"model": "a\nb"},
        {"count": -1},
        {"version": 2**31},
    ],
)
def test_a_record_that_no_batch_could_hold_does_not(wrong: dict[str, Any]) -> None:
    window = msgspec.structs.replace(BATCH.windows[0], **wrong)
    with pytest.raises(Undecodable):
        check_record(Lane.WINDOWS, msgspec.msgpack.encode(window))
    with pytest.raises(Undecodable):
        decode_batch(encode_batch(Batch("gw-1", "b", 0, (window,))))


@given(SAMPLES)
def test_a_sample_that_keeps_the_contract_passes_the_check(sample: Sample) -> None:
    check_record(Lane.SAMPLES, msgspec.msgpack.encode(sample))


@pytest.mark.parametrize(
    "wrong",
    [
        {"label": "nul\0"},
        {"beside": "a\nb"},
        {"capture": "x" * 300},
        {"reason": "\x7f"},
        {"confidence": 1.01},
        {"confidence": float("nan")},
        {"margin": -0.01},
        {"margin": float("inf")},
        {"size_bytes": -1},
        {"size_bytes": 2**53},
        {"beside_version": 2**31},
    ],
)
def test_a_sample_that_no_batch_could_hold_does_not(wrong: dict[str, Any]) -> None:
    sample = msgspec.structs.replace(SAMPLES_BATCH.samples[0], **wrong)
    with pytest.raises(Undecodable):
        check_record(Lane.SAMPLES, msgspec.msgpack.encode(sample))
    with pytest.raises(Undecodable):
        decode_batch(encode_batch(Batch("gw-1", "b", 0, samples=(sample,), lane=Lane.SAMPLES)))


def test_samples_go_over_a_channel_of_their_own() -> None:
    assert {lane: channel_of(lane) for lane in Lane} == {
        Lane.WINDOWS: Channel.TELEMETRY,
        Lane.EVENTS: Channel.TELEMETRY,
        Lane.SAMPLES: Channel.SAMPLES,
    }


def changed(**columns: Any) -> bytes:
    opened = unpacked(encode_batch(BATCH))
    for name, values in columns.items():
        target = opened if name in ("device", "boot", "after", "rows", "columns", "lane") else opened["columns"]
        target[name] = values
    return repacked(opened)


def without(column: str) -> bytes:
    opened = unpacked(encode_batch(BATCH))
    del opened["columns"][column]
    return repacked(opened)


def streamed(data: bytes) -> bytes:
    """Compressed as a stream: the frame does not say how much it holds."""
    compressor = zstandard.ZstdCompressor(level=19).compressobj()
    return compressor.compress(data) + compressor.flush()


def bomb(claimed: bool) -> bytes:
    data = bytes(4 * MAX_UNPACKED_BYTES)
    return zstandard.ZstdCompressor().compress(data) if claimed else streamed(data)


def deep(size: int) -> msgspec.Raw:
    return msgspec.Raw(b"\x91" * size + b"\x90")


HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "text": b"temperature=21",
    "JSON": b'{"device":"a"}',
    "MessagePack, not compressed": zstandard.ZstdDecompressor().decompress(encode_batch(BATCH)),
    "a frame cut short": encode_batch(BATCH)[:-5],
    "a bomb that says so": bomb(claimed=True),
    "a bomb that does not": bomb(claimed=False),
    "an empty frame": zstandard.ZstdCompressor().compress(b""),
    "a number": repacked(7),
    "a list": repacked([BATCH.device, BATCH.boot, 0, {}, 0]),
    "an envelope without columns": repacked({"device": "a", "boot": "b", "after": 0, "rows": 0}),
    "no columns": changed(columns={}),
    "arrays 100,000 deep": repacked(deep(100_000)),
    "a column 100,000 deep": changed(count=deep(100_000)),
    "an unknown column 100,000 deep": changed(surprise=deep(100_000)),
    "fewer rows than it says": changed(rows=3),
    "more rows than it says": changed(rows=1),
    "rows below none": changed(rows=-1),
    "a billion rows": changed(rows=10**9),
    "one column shorter": changed(count=[300]),
    "one column longer": changed(count=[300, 0, 0]),
    "a column that is no list": changed(count=300),
    "text for a number": changed(count=["300", "0"]),
    "a fraction for a count": changed(count=[300.5, 0]),
    "NaN for a count": changed(count=[float("nan"), 0]),
    "infinity for a count": changed(count=[float("inf"), 0]),
    "nil for a count": changed(count=[None, 0]),
    "a count below none": changed(count=[-1, 0]),
    "a count beyond its bound": changed(count=[2**31, 0]),
    "a count beyond 64 bits signed": changed(errors=[2**64 - 1, 0]),
    "a time beyond what JSON carries": changed(started_at_ms=[2**53, 0]),
    "a latency bucket that would overflow": changed(latency=[{MAX_LATENCY_BUCKET + 1: 1}, {}]),
    "a latency bucket below none": changed(latency=[{-1: 1}, {}]),
    "a prediction counted below none": changed(predictions=[{"0": -5}, {}]),
    "a feature counted below none": changed(features=[{"pixels.mean": [-5]}, {}]),
    "a confidence counted below none": changed(confidence=[[-5], []]),
    "a list for a histogram": changed(predictions=[["0", 5], {}]),
    "NUL in a label": changed(predictions=[{"a\0b": 5}, {}]),
    "NUL in an error code": changed(error_codes=[{"a\0b": 5}, {}]),
    "NUL in a feature": changed(features=[{"a\0b": [5]}, {}]),
    "NUL in a model": changed(model=["digits\0", "digits"]),
    "a new line in a digest": changed(digest=["sha256:\n", "x"]),
    "NUL in the boot": changed(boot="\0"),
    "a lane that nobody knows": changed(lane="gossip"),
    "the columns of another lane": changed(lane="events"),
    "the columns of windows for samples": changed(lane="samples"),
    "a lane that is a number": changed(lane=7),
    "a boot of a megabyte": changed(boot="b" * 1_000_000),
    "a label of a megabyte": changed(predictions=[{"l" * 1_000_000: 5}, {}]),
    "a sequence twice": changed(sequence=[12, 12]),
    "sequences that fall": changed(sequence=[14, 12]),
    "a sequence that it follows itself": changed(sequence=[11, 14]),
    "a sequence below none": changed(after=-2, sequence=[-1, 14]),
    "a sequence beyond its bound": changed(sequence=[12, 2**53]),
    "bytes that are no UTF-8": zstandard.ZstdCompressor().compress(
        zstandard.ZstdDecompressor().decompress(encode_batch(BATCH)).replace(b"digits", b"digi\xff\xff")
    ),
    **{f"no column {name}": without(name) for name in ("sequence", "model", "latency", "confidence")},
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_message_is_undecodable_and_says_why(what: str) -> None:
    with pytest.raises(Undecodable) as refused:
        decode_batch(HOSTILE[what])
    assert refused.value.code == "undecodable"
    assert refused.value.what.endswith(".")


def test_what_was_streamed_in_one_piece_is_taken() -> None:
    whole = zstandard.ZstdDecompressor().decompress(encode_batch(BATCH))
    assert zstandard.frame_content_size(streamed(whole)) == -1
    assert decode_batch(streamed(whole)) == BATCH


def test_a_batch_of_no_windows_is_a_batch() -> None:
    empty = Batch("gw-1", "b", 7, ())
    assert decode_batch(encode_batch(empty)) == empty


@given(st.data())
def test_a_flipped_bit_brings_out_no_other_error(data: st.DataObject) -> None:
    message = bytearray(encode_batch(BATCH))
    bit = data.draw(st.integers(0, len(message) * 8 - 1))
    message[bit // 8] ^= 1 << bit % 8
    taken_or_refused(bytes(message))


@given(st.data())
def test_a_bit_flipped_before_compression_brings_out_no_other_error(data: st.DataObject) -> None:
    packed = bytearray(zstandard.ZstdDecompressor().decompress(encode_batch(BATCH)))
    for _ in range(data.draw(st.integers(1, 3))):
        bit = data.draw(st.integers(0, len(packed) * 8 - 1))
        packed[bit // 8] ^= 1 << bit % 8
    taken_or_refused(zstandard.ZstdCompressor().compress(bytes(packed)))


PLAIN = st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5) | st.binary(max_size=5)
KEYS = st.text(max_size=5) | st.integers(0, 9)
ANYTHING = st.recursive(
    st.none() | st.booleans() | PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
COLUMNS = st.sampled_from([field.name for field in msgspec.structs.fields(Window)])


@given(COLUMNS, ANYTHING | st.lists(ANYTHING, min_size=2, max_size=2))
def test_a_column_of_anything_brings_out_no_other_error(column: str, values: Any) -> None:
    taken_or_refused(changed(**{column: values}))


@given(st.binary(max_size=200))
def test_garbage_is_undecodable(garbage: bytes) -> None:
    for data in (garbage, zstandard.ZstdCompressor().compress(garbage)):
        with pytest.raises(Undecodable):
            decode_batch(data)


def taken_or_refused(data: bytes) -> None:
    """A message may survive, but then it can be stored, added up and sent on."""
    try:
        batch = decode_batch(data)
    except ContractError:
        return
    assert decode_batch(encode_batch(batch)) == batch
    for window in batch.windows:
        assert 0 <= window.count < 2**31
        assert all(0 <= bucket <= MAX_LATENCY_BUCKET for bucket in window.latency)
        assert all(0 <= count < 2**31 for count in (*window.confidence, *window.predictions.values()))
        assert "\0" not in window.model + window.digest + "".join(window.predictions) + batch.boot + batch.device
