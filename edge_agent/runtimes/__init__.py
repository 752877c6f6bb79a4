"""The model runtimes. Each is imported when the first model asks for it: an image needs only one of them."""

import os
from pathlib import Path

from edge_agent.failures import ArtifactRejected
from edge_agent.runtimes.session import Session

# ONNX Runtime's wheels since 1.29 send what they run to their maker, and keep an id of the machine in its user's cache.
# A gateway talks to its owner's hub and to nobody else. It reads this when it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def open_session(runtime: str, path: Path) -> Session:
    """A session of the artifact at `path` with `runtime` ("onnx").

    Raises `ArtifactRejected`: "model-unreadable" when it is not what the runtime reads, "runtime-missing" when this
    device does not have the runtime.
    """
    if runtime != "onnx":
        raise ArtifactRejected(
            f"This agent has no runtime {runtime!r}.", "Build the version for runtime 'onnx'.", code="runtime-missing"
        )
    try:
        from edge_agent.runtimes.onnx import OnnxSession
    except ImportError as error:
        raise ArtifactRejected(
            f"ONNX Runtime cannot be imported on this device: {error}.",
            "Install the extra `edge` of vedette.",
            code="runtime-missing",
        ) from error
    return OnnxSession(path)
