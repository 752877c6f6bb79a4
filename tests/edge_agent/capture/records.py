"""Records to capture."""

import numpy as np

from edge_agent.capture.about import About
from edge_agent.runtimes.session import Array

DIGEST = "sha256:" + "0" * 64


def an_about(
    at_ms: int = 1_795_377_600_000,
    label: str = "7",
    confidence: float = 0.512,
    beside: str = "",
    beside_version: int = 0,
) -> About:
    return About(at_ms, "digits", 3, DIGEST, "low-margin", label, confidence, 0.02, beside, beside_version)


def noise(size_bytes: int = 256, seed: int = 0) -> dict[str, Array]:
    """The inputs of one record, which no compression makes smaller."""
    return {"pixels": np.random.default_rng(seed).integers(0, 256, (1, size_bytes), dtype=np.uint8)}
