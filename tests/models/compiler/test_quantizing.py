"""What quantizing writes is a function of its input: onnxruntime's hash maps leave no trace."""

import numpy as np
import onnx

from models.compiler.quantize import prepare, quantize
from models.compiler.targets import TARGETS
from tests.models.compiler.graphs import linear


def test_the_operator_sets_are_written_in_the_order_of_their_names() -> None:
    source = linear(np.eye(4, dtype=np.float32), np.ones(4, np.float32))
    records = {"x": np.random.default_rng(1).normal(size=(8, 4)).astype(np.float32)}
    prepared = prepare(source)
    quantized = quantize(prepared, next(iter(TARGETS.values())), False, records)
    for written in (prepared, quantized):
        names = [opset.domain for opset in onnx.load_from_string(written).opset_import]
        assert len(names) > 1
        assert names == sorted(names)
