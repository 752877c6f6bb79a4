"""Which models may be given numbers that somebody changes while they run."""

import io
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_agent.runtimes import open_session
from edge_agent.runtimes.readers import bear_change
from edge_agent.runtimes.session import BearsChange
from tests.edge_agent.runtimes.files import model as model_file
from tests.fakes.tiny_models import a_linear_model, a_model_that_fails

X = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8])
ONE = numpy_helper.from_array(np.ones(1, np.float32), "one")
FEW = numpy_helper.from_array(np.array([2]), "few")
BRANCH = helper.make_graph(
    [helper.make_node("TopK", ["x", "few"], ["branch", "places"])],
    "branch",
    [],
    [helper.make_tensor_value_info("branch", TensorProto.FLOAT, None)],
)


def a_model(*nodes, inputs=(X,)):
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    made = helper.make_model(helper.make_graph(list(nodes), "some", list(inputs), [y], [ONE, FEW]))
    return made.SerializeToString()


def node(kind, inputs, outputs, **more):
    return helper.make_node(kind, inputs.split(), outputs.split(), **more)


TOP = node("TopK", "b few", "y places")


@pytest.mark.parametrize(
    ("nodes", "bears"),
    [
        ([node("Relu", "x", "b"), TOP], True),
        ([node("Sub", "x one", "a"), node("Div", "a one", "b"), node("Softmax", "b", "y")], True),
        ([node("Relu", "x", "y"), node("Sigmoid", "x", "b")], True),
        ([node("Shape", "x", "places"), node("Slice", "x few few", "a"), node("Conv", "a one", "y")], True),
        ([node("TopK", "x few", "y places")], False),
        ([node("Relu", "x", "y"), node("TopK", "x few", "b places")], False),
        ([node("Add", "x one", "b"), TOP], False),
        ([node("Cast", "x", "a", to=TensorProto.FLOAT), node("Identity", "a", "b"), TOP], False),
        ([node("Relu", "x", "y", domain="of.somebody")], False),
        ([node("Sort", "x", "y")], False),
        ([node("Cast", "one", "yes", to=TensorProto.BOOL), node("If", "yes", "y", then_branch=BRANCH)], False),
    ],
)
def test_those_that_only_compute_with_them(nodes, bears):
    assert bear_change(io.BytesIO(a_model(*nodes)), ["x"]) is bears


def test_each_of_the_inputs_counts():
    model = a_model(node("Relu", "x", "y"), node("TopK", "z few", "most places"))
    assert bear_change(io.BytesIO(model), ["x"])
    assert not bear_change(io.BytesIO(model), ["x", "z"])


@pytest.mark.parametrize("cut", range(1, len(a_linear_model(1)) - 1, 7))
def test_what_is_no_model_is_told(cut):
    with pytest.raises(ValueError, match=r"field|number"):
        bear_change(io.BytesIO(a_linear_model(1)[:cut]), ["image"])


@pytest.mark.parametrize(("model", "bears"), [(a_linear_model(1), True), (a_model_that_fails("nonzero"), True)])
def test_a_session_knows_it_of_its_own_model(tmp_path: Path, model: bytes, bears: bool):
    (tmp_path / "model").write_bytes(model)
    session = open_session("onnx", tmp_path / "model")
    assert isinstance(session, BearsChange)
    assert session.bears_change() is bears


def test_where_it_cannot_be_read_any_more_it_is_not_trusted(tmp_path: Path):
    path = tmp_path / "model"
    path.write_bytes(a_linear_model(1))
    session = open_session("onnx", path)
    path.unlink()
    assert isinstance(session, BearsChange)
    assert not session.bears_change()


def test_litert_takes_a_copy_of_whatever_it_is_given(tmp_path: Path):
    (tmp_path / "model").write_bytes(model_file("tflite", "linear"))
    session = open_session("tflite", tmp_path / "model")
    assert isinstance(session, BearsChange)
    assert session.bears_change()
