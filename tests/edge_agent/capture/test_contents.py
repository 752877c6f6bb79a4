"""What is in a capture's file."""

import io
import json
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge_agent.capture import contents
from edge_agent.capture.contents import RecordTooLarge, arrays, encode
from edge_agent.capture.files import estimate_bytes
from edge_agent.capture.listing import CaptureDamaged, read_about
from edge_agent.runtimes.session import Array
from tests.edge_agent.capture.records import an_about, noise

SHADOWED = an_about(beside="4", beside_version=4)


def strings(*values: bytes | str) -> Array:
    array = np.empty((1, len(values)), dtype=object)
    array[0, :] = values
    return array


@pytest.mark.parametrize(
    "array",
    [
        np.arange(64, dtype=np.float32).reshape(1, 64),
        np.zeros((1, 3, 4, 4), dtype=np.float16),
        np.array([[True, False]]),
        np.array([[1 << 40]]),
        np.zeros((1, 0), dtype=np.int8),
        np.float64(2.5) * np.ones(()),
        # A row of something larger, and one whose columns come first.
        np.arange(640, dtype=np.uint8).reshape(10, 64)[3:4],
        np.asfortranarray(np.arange(12, dtype=np.float32).reshape(1, 3, 4)),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_numpy_loads_what_was_captured(array: Array) -> None:
    with np.load(io.BytesIO(encode(an_about(), {"pixels": array})), allow_pickle=False) as archive:
        loaded = archive["inputs/pixels"]
        assert loaded.dtype == array.dtype
        assert loaded.shape == array.shape
        assert np.array_equal(loaded, array)


def test_what_is_known_of_it_is_json_beside_its_inputs(tmp_path: Path) -> None:
    data = encode(SHADOWED, noise())
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        assert json.loads(archive["about.json"]) == msgspec.to_builtins(SHADOWED)
    (tmp_path / "file").write_bytes(data)
    assert read_about(tmp_path / "file") == SHADOWED


def test_strings_are_kept_as_a_golden_set_has_them() -> None:
    inputs = {"text": strings(b"caf\xc3\xa9", "größer", b"\xff\x00\x01", b"")}
    kept = arrays(encode(an_about(), inputs))["text"]
    assert kept.dtype.kind == "S"
    assert kept.tolist() == [[b"caf\xc3\xa9", "größer".encode(), b"\xff\x00\x01", b""]]
    assert arrays(encode(an_about(), {"text": strings(b"")}))["text"].tolist() == [[b""]]


def test_the_same_record_gives_the_same_file() -> None:
    # Whenever it is made: an archive would have the time, too.
    with zipfile.ZipFile(io.BytesIO(encode(an_about(), noise()))) as archive:
        assert {one.date_time[0] for one in archive.infolist()} == {1980}
    assert encode(an_about(), noise()) == encode(an_about(), noise())
    assert encode(an_about(), noise()) != encode(an_about(at_ms=1), noise())


def test_pictures_take_less_than_they_have() -> None:
    picture = {"image": np.tile(np.linspace(0, 1, 64, dtype=np.float32), (1, 3, 64, 1))}
    assert len(encode(an_about(), picture)) < picture["image"].nbytes / 2


@pytest.mark.parametrize("size_bytes", [1, 256, 100_000])
def test_a_capture_takes_no_more_than_was_estimated(size_bytes: int) -> None:
    assert len(encode(SHADOWED, noise(size_bytes))) <= estimate_bytes(noise(size_bytes))


def test_a_record_that_is_too_large_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "MAX_UNPACKED_BYTES", 1000)
    encode(an_about(), noise(1000))
    with pytest.raises(RecordTooLarge):
        encode(an_about(), noise(1001))
    # All as long as the longest.
    with pytest.raises(RecordTooLarge):
        encode(an_about(), {"text": strings(b"x" * 101, *[b""] * 9)})


@pytest.mark.parametrize("cut", ["short", "empty", "other", "bits"])
def test_a_damaged_file_is_told_from_a_whole_one(tmp_path: Path, cut: str) -> None:
    data = encode(an_about(), noise())
    at = data.index(b"about.json") + 12
    damaged = {
        "short": data[:-10],
        "empty": b"",
        "other": b"PK\x03\x04" + b"x" * 500,
        "bits": data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :],
    }
    (tmp_path / "file").write_bytes(damaged[cut])
    with pytest.raises(CaptureDamaged):
        read_about(tmp_path / "file")
