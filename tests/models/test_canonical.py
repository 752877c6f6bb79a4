"""A graph has one spelling, whatever order a converter's hash tables had."""

import itertools

import numpy as np
import onnx

from models.canonical import canonical
from tests.models.compiler.graphs import linear


def test_the_order_of_the_operator_sets_leaves_no_trace() -> None:
    graph = onnx.load_from_string(linear(np.eye(2, dtype=np.float32), np.ones(2, np.float32)))
    opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in (("", 17), ("ai.onnx.ml", 1), ("b", 2))]
    spellings = set()
    for order in itertools.permutations(opsets):
        del graph.opset_import[:]
        graph.opset_import.extend(order)
        spellings.add(canonical(graph))
    assert len(spellings) == 1
    assert [one.domain for one in onnx.load_from_string(*spellings).opset_import] == ["", "ai.onnx.ml", "b"]
