"""The same small models for every runtime, by name.

tflite-runtime needs an environment of its own, which has nothing to write models with: there they come from the folder
that VEDETTE_MODELS names, where `write_tflite` has put them before.
"""

import os
from pathlib import Path

DTYPES = ("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64")
RUNTIMES = ("onnx", "tflite")
NAMES = (
    "linear",
    "linear-of-2",
    "lookup",
    "quantized",
    "signature",
    "signatures",
    "passing",
    *(f"echo-{dtype}" for dtype in (*DTYPES, "BYTES")),
)


def model(runtime: str, name: str) -> bytes:
    """The file of the model `name` for `runtime`."""
    folder = os.environ.get("VEDETTE_MODELS")
    if folder is not None:
        return (Path(folder) / f"{name}.{runtime}").read_bytes()
    return _onnx(name) if runtime == "onnx" else _tflite(name)


def _onnx(name: str) -> bytes:
    from tests.fakes import tiny_models as tiny

    match name.partition("-"):
        case "linear", _, batch:
            return tiny.a_linear_model(1, batch=int(batch.removeprefix("of-")) if batch else "n")
        case "lookup", *_:
            return tiny.a_lookup()
        case "echo", _, dtype:
            return tiny.an_echo(dtype)
    raise ValueError(name)


def _tflite(name: str) -> bytes:
    from tests.fakes import tiny_tflite as tiny

    match name.partition("-"):
        case "linear", _, batch:
            return tiny.a_linear_tflite(1, batch=int(batch.removeprefix("of-")) if batch else -1)
        case "lookup", *_:
            return tiny.a_tflite_lookup()
        case "echo", _, dtype:
            return tiny.a_tflite_echo(dtype)
        case "quantized", *_:
            return tiny.a_quantized_tflite()
        case "signature", *_:
            return tiny.a_linear_tflite(1, signature=True)
        case "signatures", *_:
            return tiny.a_tflite_with_signatures()
        case "passing", *_:
            return tiny.a_tflite_that_gives_what_it_takes()
    raise ValueError(name)


def write_tflite(folder: Path) -> None:
    """All models for LiteRT."""
    for name in NAMES:
        (folder / f"{name}.tflite").write_bytes(_tflite(name))
