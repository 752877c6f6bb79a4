"""Static INT8 quantization of an ONNX model with onnxruntime.quantization."""

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from models.canonical import canonical
from models.compiler.targets import Target
from models.errors import ToolchainError

_CALIBRATION_BATCH = 64
# Softmax and Sigmoid stay in float: in 8 bits, a probability would be a multiple of 1/256, and confidence blunt.
_QUANTIZED = (
    "Add",
    "AveragePool",
    "Clip",
    "Concat",
    "Conv",
    "Flatten",
    "Gemm",
    "GlobalAveragePool",
    "MatMul",
    "MaxPool",
    "Mul",
    "Relu",
    "Reshape",
    "Transpose",
)


def prepare(source: bytes) -> bytes:
    """`source` with shapes inferred and operators fused: without this, quantizing brings no speed."""
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder, "source.onnx"), Path(folder, "prepared.onnx")
        before.write_bytes(source)
        quant_pre_process(str(before), str(after), skip_symbolic_shape=True)
        model = onnx.load(str(after))
    _flatten_biases(model)
    return canonical(model)


def quantize(prepared: bytes, target: Target, per_channel: bool, calibration: Mapping[str, NDArray[Any]]) -> bytes:
    """`prepared` in INT8 (QDQ), with ranges measured on the `calibration` records. Raises `ToolchainError`."""
    with tempfile.TemporaryDirectory() as folder:
        after = Path(folder, "quantized.onnx")
        root, level = logging.getLogger(), logging.getLogger().level
        root.setLevel(logging.ERROR)
        try:
            quantize_static(
                onnx.load_from_string(prepared),
                str(after),
                _Records(calibration),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(_QUANTIZED),
                per_channel=per_channel,
                reduce_range=target.reduce_range,
                activation_type=QuantType.QInt8 if target.signed_activations else QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
            )
        except Exception as error:  # a third party's code over anybody's graph raises anything
            raise ToolchainError(
                f"onnxruntime.quantization cannot quantize the source for {target.name}: {error}",
                "Export the source with another opset or simpler operators.",
                code="quantization-failed",
            ) from error
        finally:
            root.setLevel(level)
        return canonical(onnx.load(str(after)))


class _Records(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    def __init__(self, records: Mapping[str, NDArray[Any]]) -> None:
        count = len(next(iter(records.values())))
        self._batches = (
            {name: values[start : start + _CALIBRATION_BATCH] for name, values in records.items()}
            for start in range(0, count, _CALIBRATION_BATCH)
        )

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._batches, None)


def _flatten_biases(model: Any) -> None:
    """Makes a Gemm's bias of shape (1, N) one of (N): onnxruntime.quantization fails on the former per channel."""
    biases = {node.input[2] for node in model.graph.node if node.op_type == "Gemm" and len(node.input) > 2}
    for tensor in model.graph.initializer:
        if tensor.name in biases and len(tensor.dims) == 2 and tensor.dims[0] == 1:
            del tensor.dims[0]
