"""LiteRT's own ways: signatures, quantized tensors, delegates."""

import sys
from pathlib import Path

import numpy as np
import pytest

from edge_agent.config import Runtime
from edge_agent.failures import ArtifactRejected
from edge_agent.runtimes import open_session
from edge_agent.runtimes.litert import CPU, XNNPACK, LitertSession
from fleet_contract.manifest import Tensor
from tests.edge_agent.runtimes.files import model


def at(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(model("tflite", name))
    return path


def test_a_tensor_has_the_name_by_which_the_signature_knows_it(tmp_path: Path) -> None:
    session = open_session("tflite", at(tmp_path, "signature"))
    assert session.inputs == (Tensor("image", "FP32", (-1, 4)),)
    assert session.outputs == (Tensor("scores", "FP32", (-1, 3)),)
    assert session.run({"image": np.zeros((1, 4), dtype=np.float32)})["scores"].tolist() == [[0, 0, 0]]


def test_of_several_signatures_only_the_main_graphs_own_gives_names(tmp_path: Path) -> None:
    session = open_session("tflite", at(tmp_path, "signatures"))
    assert [tensor.name for tensor in (*session.inputs, *session.outputs)] == ["x", "y"]
    assert session.run({"x": np.array([[3, 4]], dtype=np.float32)})["y"].tolist() == [[6, 8]]


def test_a_tensor_that_is_an_input_and_an_output_has_a_name_as_each(tmp_path: Path) -> None:
    session = open_session("tflite", at(tmp_path, "passing"))
    assert [tensor.name for tensor in session.inputs] == ["x"]
    assert [tensor.name for tensor in session.outputs] == ["y", "twice"]
    answer = session.run({"x": np.array([[3, 4]], dtype=np.float32)})
    assert {name: one.tolist() for name, one in answer.items()} == {"y": [[3, 4]], "twice": [[6, 8]]}


def test_quantized_tensors_come_and_go_as_they_are_stored(tmp_path: Path) -> None:
    session = open_session("tflite", at(tmp_path, "quantized"))
    assert session.inputs == (Tensor("x", "UINT8", (-1, 2)),)
    assert session.run({"x": np.array([[3, 100], [0, 200]], dtype=np.uint8)})["y"].tolist() == [[6, 200], [0, 255]]


def test_with_and_without_its_delegate_it_computes_the_same(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    with_it, without = (LitertSession(at(tmp_path, "linear"), one) for one in (XNNPACK, CPU))
    np.testing.assert_allclose(
        with_it.run({"image": image})["scores"], without.run({"image": image})["scores"], rtol=1e-5
    )


@pytest.mark.parametrize("library", ["/nowhere/libdelegate.so", "/etc/hostname", "libc.so.6"])
def test_a_delegate_that_cannot_be_loaded_is_named(tmp_path: Path, library: str) -> None:
    with pytest.raises(ArtifactRejected, match="edgetpu") as caught:
        LitertSession(at(tmp_path, "linear"), "edgetpu", library=library)
    assert caught.value.code == "provider-unusable"


def test_no_more_interpreters_are_made_than_may_compute_at_once(tmp_path: Path) -> None:
    session = LitertSession(at(tmp_path, "linear"), settings=Runtime(parallel=1))
    with session._lent() as lent:
        assert not session._idle
    assert session._idle == [lent]


def test_a_device_without_litert_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "edge_agent.runtimes.litert", None)
    with pytest.raises(ArtifactRejected, match="cannot be imported") as caught:
        open_session("tflite", at(tmp_path, "linear"))
    assert caught.value.code == "runtime-missing"
    assert "litert" in caught.value.remedy
