"""Small ONNX graphs, good and hostile, to compile and to check."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def linear(weights: NDArray[Any], bias: NDArray[Any], *, fused: bool = True) -> bytes:
    """scores = x @ weights + bias: as one Gemm, or as converters leave it, which fuses to one with a 2-D bias."""
    constants = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")]
    if fused:
        nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["scores"], name="gemm")]
    else:
        nodes = [
            helper.make_node("MatMul", ["x", "w"], ["product"], name="matmul"),
            helper.make_node("Add", ["product", "b"], ["scores"], name="add"),
        ]
    return model(nodes, constants, weights.shape[0], weights.shape[1])


def model(nodes: Sequence[Any], constants: Sequence[Any], width: int, height: int) -> bytes:
    """A model from x FP32 [-1,width] to scores FP32 [-1,height]."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, height])],
        list(constants),
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def endless(height: int) -> bytes:
    """Answers only after 2^60 turns of a loop."""
    turn = helper.make_graph(
        [
            helper.make_node("Identity", ["again"], ["again_out"]),
            helper.make_node("Sin", ["value"], ["value_out"]),
        ],
        "turn",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("again", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, [None, height]),
        ],
        [
            helper.make_tensor_value_info("again_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value_out", TensorProto.FLOAT, [None, height]),
        ],
    )
    constants = [
        numpy_helper.from_array(np.array(2**60, np.int64), "turns"),
        numpy_helper.from_array(np.array(True), "yes"),
    ]
    return model([helper.make_node("Loop", ["turns", "yes", "x"], ["scores"], body=turn)], constants, height, height)


def greedy(height: int) -> bytes:
    """Asks for 64 GiB while it is loaded or run."""
    constants = [numpy_helper.from_array(np.array([2**34], np.int64), "size")]
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["huge"]),
        helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["scores"]),
    ]
    return model(nodes, constants, height, height)


def reaching(path: str, height: int) -> bytes:
    """Says that its weights are in the file `path` of whoever loads it."""
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[height], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", path), ("offset", "0"), ("length", str(4 * height))):
        weights.external_data.add(key=key, value=value)
    made = onnx.load_from_string(model([helper.make_node("Add", ["x", "w"], ["scores"])], [], height, height))
    made.graph.initializer.append(weights)
    return bytes(made.SerializeToString())
