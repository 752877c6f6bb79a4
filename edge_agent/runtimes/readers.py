"""Who reads a model's inputs, as its .onnx file says. Only as much of the format is known here as that takes: a device
has no ONNX package."""

import os
from collections.abc import Iterable, Iterator
from typing import BinaryIO

#: These compute with the numbers that they read, whatever these are, and what they give is memory of the runtime's own.
#: Before others are added it is to be seen how they do it: what sorts by numbers where they lie runs beyond its memory
#: when they change meanwhile.
_COMPUTE = frozenset(
    {
        *(b"Conv", b"ConvInteger", b"ConvTranspose", b"QLinearConv"),
        *(b"Gemm", b"MatMul", b"MatMulInteger", b"QLinearMatMul"),
        *(b"BatchNormalization", b"InstanceNormalization", b"LayerNormalization"),
        *(b"AveragePool", b"GlobalAveragePool", b"GlobalMaxPool", b"MaxPool"),
        *(b"ReduceMax", b"ReduceMean", b"ReduceMin", b"ReduceSum"),
        *(b"Relu", b"LeakyRelu", b"PRelu", b"Sigmoid", b"Tanh", b"Softmax", b"Exp", b"Log", b"Sqrt"),
        *(b"QuantizeLinear", b"DynamicQuantizeLinear"),
        *(b"Shape", b"Size"),
    }
)
#: These are as harmless, and a runtime may leave them out, such as an addition of 0: who reads what they give is looked
#: at, too.
_PASS_ON = frozenset(
    {
        *(b"Identity", b"Dropout", b"Reshape", b"Flatten", b"Squeeze", b"Unsqueeze"),
        *(b"Transpose", b"Concat", b"Split", b"Slice", b"Pad"),
        *(b"Add", b"Sub", b"Mul", b"Div", b"Pow", b"Abs", b"Neg", b"Clip", b"Cast", b"DequantizeLinear"),
    }
)
#: Numbers of fields, as onnx.proto has them.
_MODEL_GRAPH, _GRAPH_NODE = 7, 1
_NODE_INPUT, _NODE_OUTPUT, _NODE_OP_TYPE, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 4, 5, 7
_ATTRIBUTE_GRAPHS = frozenset({6, 11})
_OWN_DOMAINS = frozenset({b"", b"ai.onnx"})
_VARINT, _LENGTH = 0, 2
#: Of the other kinds, in bytes.
_SIZES = {1: 8, 5: 4}


def bear_change(file: BinaryIO, inputs: Iterable[str]) -> bool:
    """Whether nothing worse than a wrong answer comes of it when the numbers in `inputs` of the .onnx in `file` change
    while it runs. Raises `OSError`, and `ValueError` for what is no such file."""
    graphs = [place for number, place in _fields(file, range(file.seek(0, os.SEEK_END))) if number == _MODEL_GRAPH]
    return all(_bears_change(file, graph, inputs) for graph in graphs)


def _bears_change(file: BinaryIO, graph: range, inputs: Iterable[str]) -> bool:
    changing = {name.encode() for name in inputs}
    # They come in an order in which they can run.
    for node in [place for number, place in _fields(file, graph) if number == _GRAPH_NODE]:
        fields = list(_fields(file, node))
        if any(_has_graph(file, place) for number, place in fields if number == _NODE_ATTRIBUTE):
            # Which may read whatever is outside of it.
            return False
        if changing.isdisjoint(_texts(file, fields, _NODE_INPUT)):
            continue
        (kind,) = _texts(file, fields, _NODE_OP_TYPE)
        if kind not in _COMPUTE | _PASS_ON or not _OWN_DOMAINS.issuperset(_texts(file, fields, _NODE_DOMAIN)):
            return False
        if kind in _PASS_ON:
            changing.update(_texts(file, fields, _NODE_OUTPUT))
    return True


def _has_graph(file: BinaryIO, attribute: range) -> bool:
    return any(number in _ATTRIBUTE_GRAPHS for number, _ in _fields(file, attribute))


def _texts(file: BinaryIO, fields: Iterable[tuple[int, range]], wanted: int) -> list[bytes]:
    found = []
    for number, place in fields:
        if number == wanted:
            file.seek(place.start)
            found.append(file.read(len(place)))
    return found


def _fields(file: BinaryIO, message: range) -> Iterator[tuple[int, range]]:
    """Of each field in `message` its number, and where what it holds is: nowhere, for a plain number."""
    at = message.start
    while at < message.stop:
        file.seek(at)
        key = _varint(file)
        match key & 7:
            case kind if kind == _VARINT:
                _varint(file)
                size = 0
            case kind if kind == _LENGTH:
                size = _varint(file)
            case kind if kind in _SIZES:
                size = _SIZES[kind]
            case kind:
                raise ValueError(f"there is no field of the kind {kind}")
        start = file.tell()
        at = start + size
        if at > message.stop:
            raise ValueError("a field ends behind what it is in")
        yield key >> 3, range(start, at)


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        (byte,) = file.read(1) or b"\x80"
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
    raise ValueError("a number does not end")
