"""Records to capture."""

import numpy as np

from edge_agent.capture.about import About
from edge_agent.runtimes.session import Array

DIGEST = "sha256:" + "0" * 64


def an_about(at_ms: int = 1_795_377_600_000, **changes: object) -> About:
    known = {"label": "7", "confidence": 0.512, "margin": 0.02, **changes}
    return About(at_ms=at_ms, model="digits", version=3, digest=DIGEST, reason="low-margin", **known)  # type: ignore[arg-type]


def noise(size_bytes: int = 256, seed: int = 0) -> dict[str, Array]:
    """The inputs of one record, which no compression makes smaller."""
    return {"pixels": np.random.default_rng(seed).integers(0, 256, (1, size_bytes), dtype=np.uint8)}
