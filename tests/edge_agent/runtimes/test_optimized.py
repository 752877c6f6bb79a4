"""What ONNX Runtime makes of a large model is kept on the device, and never trusted further than its note."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_agent.failures import ArtifactRejected
from edge_agent.runtimes import open_session, optimized
from edge_agent.runtimes.optimized import Optimized
from edge_agent.store.artifacts import ArtifactStore
from edge_agent.store.disk import Disk
from tests.fakes.tiny_models import a_linear_model, images, scores_of


@pytest.fixture(autouse=True)
def _small_ones_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimized, "LEAST_BYTES", 100)


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    path = tmp_path / ("a" * 64)
    path.write_bytes(a_linear_model(1))
    return path


def names(artifact: Path) -> set[str]:
    return {path.suffix for path in artifact.parent.iterdir()}


def answers(artifact: Path) -> bool:
    session = open_session("onnx", artifact)
    scores = session.run({"image": images()})["scores"]
    session.close()
    return np.allclose(scores, scores_of(1), rtol=1e-4)


def written(artifact: Path) -> int:
    """When the kept file was last made, in nanoseconds."""
    return artifact.with_suffix(".optimized").stat().st_mtime_ns


def test_it_is_made_once_and_answers_the_same(artifact: Path) -> None:
    assert answers(artifact)
    assert names(artifact) == {"", ".optimized", ".optimized-note"}
    first = written(artifact)
    assert answers(artifact)
    assert written(artifact) == first


def test_from_then_on_it_is_what_is_loaded(artifact: Path) -> None:
    assert answers(artifact)
    artifact.write_bytes(b"nobody looks at it")
    assert answers(artifact)


def cut(kept: Path) -> None:
    kept.write_bytes(kept.read_bytes()[:-1])


def flip(kept: Path) -> None:
    data = bytearray(kept.read_bytes())
    data[len(data) // 2] ^= 1
    kept.write_bytes(data)


def without_a_note(kept: Path) -> None:
    kept.with_suffix(".optimized-note").unlink()


def with_half_a_note(kept: Path) -> None:
    cut(kept.with_suffix(".optimized-note"))


@pytest.mark.parametrize("damage", [cut, flip, without_a_note, with_half_a_note, Path.unlink])
def test_what_is_damaged_is_made_again(artifact: Path, damage: Callable[[Path], None]) -> None:
    assert answers(artifact)
    first = written(artifact)
    damage(artifact.with_suffix(".optimized"))
    assert answers(artifact)
    assert written(artifact) > first


def test_what_another_runtime_or_cpu_made_is_made_again(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert answers(artifact)
    assert Optimized(artifact, "onnxruntime 9.9").find() is None
    cpuinfo = artifact.with_name("cpuinfo")
    cpuinfo.write_text("flags : fpu\n")
    monkeypatch.setattr(optimized, "_CPUINFO", cpuinfo)
    first = written(artifact)
    assert answers(artifact)
    assert written(artifact) > first


def test_what_is_no_model_is_unreadable_and_leaves_nothing(artifact: Path) -> None:
    artifact.write_bytes(b"GIF89a" * 100)
    with pytest.raises(ArtifactRejected) as caught:
        open_session("onnx", artifact)
    assert caught.value.code == "model-unreadable"
    assert names(artifact) == {""}


def test_without_room_the_model_is_loaded_as_it_came(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimized, "RESERVE_BYTES", 1 << 60)
    assert answers(artifact)
    assert names(artifact) == {""}


def test_a_disk_that_fails_costs_nothing_but_time(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    assert answers(artifact)
    assert names(artifact) == {""}


def test_where_it_cannot_be_written_the_model_is_loaded_as_it_came(artifact: Path) -> None:
    artifact.with_suffix(".optimized").mkdir()
    assert answers(artifact)


def test_small_ones_are_not_worth_it(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimized, "LEAST_BYTES", 1024 * 1024)
    assert answers(artifact)
    assert names(artifact) == {""}


def test_it_is_evicted_with_its_artifact_and_not_before(artifact: Path) -> None:
    assert answers(artifact)
    artifact.with_suffix(".verdicts").write_bytes(b"{}")
    store = ArtifactStore(artifact.parent, Disk())
    store.keep({f"sha256:{artifact.name}"})
    assert names(artifact) == {"", ".optimized", ".optimized-note", ".verdicts"}
    store.keep(set())
    assert names(artifact) == set()
