"""Accelerators that are not there: sessions that compute as a test says."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from edge_agent.failures import ArtifactRejected
from edge_agent.runtimes.choice import ChosenSession, Ways
from edge_agent.runtimes.session import Array, InferenceFailed
from edge_agent.runtimes.verdicts import Verdicts
from fleet_contract.manifest import Tensor
from tests.fakes.tiny_models import CLASSES, FEATURES

Kind = Callable[[Array], Array]


def right(scores: Array) -> Array:
    return scores


def wrong(scores: Array) -> Array:
    """Each label is the next one: what it takes for an accelerator to compute something else."""
    return np.roll(scores, 1, axis=1)


def coarse(scores: Array) -> Array:
    """In so few bits that the labels stay and the values do not."""
    return scores.round(1) + 0.1


def failing(scores: Array) -> Array:
    raise InferenceFailed("The accelerator ran out of its own memory.")


def slow(scores: Array) -> Array:
    time.sleep(0.003)
    return scores


class FakeSession:
    """scores = image @ weights of `seed`, bent by `kind`."""

    def __init__(self, seed: int, kind: Kind, outputs: tuple[Tensor, ...] | None = None) -> None:
        self._weights = np.random.default_rng(seed).normal(size=(FEATURES, CLASSES)).astype(np.float32)
        self._kind = kind
        self.inputs = (Tensor("image", "FP32", (-1, FEATURES)),)
        self.outputs = outputs or (Tensor("scores", "FP32", (-1, CLASSES)),)
        self.closed = False

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        assert not self.closed
        return {"scores": self._kind(inputs["image"] @ self._weights)}

    def close(self) -> None:
        assert not self.closed
        self.closed = True


class Device:
    """A device whose accelerators and trusted ways compute version 1 in these kinds; None: cannot be opened."""

    def __init__(self, artifact: Path, **kinds: Kind | None) -> None:
        self.artifact = artifact
        self.kinds = kinds
        self.opened: list[tuple[str, FakeSession]] = []
        self.runtime = "onnxruntime 1.32.0"
        self.other_signature: set[str] = set()

    def load(self, *, at_any_speed: bool = False) -> ChosenSession:
        """A new start: the accelerators are those whose names begin with "npu"."""
        accelerators = tuple(one for one in self.kinds if one.startswith("npu"))
        trusted = tuple(one for one in self.kinds if not one.startswith("npu"))
        return ChosenSession(
            self._open, Ways(accelerators, trusted, at_any_speed), Verdicts(self.artifact, self.runtime)
        )

    def names(self) -> list[str]:
        return [name for name, _ in self.opened]

    def still_open(self) -> list[str]:
        return [name for name, session in self.opened if not session.closed]

    def _open(self, name: str) -> FakeSession:
        kind = self.kinds[name]
        if kind is None:
            raise ArtifactRejected(f"{name} has no driver.", code="provider-unusable")
        outputs = (Tensor("other", "FP32", (-1, CLASSES)),) if name in self.other_signature else None
        self.opened.append((name, FakeSession(1, kind, outputs)))
        return self.opened[-1][1]
