"""A build of any recipe: what is in the folder fits together, and a build that fails leaves everything as it was."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from fleet_contract.encoding import decode
from fleet_contract.manifest import Manifest
from models.compiler.admission import Admitted, verdict
from models.compiler.building import Built, build
from models.compiler.targets import TARGETS
from models.errors import FolderTaken, OverBudget, RecipeWrong
from models.recipe import Budget, Card, Data, Options, Progress, Source
from tests.models.compiler import graphs

AT = datetime(2026, 11, 22, 20, tzinfo=UTC)
CARD = Card(
    name="corners",
    title="Corners",
    about="Which of four inputs is the largest.",
    source="made up here",
    task="classification",
    labels=("a", "b", "c", "d"),
    probabilities="",
    opset=17,
    budget=Budget(accuracy_loss=0.01, min_agreement=0.98),
    calibration_records=64,
    golden_samples=32,
)


class Corners:
    """A recipe that needs no training: its scores are its inputs, so its output holds logits."""

    def held_out(self) -> Data:
        random = np.random.default_rng(1)
        labels = np.arange(200) % 4
        records = np.eye(4, dtype=np.float32)[labels] * 4 + random.uniform(0, 1, (200, 4)).astype(np.float32)
        return Data({"x": records}, labels.astype(np.int64))

    def train(self, options: Options, progress: Progress) -> Source:
        progress("nothing to learn")
        weights = np.eye(4, dtype=np.float32) * (1 + options.seed)
        held_out = self.held_out()
        return Source(graphs.linear(weights, np.zeros(4, np.float32)), held_out, held_out, ("numpy",))


def run(out: Path, card: Card = CARD, seed: int = 0) -> tuple[Built, ...]:
    return build(card, Corners(), Options(seed=seed), tuple(TARGETS.values()), out, AT, lambda _: None)


def manifest(out: Path, target: str) -> Manifest:
    return decode((out / f"manifest.{target}.json").read_bytes(), Manifest)


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_built_passes_admission(tmp_path: Path, target: str) -> None:
    run(tmp_path / "made")
    files = [tmp_path / "made" / name for name in (f"artifact.{target}.onnx", f"manifest.{target}.json", "golden.npz")]
    seen = verdict(*files)
    assert isinstance(seen, Admitted), seen
    assert seen.samples == 32


def test_the_summary_names_the_artifacts_that_the_manifests_name(tmp_path: Path) -> None:
    for one in run(tmp_path / "made"):
        assert manifest(tmp_path / "made", one.target).artifact.digest == one.digest
        assert manifest(tmp_path / "made", one.target).provenance.built_at == AT
        assert manifest(tmp_path / "made", one.target).provenance.accuracy == one.evidence.accuracy == 1.0


def test_confidence_of_logits_is_their_softmax(tmp_path: Path) -> None:
    run(tmp_path / "made")
    confidence = manifest(tmp_path / "made", "cpu-vnni").reference.confidence
    # A lead of 3 to 5 over three others is a softmax of at least 0.87: raw logits would all lie in the last bin.
    assert sum(confidence.counts[17:]) == 200
    assert confidence.counts[-1] < 200


def test_a_statistic_that_does_not_vary_yet_has_a_bin_on_either_side(tmp_path: Path) -> None:
    run(tmp_path / "made")
    features = manifest(tmp_path / "made", "cpu-vnni").reference.features
    assert features["x.zeros"].counts == (0, 200, 0)
    assert sum(count > 0 for count in features["x.mean"].counts) > 5


def test_an_earlier_build_is_replaced_whole(tmp_path: Path) -> None:
    out = tmp_path / "made"
    run(out)
    (out / "artifact.npu.onnx").write_bytes(b"of a target that is no more")
    before = manifest(out, "cpu-avx2").artifact.digest
    run(out, seed=1)
    assert manifest(out, "cpu-avx2").artifact.digest != before
    assert not (out / "artifact.npu.onnx").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


WRONG: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "labels that the model does not have": ({"labels": ("a", "b")}, RecipeWrong, "its card 2 labels"),
    "probabilities of no output": ({"probabilities": "p"}, RecipeWrong, "no output 'p'"),
    "another task": ({"task": "detection"}, RecipeWrong, "only classifications"),
    "a budget that nothing meets": ({"budget": Budget(-1.0, 1.0)}, OverBudget, "it may lose -1.0000"),
}


@pytest.mark.parametrize("why", WRONG)
def test_a_build_that_fails_leaves_the_last_one_as_it_was(tmp_path: Path, why: str) -> None:
    changes, error, says = WRONG[why]
    run(tmp_path / "made")
    before = {path: path.read_bytes() for path in (tmp_path / "made").iterdir()}
    with pytest.raises(error, match=says):
        run(tmp_path / "made", msgspec.structs.replace(CARD, **changes))
    assert {path: path.read_bytes() for path in (tmp_path / "made").iterdir()} == before


@pytest.mark.parametrize("taken", ["file", "folder", "link"])
def test_what_no_build_made_is_never_replaced(tmp_path: Path, taken: str) -> None:
    out = tmp_path / "made"
    if taken == "file":
        out.write_text("mine")
    elif taken == "folder":
        out.mkdir()
        (out / "mine").write_text("mine")
    else:
        out.symlink_to(tmp_path / "gone")
    with pytest.raises(FolderTaken):
        run(out)
    assert out.is_symlink() or (out if taken == "file" else out / "mine").read_text() == "mine"
