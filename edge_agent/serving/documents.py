"""What the server says of itself and its models, as the protocol and Triton's extensions of it word it. No I/O."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from edge_agent import __version__
from edge_agent.serving.port import Engine, ModelUnready, ServingError, Statistics
from edge_agent.serving.statistics import Counted
from fleet_contract.manifest import Manifest, Tensor

SERVER = "vedette"
EXTENSIONS = ("binary_tensor_data", "system_shared_memory", "sealed_shared_memory", "model_configuration", "statistics")
#: "<project>_<format>", the protocol's way to name what runs a model.
_PLATFORMS = {"onnx": "onnxruntime_onnx", "tflite": "litert_tflite", "litert": "litert_tflite"}
_BACKENDS = {"onnx": "onnxruntime", "tflite": "litert", "litert": "litert"}

Document = dict[str, Any]


def server() -> Document:
    """Who serves."""
    return {"name": SERVER, "version": __version__, "extensions": list(EXTENSIONS)}


def metadata(manifest: Manifest) -> Document:
    """What a model takes and gives."""
    return {
        "name": manifest.model,
        "versions": [str(manifest.version)],
        "platform": platform(manifest),
        "inputs": [_tensor(one) for one in manifest.inputs],
        "outputs": [_tensor(one) for one in manifest.outputs],
    }


def platform(manifest: Manifest) -> str:
    """What runs the model."""
    return _PLATFORMS.get(manifest.runtime, manifest.runtime)


def backend(manifest: Manifest) -> str:
    """The same in Triton's words."""
    return _BACKENDS.get(manifest.runtime, manifest.runtime)


def config_datatype(tensor: Tensor) -> str:
    """Triton's model configuration has words of its own."""
    return "TYPE_STRING" if tensor.dtype == "BYTES" else f"TYPE_{tensor.dtype}"


def config(manifest: Manifest) -> Document:
    """Triton's model configuration. `max_batch_size` is 0: the shapes name all dimensions."""
    return {
        "name": manifest.model,
        "platform": platform(manifest),
        "backend": backend(manifest),
        "version_policy": {"specific": {"versions": [manifest.version]}},
        "max_batch_size": 0,
        "input": [_configured(one) for one in manifest.inputs],
        "output": [_configured(one) for one in manifest.outputs],
    }


def statistics(engine: Engine, model: str = "", version: str = "") -> Document:
    """Of all models, one, or one version, also one of before. Raises `ModelUnknown`."""
    found = [
        _statistics(name, number, one) for name, number, one in counted(engine, model) if version in {"", str(number)}
    ]
    if version and not found:
        # It knows the word for it.
        engine.manifest(model, version)
    return {"model_stats": found}


def counted(engine: Engine, model: str = "") -> Iterator[tuple[str, int, Statistics]]:
    """Model, version and statistics of all models or one, also before its first inference. Raises `ModelUnknown`."""
    for name in (model,) if model else engine.models():
        versions = dict(engine.statistics(name))
        with suppress(ModelUnready):
            versions.setdefault(engine.manifest(name).version, Counted())
        for number, one in sorted(versions.items()):
            yield name, number, one


def index(engine: Engine, *, only_ready: bool) -> list[Document]:
    """Which models there are, and which of them answer."""
    return [
        {"name": name, "version": version, "state": "READY" if ready else "UNAVAILABLE", "reason": reason}
        for name, version, ready, reason in indexed(engine)
        if ready or not only_ready
    ]


def indexed(engine: Engine) -> Iterator[tuple[str, str, bool, str]]:
    """Name, version, whether it answers, and why not."""
    for name in engine.models():
        try:
            version = str(engine.manifest(name).version)
        except ServingError as error:
            yield name, "", False, str(error)
            continue
        ready = engine.ready(name)
        yield name, version, ready, "" if ready else "loading"


def server_unready(engine: Engine) -> ModelUnready | None:
    """Why the server is not ready, if it is not."""
    waiting = engine.awaited()
    return ModelUnready(f"Not ready yet: {', '.join(waiting)}.", "Ask again.") if waiting else None


def _tensor(tensor: Tensor) -> Document:
    return {"name": tensor.name, "datatype": tensor.dtype, "shape": list(tensor.shape)}


def _configured(tensor: Tensor) -> Document:
    return {"name": tensor.name, "data_type": config_datatype(tensor), "dims": list(tensor.shape)}


def _statistics(model: str, version: int, one: Statistics) -> Document:
    def durations(count: int, nanoseconds: int) -> Document:
        return {"count": count, "ns": nanoseconds}

    return {
        "name": model,
        "version": str(version),
        "last_inference": one.last_inference_ms,
        "inference_count": one.inference_count,
        "execution_count": one.execution_count,
        "inference_stats": {
            "success": durations(one.success_count, one.success_ns),
            "fail": durations(one.fail_count, one.fail_ns),
            "queue": durations(one.success_count + one.fail_count, one.queue_ns),
            "compute_input": durations(one.success_count, one.compute_input_ns),
            "compute_infer": durations(one.success_count, one.compute_infer_ns),
            "compute_output": durations(one.success_count, one.compute_output_ns),
            "cache_hit": durations(0, 0),
            "cache_miss": durations(0, 0),
        },
        "batch_stats": [
            {
                "batch_size": rows,
                "compute_input": durations(batch.count, batch.compute_input_ns),
                "compute_infer": durations(batch.count, batch.compute_infer_ns),
                "compute_output": durations(batch.count, batch.compute_output_ns),
            }
            for rows, batch in sorted(one.batches.items())
        ],
    }
