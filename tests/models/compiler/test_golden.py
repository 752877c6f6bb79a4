"""Golden sets: packed the same each time, read from anybody, and compared without mercy for what is no number."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fleet_contract.manifest import Tensor
from models.compiler import golden
from models.compiler.golden import Closeness, check_fits, closeness, pack, texts, unpack
from models.compiler.session import Model
from models.errors import ArtifactUnfit
from tests.fakes.tiny_models import an_echo

WORDS = np.array([["a", "über"], ["b", ""]])
SCORES = arrays.arrays(np.float32, (5, 3), elements=st.floats(-100, 100, width=32))


@given(SCORES, SCORES)
def test_what_is_packed_is_unpacked_and_equal_arrays_give_equal_bytes(x: np.ndarray, y: np.ndarray) -> None:
    packed = pack({"x": x}, {"y": y})
    assert packed == pack({"x": x.copy()}, {"y": y.copy()})
    inputs, outputs = unpack(packed)
    assert np.array_equal(inputs["x"], x)
    assert np.array_equal(outputs["y"], y)


@given(SCORES)
def test_a_model_that_answers_as_its_source_is_as_close_as_can_be(scores: np.ndarray) -> None:
    assert closeness({"y": scores}, {"y": scores}, "y") == Closeness(1.0, 0.0)


@given(SCORES, SCORES)
def test_closeness_is_a_share_and_an_error_that_no_sample_exceeds(a: np.ndarray, b: np.ndarray) -> None:
    close = closeness({"y": a}, {"y": b}, "y")
    assert 0 <= close.agreement <= 1
    worst = np.abs(a.astype(np.float64) - b).mean(1).max()
    assert close.max_abs_error == pytest.approx(worst)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_answer_that_is_no_number_is_infinitely_far_off(value: float) -> None:
    expected, got = np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32)
    got[1, 2] = value
    assert closeness({"y": expected}, {"y": got}, "y").max_abs_error == np.inf


def test_the_error_of_any_output_counts_and_the_label_comes_from_the_first() -> None:
    first, second = np.eye(3, dtype=np.float32), np.zeros((3, 1), np.float32)
    close = closeness({"a": first, "b": second}, {"a": first, "b": second + 2}, "a")
    assert close == Closeness(1.0, 2.0)


def npz(**named: object) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{name.replace("__", "/"): value for name, value in named.items()})
    return buffer.getvalue()


ROWS = np.zeros((2, 3), np.float32)
BAD = {
    "nothing": b"",
    "not a zip": b"<!DOCTYPE html>",
    "cut short": npz(inputs__x=ROWS, outputs__y=ROWS)[:-30],
    "no outputs": npz(inputs__x=ROWS),
    "no inputs": npz(outputs__y=ROWS),
    "a scalar": npz(inputs__x=np.float32(1), outputs__y=ROWS),
    "rows that differ": npz(inputs__x=ROWS, outputs__y=ROWS[:1]),
    "no rows": npz(inputs__x=ROWS[:0], outputs__y=ROWS[:0]),
    "pickled objects": npz(inputs__x=np.array([{"a": 1}], dtype=object), outputs__y=ROWS),
}


@pytest.mark.parametrize("why", BAD)
def test_a_damaged_golden_set_is_refused_in_one_way(why: str) -> None:
    with pytest.raises(ArtifactUnfit) as refused:
        unpack(BAD[why])
    assert refused.value.code == "golden-set-unreadable"


def test_a_golden_set_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(golden, "MAX_UNPACKED_BYTES", 1000)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inputs/x.npy", bytes(100_000))
    with pytest.raises(ArtifactUnfit, match="unpacks to 100000 bytes"):
        unpack(buffer.getvalue())


@given(st.binary(max_size=200), st.integers(0, 500), st.integers(1, 8))
def test_no_damage_brings_out_another_error(garbage: bytes, at: int, times: int) -> None:
    good = bytearray(npz(inputs__x=ROWS, outputs__y=ROWS))
    at %= len(good)
    for data in (garbage, bytes(good[:at] + garbage * times + good[at:]), bytes(good[:at])):
        try:
            unpack(data)
        except ArtifactUnfit as error:
            assert error.code == "golden-set-unreadable"


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({}, "x is missing"),
        ({"x": ROWS, "z": ROWS}, "z is unknown"),
        ({"x": ROWS.astype(np.float64)}, "x is float64 [2, 3] and must be FP32 [-1, 3]"),
        ({"x": ROWS[:, :2]}, "x is float32 [2, 2] and must be FP32 [-1, 3]"),
        ({"x": ROWS[0]}, "x is float32 [3] and must be FP32 [-1, 3]"),
    ],
)
def test_arrays_that_are_not_those_of_the_signature_are_named(arrays: dict[str, np.ndarray], says: str) -> None:
    with pytest.raises(ArtifactUnfit) as refused:
        check_fits("inputs", arrays, (Tensor("x", "FP32", (-1, 3)),))
    assert says in refused.value.what
    check_fits("inputs", {"x": ROWS}, (Tensor("x", "FP32", (-1, 3)),))


@pytest.mark.parametrize("kind", ["S", "U"])
def test_strings_are_the_same_or_infinitely_far_off(kind: str) -> None:
    expected = np.char.encode(np.array([["a", "über"], ["b", ""]])).astype("S") if kind == "S" else WORDS
    check_fits("outputs", {"y": expected}, (Tensor("y", "BYTES", (-1, 2)),))
    given = WORDS.astype(object)
    assert closeness({"y": expected}, {"y": given}, "y") == Closeness(1.0, 0.0)
    given[1, 0] = "c"
    assert closeness({"y": expected}, {"y": given}, "y") == Closeness(0.5, float("inf"))


def test_numbers_are_no_strings_and_strings_no_numbers() -> None:
    with pytest.raises(ArtifactUnfit):
        check_fits("inputs", {"x": np.zeros((2, 2), np.float32)}, (Tensor("x", "BYTES", (-1, 2)),))
    with pytest.raises(ArtifactUnfit):
        check_fits("inputs", {"x": WORDS}, (Tensor("x", "FP32", (-1, 2)),))


def test_a_golden_set_holds_whole_batches_of_a_model_that_takes_so_many_at_a_time() -> None:
    tensors = (Tensor("x", "FP32", (2, 4)),)
    check_fits("inputs", {"x": np.zeros((6, 4), np.float32)}, tensors)
    with pytest.raises(ArtifactUnfit):
        check_fits("inputs", {"x": np.zeros((5, 4), np.float32)}, tensors)


def test_a_string_that_is_not_utf_8_is_named() -> None:
    with pytest.raises(ArtifactUnfit, match="UTF-8"):
        texts(np.array([b"\xff"]))


@pytest.mark.parametrize("kind", ["S", "U"])
def test_a_model_reads_each_string_to_its_end_and_no_further(kind: str) -> None:
    words = np.array([b"abc", b"de"]).reshape(1, 2) if kind == "S" else np.array([["abc", "de"]])
    model = Model(an_echo("BYTES"))
    assert model.run({"x": words})["y"].tolist() == [["abc", "de"]]
    assert model.latency_us({"x": words}, runs=1) > 0
