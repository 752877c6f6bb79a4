"""The digits that everybody's first rollout uses: good when trained on all, plainly worse when trained on little."""

import io
from pathlib import Path

import msgspec
import numpy as np
import pytest

from fleet_contract.encoding import decode
from fleet_contract.manifest import Manifest, Tensor, check_manifest, open_manifest, sign_manifest
from fleet_contract.signing import PrivateKey
from models import catalog
from models.compiler.session import Model
from models.errors import RecipeWrong
from models.recipe import Options, Recipe
from tests.built import TARGETS, Digits


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return catalog.find("digits").recipe()


def manifest(folder: Path, target: str) -> Manifest:
    return decode((folder / f"manifest.{target}.json").read_bytes(), Manifest)


def total_variation(a: dict[str, int], b: dict[str, int]) -> float:
    return 0.5 * sum(abs(a[label] / sum(a.values()) - b[label] / sum(b.values())) for label in a)


@pytest.mark.parametrize("target", TARGETS)
def test_a_good_build_reads_almost_every_digit_and_loses_little_by_compiling(digits: Digits, target: str) -> None:
    good = manifest(digits.good, target).provenance
    assert good.source_accuracy > 0.96
    assert good.source_accuracy - good.accuracy <= 0.01


@pytest.mark.parametrize("target", TARGETS)
def test_the_artifact_is_a_third_of_the_source(digits: Digits, target: str) -> None:
    source = (digits.good / "source.onnx").stat().st_size
    assert manifest(digits.good, target).artifact.size_bytes < 0.4 * source


@pytest.mark.parametrize("target", TARGETS)
def test_a_model_trained_on_little_gives_other_predictions(digits: Digits, target: str) -> None:
    good, worse = manifest(digits.good, target), manifest(digits.worse, target)
    assert worse.provenance.accuracy < 0.5
    assert total_variation(good.reference.predictions, worse.reference.predictions) > 0.4
    assert worse.provenance.training_records == 40


@pytest.mark.parametrize("target", TARGETS)
def test_the_shift_shows_in_any_two_hundred_records_that_a_canary_sees(digits: Digits, target: str) -> None:
    pixels = np.load(digits.replay)["inputs/pixels"]
    labels = [str(label) for label in range(10)]
    seen = []
    for folder in (digits.good, digits.worse):
        answers = (
            Model((folder / f"artifact.{target}.onnx").read_bytes()).run({"pixels": pixels})["probabilities"].argmax(1)
        )
        seen.append(answers)
    for start in range(0, len(pixels) - 200, 50):
        good, worse = (
            {label: int((answers[start : start + 200] == int(label)).sum()) for label in labels} for answers in seen
        )
        assert total_variation(good, worse) > 0.4


@pytest.mark.parametrize("target", TARGETS)
def test_a_manifest_needs_only_its_number_to_be_signed(digits: Digits, target: str) -> None:
    built = manifest(digits.good, target)
    assert built.version == 0
    key = PrivateKey(bytes(32))
    numbered = msgspec.structs.replace(built, version=7)
    assert open_manifest(sign_manifest(numbered, key), (key.public,)) == check_manifest(numbered)
    assert (built.inputs, built.outputs) == (
        (Tensor("pixels", "FP32", (-1, 64)),),
        (Tensor("probabilities", "FP32", (-1, 10)),),
    )
    assert (built.labels, built.probabilities) == (tuple("0123456789"), "probabilities")


@pytest.mark.parametrize("target", TARGETS)
def test_the_reference_counts_every_held_out_record_in_each_histogram(digits: Digits, target: str) -> None:
    reference = manifest(digits.good, target).reference
    assert reference.records == sum(reference.predictions.values()) == 540
    assert reference.confidence.edges == tuple(round(0.05 * i, 2) for i in range(1, 20))
    assert set(reference.features) == {f"pixels.{s}" for s in ("mean", "std", "min", "max", "zeros")}
    for histogram in (reference.confidence, *reference.features.values()):
        assert sum(histogram.counts) == 540
        assert len(histogram.counts) == len(histogram.edges) + 1


def test_a_manifest_leaves_room_for_a_batch_of_them_in_one_message(digits: Digits) -> None:
    assert max(path.stat().st_size for path in digits.good.glob("manifest.*")) < 8 * 1024


def test_both_versions_are_measured_on_the_same_scans_which_neither_has_seen(recipe: Recipe) -> None:
    held_out = {row.tobytes() for row in recipe.held_out().inputs["pixels"]}
    for options in (Options(), Options(seed=3, train_images=40)):
        source = recipe.train(options, lambda _: None)
        assert {row.tobytes() for row in source.held_out.inputs["pixels"]} == held_out
        assert not {row.tobytes() for row in source.training.inputs["pixels"]} & held_out


def test_the_first_forty_labelled_scans_are_ten_each_of_the_first_four_digits(recipe: Recipe) -> None:
    source = recipe.train(Options(train_images=40), lambda _: None)
    assert np.bincount(source.training.labels).tolist() == [10, 10, 10, 10]


def test_training_is_the_same_twice_and_another_with_another_seed(recipe: Recipe) -> None:
    once, again, other = (recipe.train(Options(seed=seed, train_images=40), lambda _: None).onnx for seed in (0, 0, 1))
    assert once == again != other


@pytest.mark.parametrize("count", [-1, 0, 1258])
def test_it_cannot_be_trained_on_images_that_it_does_not_have(recipe: Recipe, count: int) -> None:
    with pytest.raises(RecipeWrong, match="1 to 1257"):
        recipe.train(Options(train_images=count), lambda _: None)


def test_the_replay_holds_real_scans_of_all_digits(digits: Digits, recipe: Recipe) -> None:
    replay = np.load(io.BytesIO(digits.replay.read_bytes()), allow_pickle=False)
    assert replay.files == ["inputs/pixels", "labels"]
    assert np.array_equal(replay["labels"], recipe.held_out().labels)
    assert replay["inputs/pixels"].dtype == np.float32
    assert np.array_equal(replay["inputs/pixels"], recipe.held_out().inputs["pixels"])
