"""Three convolutional classifiers of different weight, written with onnx alone: what serving is measured with."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

CLASSES = 10
GOLDEN_SAMPLES = 8


@dataclass(frozen=True)
class Net:
    """One float record of `shape`, with the batch before it, to `CLASSES` scores. `widths` of its convolutions."""

    name: str
    shape: tuple[int, ...]
    widths: tuple[int, ...] = ()

    @property
    def input_bytes(self) -> int:
        return 4 * int(np.prod(self.shape))

    def record(self, seed: int = 0) -> NDArray[np.float32]:
        """One record, of shape (1, *shape)."""
        return np.random.default_rng(seed).normal(size=(1, *self.shape)).astype(np.float32)

    def onnx(self, seed: int = 0) -> bytes:
        """The model. Another `seed` gives other weights of the same cost."""
        rng, nodes, constants, last = np.random.default_rng(seed), [], [], "x"
        channels = self.shape[0]
        for number, width in enumerate(self.widths):
            scale = (2 / (channels * 9)) ** 0.5
            kernel = rng.normal(0, scale, (width, channels, 3, 3)).astype(np.float32)
            constants.append(numpy_helper.from_array(kernel, f"kernel{number}"))
            nodes.append(
                helper.make_node("Conv", [last, f"kernel{number}"], [f"conv{number}"], strides=[2, 2], pads=[1] * 4)
            )
            nodes.append(helper.make_node("Relu", [f"conv{number}"], [f"relu{number}"]))
            last, channels = f"relu{number}", width
        if self.widths:
            nodes += [
                helper.make_node("GlobalAveragePool", [last], ["pooled"]),
                helper.make_node("Flatten", ["pooled"], ["flat"]),
            ]
            last = "flat"
        weights = rng.normal(size=(channels, CLASSES)).astype(np.float32)
        constants.append(numpy_helper.from_array(weights, "weights"))
        nodes.append(helper.make_node("MatMul", [last, "weights"], ["scores"]))
        graph = helper.make_graph(
            nodes,
            self.name,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *self.shape])],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", CLASSES])],
            constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
        return bytes(model.SerializeToString())


#: 128 B, 110 KB and 1.2 MB of input; on a current server core some 0.01, 0.9 and 12 ms of work.
NETS = (
    Net("small", (32,)),
    Net("middle", (3, 96, 96), (48, 96, 192)),
    Net("large", (3, 320, 320), (48, 96, 176, 320)),
)


def session(model: bytes) -> Any:
    """The anchor: ONNX Runtime as a gateway should have it, one thread that does not spin."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def golden_set(net: Net, model: bytes) -> bytes:
    """An .npz with `GOLDEN_SAMPLES` records and what `model` says of them."""
    records = np.concatenate([net.record(seed) for seed in range(GOLDEN_SAMPLES)])
    scores = session(model).run(None, {"x": records})[0]
    file = io.BytesIO()
    np.savez(file, **{"inputs/x": records, "outputs/scores": scores})
    return file.getvalue()
