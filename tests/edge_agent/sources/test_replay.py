"""A replay gives every row once a round, in an order that its seed fixes, or says what is wrong with its file."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from edge_agent.errors import SourceWrong
from edge_agent.sources.replay import ReplaySource
from fleet_contract.manifest import Tensor
from tests.fakes.releases import a_manifest


def file_of(folder: Path, **arrays: np.ndarray) -> Path:
    path = folder / "replay.npz"
    np.savez(path, **{f"inputs/{name}": array for name, array in arrays.items()})
    return path


def rows(path: Path, seed: int, count: int) -> list[float]:
    records = ReplaySource("digits", path, 10, seed).records(a_manifest())
    return [float(record.inputs["image"][0, 0]) for record in islice(records, count)]


def test_each_round_gives_every_row_once_in_another_order(tmp_path):
    path = file_of(tmp_path, image=np.arange(80, dtype=np.float32).reshape(20, 4))
    seen = rows(path, 1, 40)
    assert sorted(seen[:20]) == sorted(seen[20:]) == [row * 4.0 for row in range(20)]
    assert seen[:20] != seen[20:]


def test_the_same_seed_gives_the_same_order_and_another_seed_another(tmp_path):
    path = file_of(tmp_path, image=np.arange(80, dtype=np.float32).reshape(20, 4))
    assert rows(path, 1, 30) == rows(path, 1, 30)
    assert rows(path, 1, 30) != rows(path, 2, 30)


def test_a_record_is_one_row_of_each_input_together(tmp_path):
    path = file_of(
        tmp_path, image=np.arange(8, dtype=np.float32).reshape(2, 4), place=np.arange(2, dtype=np.int64).reshape(2, 1)
    )
    manifest = a_manifest(inputs=(Tensor("image", "FP32", (-1, 4)), Tensor("place", "INT64", (1, 1))))
    for record in islice(ReplaySource("digits", path, 10, 0).records(manifest), 6):
        assert record.inputs["image"].shape == (1, 4)
        assert record.inputs["image"][0, 0] == record.inputs["place"][0, 0] * 4


TWENTY = np.arange(80, dtype=np.float32).reshape(20, 4)


@pytest.mark.parametrize(
    "labels",
    [np.arange(20) % 3, (np.arange(20) % 3).astype(np.uint8), np.array([str(row % 3) for row in range(20)])],
)
def test_true_labels_go_with_their_records_by_number_or_by_name(tmp_path, labels):
    np.savez(tmp_path / "replay.npz", **{"inputs/image": TWENTY}, labels=labels)
    source = ReplaySource("digits", tmp_path / "replay.npz", 10, 0)
    for record in islice(source.records(a_manifest()), 40):
        assert record.truth == (str(int(record.inputs["image"][0, 0]) // 4 % 3),)
    assert source.trouble is None


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.arange(20), "has 3, and model digits gives 0, 1, 2"),
        (np.full(20, "seven"), "has 'seven'"),
        (np.arange(19) % 3, "int64[19], and 20 numbers or names are needed"),
        (np.zeros((20, 1), np.int64), "int64[20, 1]"),
        (np.zeros(20), "float64[20]"),
    ],
)
def test_labels_that_do_not_fit_the_model_cost_no_inference_and_are_said(tmp_path, labels, words):
    np.savez(tmp_path / "replay.npz", **{"inputs/image": TWENTY}, labels=labels)
    source = ReplaySource("digits", tmp_path / "replay.npz", 10, 0)
    assert {record.truth for record in islice(source.records(a_manifest()), 20)} == {()}
    assert source.trouble is not None
    assert source.trouble.code == "labels-unusable"
    assert words in source.trouble.sentence


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"picture": np.zeros((3, 4), np.float32)}, "no inputs/image"),
        ({"image": np.zeros((3, 4), np.float64)}, "is float64"),
        ({"image": np.zeros((3, 5), np.float32)}, "shape (3, 5)"),
        ({"image": np.zeros(3, np.float32)}, "shape (3,)"),
        ({"image": np.zeros((0, 4), np.float32)}, "number of rows"),
        ({"image": np.array([[None]])}, "cannot be replayed"),
    ],
)
def test_a_file_that_does_not_fit_the_model_says_why(tmp_path, arrays, words):
    path = file_of(tmp_path, **arrays)
    with pytest.raises(SourceWrong) as caught:
        ReplaySource("digits", path, 10, 0).records(a_manifest())
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_npz_says_so(tmp_path, content):
    path = tmp_path / "replay.npz"
    path.write_bytes(content)
    with pytest.raises(SourceWrong, match="cannot be replayed"):
        ReplaySource("digits", path, 10, 0).records(a_manifest())


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SourceWrong, match=r"no\.npz"):
        ReplaySource("digits", tmp_path / "no.npz", 10, 0).records(a_manifest())


def test_arrays_of_different_lengths_are_refused(tmp_path):
    path = file_of(tmp_path, image=np.zeros((3, 4), np.float32), place=np.zeros((2, 1), np.float32))
    manifest = a_manifest(inputs=(Tensor("image", "FP32", (-1, 4)), Tensor("place", "FP32", (-1, 1))))
    with pytest.raises(SourceWrong, match="number of rows"):
        ReplaySource("digits", path, 10, 0).records(manifest)


def test_a_file_that_is_damaged_where_it_is_deflated_says_so(tmp_path):
    path = tmp_path / "replay.npz"
    np.savez_compressed(path, **{"inputs/image": np.arange(4000, dtype=np.float32).reshape(1000, 4)})
    data = bytearray(path.read_bytes())
    # The first byte of the member's data: after 30 bytes of header, its name, and the extra field.
    data[30 + int.from_bytes(data[26:28], "little") + int.from_bytes(data[28:30], "little")] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(SourceWrong, match="cannot be replayed"):
        ReplaySource("digits", path, 10, 0).records(a_manifest())


def test_an_input_of_no_dimension_cannot_be_replayed_and_says_so(tmp_path):
    path = file_of(tmp_path, image=np.zeros((3, 4), np.float32), threshold=np.float32(0.5))
    manifest = a_manifest(inputs=(Tensor("image", "FP32", (-1, 4)), Tensor("threshold", "FP32", ())))
    with pytest.raises(SourceWrong, match="threshold"):
        ReplaySource("digits", path, 10, 0).records(manifest)
