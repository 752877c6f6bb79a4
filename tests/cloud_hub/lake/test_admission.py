"""What may come in: decodable, from the device that it claims, with numbers that every store can hold."""

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.lake.admission import TelemetryWrong, admit
from cloud_hub.lake.rows import Origin, Row
from cloud_hub.lake.samples import sample_rows
from cloud_hub.lake.schema import rows_table
from fleet_contract.errors import ContractError, DeviceWrong, Undecodable
from fleet_contract.telemetry import Batch, Event, Lane, Sample, Window, encode_batch
from fleet_contract.topics import Address, Channel
from tests.fakes.lake import NOW, sample, window

ADDRESS = Address("default", "gateway-1")


def sent(*windows: Window, device: str = "gateway-1", boot: str = "b0", after: int = 0) -> bytes:
    return encode_batch(Batch(device, boot, after, windows))


def test_an_honest_batch_comes_in_as_it_was_sent() -> None:
    batch = Batch("gateway-1", "b0", 4, (window(5), window(7)))
    assert admit(ADDRESS, encode_batch(batch)) == batch


def test_an_empty_batch_comes_in() -> None:
    assert admit(ADDRESS, sent()).windows == ()


@pytest.mark.parametrize("rubbish", [b"", b"hello", zstandard.compress(b"hello"), zstandard.compress(b"\x81\xa1a\x01")])
def test_what_is_no_batch_is_undecodable(rubbish: bytes) -> None:
    with pytest.raises(Undecodable):
        admit(ADDRESS, rubbish)


def test_another_devices_batch_is_refused() -> None:
    with pytest.raises(DeviceWrong, match="claims to be gateway-2's"):
        admit(ADDRESS, sent(window(1), device="gateway-2"))


@pytest.mark.parametrize("boot", ["", "a/b", "a b", "x" * 65, "ä"])
def test_a_boot_with_a_name_that_the_log_cannot_hold_is_refused(boot: str) -> None:
    with pytest.raises(TelemetryWrong, match="boot"):
        admit(ADDRESS, sent(window(1), boot=boot))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("model", "Not A Name", "model name"),
        ("digest", "md5:1234", "an artifact 'md5:1234'"),
        ("version", 0, "version 0"),
        ("ended_at_ms", 0, "times from"),
        ("ended_at_ms", 2**50, "times from"),
        ("predictions", {str(number): 1 for number in range(4097)}, "4097 labels"),
        ("slot", "elsewhere", "the slot 'elsewhere'"),
        ("agreed", 1, "1 records that agreed of 0 compared"),
        ("correct", 1, "1 right records of 0 labelled"),
        ("labelled", 11, "0 right records of 11 labelled of 10"),
        ("temperature_c", 1e9, "<= 2000"),
    ],
)
def test_a_window_that_cannot_be_is_refused(field: str, value: object, said: str) -> None:
    with pytest.raises(ContractError, match=said):
        admit(ADDRESS, sent(window(**{"sequence": 1, field: value})))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sequence", 2**63),
        ("version", 2**31),
        ("started_at_ms", -1),
        ("count", -1),
        ("errors", 2**63),
        ("latency", {2**31: 1}),
        ("predictions", {"7": 2**41}),
        ("confidence", (1, -1)),
        ("features", {"x" * 257: (1,)}),
        ("error_codes", {"\x00": 1}),
    ],
)
def test_numbers_and_names_that_no_store_can_hold_are_undecodable(field: str, value: object) -> None:
    with pytest.raises(Undecodable):
        admit(ADDRESS, sent(window(**{"sequence": 1, field: value})))


EVENT = Event(1, 0, "started", "started", "Agent 0.1.0 started.")
OF_EACH_LANE = {
    Lane.WINDOWS: Batch("gateway-1", "b0", 0, (window(1),)),
    Lane.EVENTS: Batch("gateway-1", "b0", 0, events=(EVENT,), lane=Lane.EVENTS),
    Lane.SAMPLES: Batch("gateway-1", "b0", 0, samples=(sample(1),), lane=Lane.SAMPLES),
}
OWN = {Lane.WINDOWS: Channel.TELEMETRY, Lane.EVENTS: Channel.TELEMETRY, Lane.SAMPLES: Channel.SAMPLES}


@pytest.mark.parametrize("channel", [Channel.TELEMETRY, Channel.SAMPLES])
@pytest.mark.parametrize("lane", Lane)
def test_a_batch_comes_in_on_the_channel_of_its_lane_and_on_no_other(lane: Lane, channel: Channel) -> None:
    payload = encode_batch(OF_EACH_LANE[lane])
    if channel is OWN[lane]:
        assert admit(ADDRESS, payload, channel) == OF_EACH_LANE[lane]
    else:
        with pytest.raises(TelemetryWrong, match=f"a batch of {lane} on {channel}"):
            admit(ADDRESS, payload, channel)


def kept(one: Sample) -> bytes:
    return encode_batch(Batch("gateway-1", "b0", 0, samples=(one,), lane=Lane.SAMPLES))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("model", "Not A Name", "model name"),
        ("digest", "ab" * 32, "samples of an artifact 'ab"),
        ("version", 0, "version 0"),
        ("reason", "", "no reason"),
        ("capture", "", "the capture ''"),
        ("capture", "sha256:" + "ab" * 32, "the capture 'sha256:"),
        ("capture", "../../etc/passwd", "the capture '../"),
        ("at_ms", 2**50, "the time 1125899906842624 ms"),
        ("confidence", 1.5, "<= 1.0"),
        ("margin", -1.0, ">= 0.0"),
    ],
)
def test_a_sample_that_cannot_be_is_refused(field: str, value: object, said: str) -> None:
    with pytest.raises(ContractError, match=said):
        admit(ADDRESS, kept(sample(**{"sequence": 1, field: value})), Channel.SAMPLES)


counts = st.integers(0, 100) | st.sampled_from([2**31 - 1, 2**31, -1])
texts = st.text(max_size=8)
windows = st.builds(
    Window,
    sequence=st.integers(1, 9) | st.sampled_from([2**53 - 1, 2**53, 2**63]),
    model=st.sampled_from(["digits", "Ä"]),
    version=st.sampled_from([1, 0, 2**31 - 1, 2**31]),
    digest=st.just("sha256:" + "0" * 64),
    started_at_ms=st.sampled_from([0, 253_370_764_800_000, 2**53]),
    ended_at_ms=st.sampled_from([253_370_764_800_000, 2**53]),
    count=counts,
    errors=counts,
    latency=st.dictionaries(counts, counts, max_size=3),
    predictions=st.dictionaries(texts, counts, max_size=3),
    confidence=st.lists(counts, max_size=3).map(tuple),
    features=st.dictionaries(texts, st.lists(counts, max_size=3).map(tuple), max_size=2),
    error_codes=st.dictionaries(texts, counts, max_size=2),
)


@given(windows)
def test_all_that_comes_in_can_be_written(one: Window) -> None:
    try:
        batch = admit(ADDRESS, sent(one))
    except ContractError:
        return
    table = rows_table([Row("default", "gateway-1", batch.boot, Origin(), batch.windows[0])], NOW)
    assert table.column("sequence").to_pylist() == [one.sequence]
    assert msgspec.json.encode(one.predictions)


samples = st.builds(
    Sample,
    sequence=st.integers(1, 9) | st.sampled_from([2**53 - 1, 2**53]),
    at_ms=st.sampled_from([0, 253_370_764_800_000, 2**53]),
    model=st.sampled_from(["digits", "Ä"]),
    version=st.sampled_from([1, 0, 2**31 - 1, 2**31]),
    digest=st.just("sha256:" + "0" * 64),
    reason=texts,
    capture=st.just("ab" * 32) | texts,
    size_bytes=counts | st.sampled_from([2**53 - 1, 2**53]),
    label=texts,
    confidence=st.floats(-0.1, 1.1) | st.just(float("nan")),
    margin=st.floats(0, 1),
    beside=texts,
    beside_version=counts,
)


@given(samples)
def test_all_samples_that_come_in_can_be_written(one: Sample) -> None:
    try:
        batch = admit(ADDRESS, kept(one), Channel.SAMPLES)
    except ContractError:
        return
    (row,) = sample_rows([Row("default", "gateway-1", batch.boot, Origin(), batch.samples[0])], NOW).to_pylist()
    assert (row["sequence"], row["size_bytes"], row["capture"]) == (one.sequence, one.size_bytes, one.capture)
    assert (row["confidence"] is None) == (one.label == "")
