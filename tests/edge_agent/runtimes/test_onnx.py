"""ONNX Runtime behind the session port."""

import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from edge_agent import memory
from edge_agent.failures import ArtifactRejected
from edge_agent.runtimes import Runtimes, open_session
from edge_agent.runtimes.onnx import OnnxSession
from edge_agent.runtimes.session import InferenceFailed, InputUnfit
from edge_agent.update.footprint import resident_bytes
from fleet_contract.manifest import Tensor
from tests.fakes.tiny_models import (
    CLASSES,
    FEATURES,
    a_linear_model,
    a_scaled_echo,
    a_wide_model,
    an_echo,
    images,
    scores_of,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.write_bytes(a_linear_model(1))
    return path


def test_names_what_it_takes_and_gives_in_the_contracts_words(path: Path) -> None:
    session = open_session("onnx", path)
    assert session.inputs == (Tensor("image", "FP32", (-1, FEATURES)),)
    assert session.outputs == (Tensor("scores", "FP32", (-1, CLASSES)),)


def test_answers(path: Path) -> None:
    session = open_session("onnx", path)
    np.testing.assert_allclose(session.run({"image": images()})["scores"], scores_of(1), rtol=1e-5)


@pytest.mark.parametrize(
    "inputs",
    [
        {"image": np.zeros((1, FEATURES + 1), dtype=np.float32)},
        {"image": np.zeros((1, FEATURES), dtype=np.float64)},
        {"image": np.zeros((FEATURES,), dtype=np.float32)},
        {"picture": np.zeros((1, FEATURES), dtype=np.float32)},
        {},
    ],
)
def test_inputs_that_it_cannot_answer_leave_it_answering_others(path: Path, inputs: dict[str, np.ndarray]) -> None:
    session = open_session("onnx", path)
    with pytest.raises(InferenceFailed):
        session.run(inputs)
    assert session.run({"image": images(1)})["scores"].shape == (1, CLASSES)


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x00" * 4096, a_linear_model(1)[:100]])
def test_what_is_no_model_is_unreadable(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "model"
    path.write_bytes(data)
    with pytest.raises(ArtifactRejected) as caught:
        open_session("onnx", path)
    assert caught.value.code == "model-unreadable"


def test_a_disk_that_fails_once_does_not_make_a_model_unreadable_for_ever(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, tries = ort.InferenceSession, []

    def bad_once(*arguments: object, **more: object) -> object:
        tries.append(arguments)
        if len(tries) == 1:
            raise RuntimeError("system error number 5")
        return real(*arguments, **more)

    monkeypatch.setattr(ort, "InferenceSession", bad_once)
    np.testing.assert_allclose(open_session("onnx", path).run({"image": images()})["scores"], scores_of(1), rtol=1e-5)


def test_a_runtime_that_is_not_here_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArtifactRejected, match="'torch'") as caught:
        open_session("torch", path)
    assert caught.value.code == "runtime-missing"
    monkeypatch.setitem(sys.modules, "edge_agent.runtimes.onnx", None)
    with pytest.raises(ArtifactRejected, match="cannot be imported") as caught:
        open_session("onnx", path)
    assert caught.value.code == "runtime-missing"


def test_others_are_told_before_a_model_is_read(path: Path) -> None:
    runtimes = Runtimes(meanwhile=lambda: path.unlink(missing_ok=True))
    with pytest.raises(ArtifactRejected) as caught:
        runtimes.open("onnx", path)
    assert caught.value.code == "model-unreadable"


def test_it_answers_several_threads_at_once(path: Path) -> None:
    session = open_session("onnx", path)
    right: list[bool] = []

    def ask() -> None:
        right.extend(
            np.allclose(session.run({"image": images()})["scores"], scores_of(1), rtol=1e-4) for _ in range(200)
        )

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    session.close()
    assert right == [True] * 600


def test_it_starts_no_threads_of_its_own(path: Path) -> None:
    count = "import os; print(len(os.listdir('/proc/self/task')))"
    script = f"""
from pathlib import Path
import numpy as np
from edge_agent.runtimes.onnx import OnnxSession
{count}
session = OnnxSession(Path({str(path)!r}))
session.run({{"image": np.zeros((1, {FEATURES}), dtype=np.float32)}})
{count}
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path.cwd())
    before, after = said.stdout.split()
    assert before == after


def test_the_agent_starts_without_numpy_or_a_runtime() -> None:
    script = (
        "import sys, edge_agent.update.updater\n"
        "print(*{'numpy', 'onnxruntime', 'pydantic', 'sqlalchemy', 'asyncio', 'requests'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert said.stdout.split() == []


def bound_arrays(rows: int = 1) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    return {"image": np.zeros((rows, FEATURES), np.float32)}, {"scores": np.zeros((rows, CLASSES), np.float32)}


def test_a_string_that_is_no_text_is_the_callers_fault_and_names_its_input(tmp_path: Path) -> None:
    path = tmp_path / "echo.onnx"
    path.write_bytes(an_echo("BYTES"))
    with pytest.raises(InputUnfit, match="'x'"):
        OnnxSession(path).run({"x": np.array([[b"a", b"\xff"]], object)})


def test_what_comes_in_between_in_a_large_batch_is_given_back(tmp_path: Path) -> None:
    path = tmp_path / "wide.onnx"
    path.write_bytes(a_wide_model())
    session = OnnxSession(path)
    session.run({"image": images(1)})
    memory.give_back()
    before = resident_bytes()
    answer = session.run({"image": np.ones((600_000, FEATURES), np.float32)})["most"]
    memory.give_back()
    assert resident_bytes() - before < 100 * 1024 * 1024, "it has needed 600 MB"
    assert (answer == 4.0).all()


def test_a_large_batch_of_a_size_that_never_changes_is_answered(tmp_path: Path) -> None:
    path = tmp_path / "fixed.onnx"
    path.write_bytes(a_linear_model(1, batch=600_000))
    assert OnnxSession(path).run({"image": np.ones((600_000, FEATURES), np.float32)})["scores"].shape[0] == 600_000


def test_a_large_batch_beside_a_scalar_is_answered(tmp_path: Path) -> None:
    path = tmp_path / "scaled.onnx"
    path.write_bytes(a_scaled_echo())
    large = np.ones((1_100_000, 2), np.float32)
    answer = OnnxSession(path).run({"x": large, "scale": np.array(3.0, np.float32)})["y"]
    assert answer.shape == large.shape
    assert (answer == 3.0).all()


def test_a_bound_run_reads_and_writes_the_same_arrays_each_time(path: Path) -> None:
    session = OnnxSession(path)
    inputs, outputs = bound_arrays()
    bound = session.bind(inputs, outputs)
    assert bound is not None
    for one in images():
        inputs["image"][0] = one
        bound.run()
        assert outputs["scores"].tobytes() == session.run({"image": one[None]})["scores"].tobytes()


def test_a_bound_run_that_would_give_another_shape_fails_and_the_session_goes_on(path: Path) -> None:
    session = OnnxSession(path)
    inputs, outputs = bound_arrays(2)[0], bound_arrays(3)[1]
    bound = session.bind(inputs, outputs)
    assert bound is not None
    with pytest.raises(InferenceFailed):
        bound.run()
    np.testing.assert_allclose(session.run({"image": images()})["scores"], scores_of(1), rtol=1e-5)


def test_what_cannot_be_bound_is_not(path: Path) -> None:
    inputs, outputs = bound_arrays()
    assert OnnxSession(path).bind(inputs, {"scors": outputs["scores"]}) is None


def test_a_bound_run_that_somebody_keeps_does_not_keep_the_session(path: Path) -> None:
    session = OnnxSession(path)
    runtime = weakref.ref(session._session)
    bound = session.bind(*bound_arrays())
    assert bound is not None
    bound.run()
    session.close()
    assert (runtime(), bound._binding, bound._run) == (None, None, None)
