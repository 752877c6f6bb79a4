"""TFLite models of about a kilobyte, written without TensorFlow: what `tiny_models` has for ONNX."""

from collections.abc import Sequence
from dataclasses import dataclass

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from fleet_contract.manifest import Golden, Tensor
from tests.fakes.releases import a_manifest, blob_of
from tests.fakes.tiny_models import CLASSES, FEATURES, SAMPLES, Build, a_golden_set, scores_of

_TYPES = {
    "BOOL": schema.TensorType.BOOL,
    "UINT8": schema.TensorType.UINT8,
    "UINT16": schema.TensorType.UINT16,
    "UINT32": schema.TensorType.UINT32,
    "UINT64": schema.TensorType.UINT64,
    "INT8": schema.TensorType.INT8,
    "INT16": schema.TensorType.INT16,
    "INT32": schema.TensorType.INT32,
    "INT64": schema.TensorType.INT64,
    "FP16": schema.TensorType.FLOAT16,
    "FP32": schema.TensorType.FLOAT32,
    "FP64": schema.TensorType.FLOAT64,
    "BYTES": schema.TensorType.STRING,
}


@dataclass(frozen=True)
class Quantized:
    """real = scale * (stored - zero_point)"""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class Named:
    """A signature: names for tensors of one of a model's graphs."""

    inputs: dict[str, int]
    outputs: dict[str, int]
    key: str = "serving_default"
    subgraph: int = 0

    def signature(self) -> schema.SignatureDefT:
        made = schema.SignatureDefT()
        made.signatureKey, made.subgraphIndex = self.key.encode(), self.subgraph
        made.inputs = [_named(name, index) for name, index in self.inputs.items()]
        made.outputs = [_named(name, index) for name, index in self.outputs.items()]
        return made


class Graph:
    """One subgraph, put together in the order of execution."""

    def __init__(self) -> None:
        self._tensors: list[schema.TensorT] = []
        # The first buffer is the empty one, by convention.
        self._buffers = [schema.BufferT()]
        self._codes: list[schema.OperatorCodeT] = []
        self._operators: list[schema.OperatorT] = []

    def tensor(self, one: Tensor, *, values: np.ndarray | None = None, quantized: Quantized | None = None) -> int:
        """The index of a tensor: a constant when it has `values`, else free where its shape has -1."""
        tensor = schema.TensorT()
        tensor.name = one.name.encode()
        tensor.type = _TYPES[one.dtype]
        tensor.shape = [1 if size < 0 else size for size in one.shape]
        if -1 in one.shape:
            tensor.shapeSignature = list(one.shape)
        if quantized is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = [quantized.scale]
            tensor.quantization.zeroPoint = [quantized.zero_point]
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(values.tobytes(), dtype=np.uint8)
            self._buffers.append(buffer)
            tensor.buffer = len(self._buffers) - 1
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def node(
        self, builtin: int, inputs: Sequence[int], outputs: Sequence[int], kind: int = 0, options: object = None
    ) -> None:
        """An operation; `kind` and `options` are its builtin options."""
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), 1
        self._codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self._codes) - 1
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        operator.builtinOptionsType, operator.builtinOptions = kind, options
        self._operators.append(operator)

    def model(self, inputs: Sequence[int], outputs: Sequence[int], *signatures: Named) -> bytes:
        """The file. With `signatures`, names for tensors by which a converter's users know them; a graph beside the
        main one computes the same."""
        graph = schema.SubGraphT()
        graph.tensors, graph.operators = self._tensors, self._operators
        graph.inputs, graph.outputs = list(inputs), list(outputs)
        model = schema.ModelT()
        model.version, model.description = 3, b"tiny"
        model.operatorCodes, model.buffers = self._codes, self._buffers
        model.subgraphs = [graph] * (1 + max((one.subgraph for one in signatures), default=0))
        model.signatureDefs = [one.signature() for one in signatures]
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def _named(name: str, index: int) -> schema.TensorMapT:
    one = schema.TensorMapT()
    one.name, one.tensorIndex = name.encode(), index
    return one


def _fully_connected() -> schema.FullyConnectedOptionsT:
    return schema.FullyConnectedOptionsT()


def a_linear_tflite(
    seed: int, *, batch: int = -1, input_name: str = "image", classes: int = CLASSES, signature: bool = False
) -> bytes:
    """scores = image @ weights, with weights of `seed`: what `a_linear_model` computes."""
    weights = np.random.default_rng(seed).normal(size=(FEATURES, classes)).astype(np.float32)
    graph = Graph()
    stored = "serving_default_" + input_name + ":0" if signature else input_name
    image = graph.tensor(Tensor(stored, "FP32", (batch, FEATURES)))
    table = graph.tensor(Tensor("weights", "FP32", (classes, FEATURES)), values=np.ascontiguousarray(weights.T))
    scores = graph.tensor(Tensor("StatefulPartitionedCall:0" if signature else "scores", "FP32", (batch, classes)))
    graph.node(
        schema.BuiltinOperator.FULLY_CONNECTED,
        [image, table, -1],
        [scores],
        schema.BuiltinOptions.FullyConnectedOptions,
        _fully_connected(),
    )
    return graph.model([image], [scores], *([Named({input_name: image}, {"scores": scores})] if signature else []))


def a_tflite_with_signatures() -> bytes:
    """y = 2 * x, with one more signature for each way in which one may not be the main graph's: of another graph with
    the same indices, of less, of more. They come before it in every order."""
    graph = Graph()
    x = graph.tensor(Tensor("args_0:0", "FP32", (-1, 2)))
    two = graph.tensor(Tensor("two", "FP32", (1, 2)), values=np.array([2, 2], dtype=np.float32))
    y = graph.tensor(Tensor("Identity:0", "FP32", (-1, 2)))
    graph.node(schema.BuiltinOperator.MUL, [x, two], [y], schema.BuiltinOptions.MulOptions, schema.MulOptionsT())
    return graph.model(
        [x],
        [y],
        Named({"other": x}, {"others": y}, key="a_graph_beside_it", subgraph=1),
        Named({"less": x}, {}, key="b_less"),
        Named({"more": x, "table": two}, {"mores": y}, key="c_more"),
        Named({"x": x}, {"y": y}),
    )


def a_tflite_that_gives_what_it_takes() -> bytes:
    """y is x itself, and twice is 2 * x: a tensor has one name as an input, and another as an output."""
    graph = Graph()
    x = graph.tensor(Tensor("args_0:0", "FP32", (-1, 2)))
    two = graph.tensor(Tensor("two", "FP32", (1, 2)), values=np.array([2, 2], dtype=np.float32))
    twice = graph.tensor(Tensor("Identity:0", "FP32", (-1, 2)))
    graph.node(schema.BuiltinOperator.MUL, [x, two], [twice], schema.BuiltinOptions.MulOptions, schema.MulOptionsT())
    return graph.model([x], [x, twice], Named({"x": x}, {"y": x, "twice": twice}))


def a_tflite_echo(dtype: str, width: int = 2) -> bytes:
    """y = x, of any dtype, shape (-1, width)."""
    graph = Graph()
    x = graph.tensor(Tensor("x", dtype, (-1, width)))
    shape = graph.tensor(Tensor("shape", "INT32", (2,)), values=np.array([-1, width], dtype=np.int32))
    y = graph.tensor(Tensor("y", dtype, (-1, width)))
    graph.node(schema.BuiltinOperator.RESHAPE, [x, shape], [y])
    return graph.model([x], [y])


def a_tflite_lookup() -> bytes:
    """row = table[index]: fails beyond the table, which has 3 rows of 2."""
    graph = Graph()
    index = graph.tensor(Tensor("index", "INT32", (-1,)))
    table = graph.tensor(Tensor("table", "FP32", (3, 2)), values=np.arange(6, dtype=np.float32))
    row = graph.tensor(Tensor("row", "FP32", (-1, 2)))
    graph.node(
        schema.BuiltinOperator.GATHER,
        [table, index],
        [row],
        schema.BuiltinOptions.GatherOptions,
        schema.GatherOptionsT(),
    )
    return graph.model([index], [row])


def a_quantized_tflite() -> bytes:
    """UINT8 in and out: stored as 2 * (x - 0), so that 3 becomes 6; quantized tensors come and go as they are."""
    graph = Graph()
    x = graph.tensor(Tensor("x", "UINT8", (-1, 2)), quantized=Quantized(1.0, 0))
    two = graph.tensor(
        Tensor("two", "UINT8", (1, 2)), values=np.array([2, 2], dtype=np.uint8), quantized=Quantized(1.0, 0)
    )
    y = graph.tensor(Tensor("y", "UINT8", (-1, 2)), quantized=Quantized(1.0, 0))
    graph.node(schema.BuiltinOperator.MUL, [x, two], [y], schema.BuiltinOptions.MulOptions, schema.MulOptionsT())
    return graph.model([x], [y])


def a_tflite_build(version: int, *, model: str = "digits") -> Build:
    """What `a_build` is, for the runtime "tflite"."""
    artifact, golden = a_linear_tflite(version), a_golden_set(scores_of(version))
    manifest = a_manifest(
        version,
        model=model,
        runtime="tflite",
        artifact=blob_of(artifact),
        golden=Golden(blob_of(golden), SAMPLES, min_agreement=0.9, max_abs_error=0.01),
    )
    return Build(manifest, artifact, golden)
