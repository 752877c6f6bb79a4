"""The golden set: read within bounds, replayed record by record, judged by the manifest's numbers."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.lib import format as npy

from edge_agent import golden
from edge_agent.failures import ArtifactRejected, TryLater
from edge_agent.runtimes.session import Array
from fleet_contract.manifest import Golden, Manifest, Tensor
from tests.fakes.releases import a_manifest, blob_of
from tests.fakes.tiny_models import SAMPLES, a_golden_set, images, scores_of


class Answering:
    """A session that gives what it is told, row by row."""

    def __init__(self, answers: Mapping[str, Array]) -> None:
        self.inputs: tuple[Tensor, ...] = ()
        self.outputs: tuple[Tensor, ...] = ()
        self.answers = answers
        self.rows = 0
        self.sizes: set[int] = set()

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        size = len(next(iter(inputs.values())))
        start, self.rows = self.rows, self.rows + size
        self.sizes.add(size)
        return {name: values[start : start + size] for name, values in self.answers.items()}

    def close(self) -> None:
        """Nothing to give back."""


def manifest(**more: object) -> Manifest:
    return msgspec.structs.replace(
        a_manifest(golden=Golden(blob_of(b"x"), SAMPLES, min_agreement=0.75, max_abs_error=0.1)), **more
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "golden.npz"


def replay(path: Path, data: bytes, answers: Array, **more: object) -> golden.Verdict:
    path.write_bytes(data)
    return golden.replay(Answering({"scores": answers}), manifest(**more), path)


def test_the_same_answers_pass(path: Path) -> None:
    verdict = replay(path, a_golden_set(scores_of(1)), scores_of(1))
    assert (verdict.samples, verdict.agreement, verdict.error) == (SAMPLES, 1.0, 0.0)
    assert 0.0 <= verdict.median_ms <= verdict.slowest_ms
    assert "Golden set of 8: 100.0% of the labels agree" in str(verdict)


def test_answers_that_are_close_enough_pass(path: Path) -> None:
    assert replay(path, a_golden_set(scores_of(1)), scores_of(1) + 0.09).error == pytest.approx(0.09, abs=1e-6)


@pytest.mark.parametrize("off", [0.11, np.nan, np.inf])
def test_answers_that_are_too_far_off_fail(path: Path, off: float) -> None:
    answers = scores_of(1).copy()
    answers[3] += off
    with pytest.raises(ArtifactRejected, match="the largest error is") as caught:
        replay(path, a_golden_set(scores_of(1)), answers)
    assert caught.value.code == "golden-disagrees"


def one_hot(labels: list[int]) -> Array:
    return np.eye(3, dtype=np.float32)[labels] * 0.01


@pytest.mark.parametrize(("wrong", "passes"), [(2, True), (3, False)])
def test_so_many_labels_may_differ_and_no_more(path: Path, wrong: int, passes: bool) -> None:
    expected, found = one_hot([0] * SAMPLES), one_hot([1] * wrong + [0] * (SAMPLES - wrong))
    if passes:
        assert replay(path, a_golden_set(expected), found).agreement == 0.75
    else:
        with pytest.raises(ArtifactRejected, match=r"62\.5% of the labels agree, and 75\.0% must"):
            replay(path, a_golden_set(expected), found)


def test_a_task_without_labels_is_judged_by_its_error_alone(path: Path) -> None:
    verdict = replay(path, a_golden_set(one_hot([0] * SAMPLES)), one_hot([1] * SAMPLES), task="regression")
    assert verdict.agreement is None
    assert "labels" not in str(verdict)


def test_labels_are_read_from_the_probabilities_where_the_manifest_names_them(path: Path) -> None:
    file = io.BytesIO()
    names, odds = np.array(["a", "b"] * 4), one_hot([0, 1] * 4)
    np.savez(file, **{"inputs/image": images(), "outputs/label": names, "outputs/odds": odds})
    path.write_bytes(file.getvalue())
    outputs = (Tensor("label", "BYTES", (-1,)), Tensor("odds", "FP32", (-1, 3)))
    told = manifest(outputs=outputs, probabilities="odds")
    assert golden.replay(Answering({"label": names, "odds": odds}), told, path).agreement == 1.0
    with pytest.raises(ArtifactRejected, match="largest error is inf"):
        golden.replay(Answering({"label": names[::-1], "odds": odds}), told, path)


def test_records_are_replayed_one_by_one_or_as_many_as_the_model_takes(path: Path) -> None:
    path.write_bytes(a_golden_set(scores_of(1)))
    for batch, size in ((-1, 1), (1, 1), (4, 4)):
        session = Answering({"scores": scores_of(1)})
        golden.replay(session, manifest(inputs=(Tensor("image", "FP32", (batch, 4)),)), path)
        assert session.sizes == {size}
    with pytest.raises(ArtifactRejected, match="the model takes 3 at a time"):
        golden.replay(Answering({}), manifest(inputs=(Tensor("image", "FP32", (3, 4)),)), path)


def test_an_answer_of_another_shape_fails(path: Path) -> None:
    with pytest.raises(ArtifactRejected, match="largest error is inf"):
        replay(path, a_golden_set(scores_of(1)), scores_of(1)[:, :2])


def npz(**arrays: Array) -> bytes:
    file = io.BytesIO()
    np.savez(file, **{name.replace("_", "/"): array for name, array in arrays.items()})
    return file.getvalue()


def with_header_that_claims(shape: tuple[int, ...]) -> bytes:
    header = io.BytesIO()
    npy.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    file = io.BytesIO(a_golden_set(scores_of(1)))
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(out := io.BytesIO(), "w") as new:
        new.writestr("inputs/image.npy", header.getvalue())
        new.writestr("outputs/scores.npy", old.read("outputs/scores.npy"))
    return out.getvalue()


def deflated_and_damaged() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **{"inputs/image": images() * 0, "outputs/scores": scores_of(1)})
    data = bytearray(file.getvalue())
    # The first byte of the first member's data: after 30 bytes of header, its name, and the extra field.
    start = 30 + int.from_bytes(data[26:28], "little") + int.from_bytes(data[28:30], "little")
    data[start] ^= 0xFF
    return bytes(data)


UNREADABLE = {
    "damaged where it is deflated": deflated_and_damaged(),
    "no archive": b"PK\x03\x04 and then nothing",
    "no bytes": b"",
    "no inputs": npz(outputs_scores=scores_of(1)),
    "no outputs": npz(inputs_image=images()),
    "too few rows": npz(inputs_image=images(), outputs_scores=scores_of(1)[:5]),
    "no rows at all": npz(inputs_image=images(), outputs_scores=np.float32(1)),
    "pickled objects": npz(inputs_image=np.array([{}] * SAMPLES, dtype=object), outputs_scores=scores_of(1)),
    "a shape that nobody can hold": with_header_that_claims((10**9, 10**6)),
    "cut short": a_golden_set(scores_of(1))[:-50],
    "a flipped bit": a_golden_set(scores_of(1)).replace(images().tobytes(), images(seed=1).tobytes()),
}


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_cannot_be_used_is_named(path: Path, data: bytes) -> None:
    with pytest.raises(ArtifactRejected) as caught:
        replay(path, data, scores_of(1))
    assert caught.value.code == "golden-unreadable"


def test_a_set_that_would_fill_the_memory_is_refused_before_it_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(golden, "MAX_UNPACKED_BYTES", 100)
    with pytest.raises(ArtifactRejected, match="unpacks to"):
        replay(path, a_golden_set(scores_of(1)), scores_of(1))


def test_a_set_that_cannot_name_labels_is_refused(path: Path) -> None:
    outputs = (Tensor("label", "INT64", (-1,)), Tensor("scores", "FP32", (-1, 3)))
    with pytest.raises(ArtifactRejected, match="lacks the output 'label'"):
        replay(path, a_golden_set(scores_of(1)), scores_of(1), outputs=outputs)


def test_a_disk_that_fails_is_not_the_golden_sets_fault(tmp_path: Path) -> None:
    with pytest.raises(TryLater) as caught:
        golden.replay(Answering({}), a_manifest(), tmp_path / "nothing")
    assert caught.value.code == "disk-failed"


def test_a_disk_that_fails_once_does_not_make_a_golden_set_unreadable_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "golden.npz"
    path.write_bytes(a_golden_set(scores_of(1)))
    real, tries = zipfile.ZipFile, []

    def bad_once(path: Path) -> zipfile.ZipFile:
        tries.append(path)
        if len(tries) == 1:
            raise zipfile.BadZipFile("File is not a zip file")
        return real(path)

    monkeypatch.setattr(zipfile, "ZipFile", bad_once)
    manifest = a_manifest(golden=Golden(blob_of(path.read_bytes()), SAMPLES, 0.9, 0.01))
    assert golden.replay(Answering({"scores": scores_of(1)}), manifest, path).samples == SAMPLES


@pytest.mark.parametrize("kind", ["S", "U"])
def test_strings_must_be_the_same(path: Path, kind: str) -> None:
    words = np.array([["a", "bc"]] * SAMPLES, kind)
    file = io.BytesIO()
    np.savez(file, **{"inputs/image": words, "outputs/words": words})
    path.write_bytes(file.getvalue())
    of = manifest(
        task="tagging",
        inputs=(Tensor("image", "BYTES", (-1, 2)),),
        outputs=(Tensor("words", "BYTES", (-1, 2)),),
    )
    given = np.array([[b"a", b"bc"]] * SAMPLES, object)
    assert golden.replay(Answering({"words": given}), of, path).error == 0.0
    given[3, 1] = b"b"
    with pytest.raises(ArtifactRejected) as caught:
        golden.replay(Answering({"words": given}), of, path)
    assert caught.value.code == "golden-disagrees"


def test_labels_cannot_be_read_from_strings(path: Path) -> None:
    file = io.BytesIO()
    np.savez(file, **{"inputs/image": images(), "outputs/scores": np.array([["a"]] * SAMPLES)})
    path.write_bytes(file.getvalue())
    with pytest.raises(ArtifactRejected) as caught:
        golden.replay(Answering({"scores": np.array([[b"a"]] * SAMPLES, object)}), manifest(), path)
    assert caught.value.code == "golden-unreadable"
