"""An ONNX graph in the same bytes each time."""

import onnx


def canonical(graph: onnx.ModelProto) -> bytes:
    """`graph`, serialized, its opset imports by name: onnxruntime's quantizer and skl2onnx write them in the order of
    their hash tables, which is another in each process. The order means nothing to who reads them."""
    imports = sorted(graph.opset_import, key=lambda opset: str(opset.domain))
    del graph.opset_import[:]
    graph.opset_import.extend(imports)
    return bytes(graph.SerializeToString(deterministic=True))
