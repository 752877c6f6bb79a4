"""ONNX models of a few hundred bytes, with golden sets that they pass."""

import io
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fleet_contract.manifest import Golden, Manifest
from tests.fakes.releases import a_manifest, blob_of

SAMPLES = 8
FEATURES = 4
CLASSES = 3
_TYPES = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}


def a_linear_model(seed: int, *, batch: int | str = "n", input_name: str = "image", classes: int = CLASSES) -> bytes:
    """scores = image @ weights, with weights of `seed`."""
    weights = np.random.default_rng(seed).normal(size=(FEATURES, classes)).astype(np.float32)
    return _model(
        [helper.make_node("MatMul", [input_name, "weights"], ["scores"])],
        [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, [batch, FEATURES])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, classes])],
        [numpy_helper.from_array(weights, "weights")],
    )


def a_model_that_fails(on: str = "always") -> bytes:
    """A model that loads, and whose `run` fails: always, or only on records that are not zero ("nonzero")."""
    # An index beyond the table: 9, or the truncated first feature.
    index = numpy_helper.from_array(np.array([9], dtype=np.int64), "index")
    table = numpy_helper.from_array(np.zeros((1, CLASSES), dtype=np.float32), "table")
    nodes = [
        helper.make_node("Slice", ["image", "zero", "one", "one"], ["first"]),
        helper.make_node("ReduceMax", ["first"], ["most"], keepdims=0),
        helper.make_node("Ceil", ["most"], ["whole"]),
        helper.make_node("Cast", ["whole"], ["position"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "position" if on == "nonzero" else "index"], ["row"]),
        helper.make_node("Reshape", ["row", "shape"], ["scores"]),
    ]
    constants = [
        index,
        table,
        numpy_helper.from_array(np.array([0], dtype=np.int64), "zero"),
        numpy_helper.from_array(np.array([1], dtype=np.int64), "one"),
        numpy_helper.from_array(np.array([1, CLASSES], dtype=np.int64), "shape"),
    ]
    return _model(
        nodes,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", FEATURES])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", CLASSES])],
        constants,
    )


def a_wide_model() -> bytes:
    """most = max(image @ weights) of 256 columns: what comes in between takes 64 times as much as the image."""
    weights = np.ones((FEATURES, 256), np.float32)
    return _model(
        [
            helper.make_node("MatMul", ["image", "weights"], ["wide"]),
            helper.make_node("ReduceMax", ["wide"], ["most"], axes=[1]),
        ],
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", FEATURES])],
        [helper.make_tensor_value_info("most", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(weights, "weights")],
    )


def an_echo(dtype: str, width: int = 2) -> bytes:
    """y = x, of any dtype in the protocol's words, shape (n, width)."""
    kind = _TYPES[dtype]
    return _model(
        [helper.make_node("Identity", ["x"], ["y"])],
        [helper.make_tensor_value_info("x", kind, ["n", width])],
        [helper.make_tensor_value_info("y", kind, ["n", width])],
        [],
    )


def a_scaled_echo() -> bytes:
    """y = x * scale, with x of shape (n, 2), and scale a scalar."""
    return _model(
        [helper.make_node("Mul", ["x", "scale"], ["y"])],
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2]),
            helper.make_tensor_value_info("scale", TensorProto.FLOAT, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [],
    )


def a_lookup() -> bytes:
    """row = table[index]: fails beyond the table, which has 3 rows of 2."""
    table = np.arange(6, dtype=np.float32).reshape(3, 2)
    return _model(
        [helper.make_node("Gather", ["table", "index"], ["row"])],
        [helper.make_tensor_value_info("index", TensorProto.INT32, ["n"])],
        [helper.make_tensor_value_info("row", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(table, "table")],
    )


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: list[onnx.TensorProto],
) -> bytes:
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    data: bytes = model.SerializeToString()
    return data


def images(rows: int = SAMPLES, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, FEATURES)).astype(np.float32)


def scores_of(model_seed: int, rows: int = SAMPLES) -> np.ndarray:
    weights = np.random.default_rng(model_seed).normal(size=(FEATURES, CLASSES)).astype(np.float32)
    return images(rows) @ weights


def a_golden_set(scores: np.ndarray, *, inputs: np.ndarray | None = None) -> bytes:
    file = io.BytesIO()
    np.savez(file, **{"inputs/image": images(len(scores)) if inputs is None else inputs, "outputs/scores": scores})
    return file.getvalue()


@dataclass(frozen=True)
class Build:
    """A release, with its bytes."""

    manifest: Manifest
    artifact: bytes
    golden: bytes

    @property
    def blobs(self) -> dict[str, bytes]:
        return {self.manifest.artifact.digest: self.artifact, self.manifest.golden.blob.digest: self.golden}


def a_build(
    version: int,
    *,
    model: str = "digits",
    target: str = "cpu-vnni",
    artifact: bytes | None = None,
    golden: bytes | None = None,
) -> Build:
    """Version `version` of a model that works, unless its bytes are given."""
    artifact = a_linear_model(version) if artifact is None else artifact
    golden = a_golden_set(scores_of(version)) if golden is None else golden
    manifest = a_manifest(
        version,
        model=model,
        target=target,
        artifact=blob_of(artifact),
        golden=Golden(blob_of(golden), SAMPLES, min_agreement=0.9, max_abs_error=0.01),
    )
    return Build(manifest, artifact, golden)
