"""The model runtimes. Each is imported when the first model asks for it: an image needs only one of them."""

import os
from pathlib import Path

from edge_agent.failures import ArtifactRejected
from edge_agent.runtimes.session import Session
from edge_agent.runtimes.settings import Settings

# ONNX Runtime's wheels since 1.29 send what they run to their maker, and keep an id of the machine in its user's cache.
# A gateway talks to its owner's hub and to nobody else. It reads this when it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def open_session(runtime: str, path: Path, settings: Settings | None = None) -> Session:
    """A session of the artifact at `path` with `runtime` ("onnx" or "tflite").

    Raises `ArtifactRejected`: "model-unreadable" when it is not what the runtime reads, "runtime-missing" when this
    device does not have the runtime.
    """
    try:
        match runtime:
            case "onnx":
                from edge_agent.runtimes.onnx import OnnxSession

                return OnnxSession(path, settings=settings)
            case "tflite":
                from edge_agent.runtimes.litert import LitertSession

                return LitertSession(path, settings=settings)
    except ImportError as error:
        raise ArtifactRejected(
            f"The runtime {runtime!r} cannot be imported on this device: {error}.",
            f"Install the extra `{'edge' if runtime == 'onnx' else 'litert'}` of vedette.",
            code="runtime-missing",
        ) from error
    raise ArtifactRejected(
        f"This agent has no runtime {runtime!r}.",
        "Build the version for runtime 'onnx' or 'tflite'.",
        code="runtime-missing",
    )
