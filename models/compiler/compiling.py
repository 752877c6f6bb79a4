"""Compiles a source model for one hardware target: tries the ways there are, and keeps the best inside the budget."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.compiler.golden import Arrays, Closeness, closeness
from models.compiler.quantize import prepare, quantize
from models.compiler.session import Model
from models.compiler.targets import Target
from models.errors import OverBudget
from models.recipe import Budget, Data


@dataclass(frozen=True)
class Truth:
    """What candidates are measured against: held-out records, and the source's own answers to them."""

    held_out: Data
    outputs: Arrays
    first: str
    """The output whose arg-max names the label."""

    @property
    def accuracy(self) -> float:
        """The source's, 0 to 1."""
        return _accuracy(self.outputs, self)


@dataclass(frozen=True)
class Evidence:
    """What one artifact was measured to do, in its target's arithmetic; latency is this machine's."""

    accuracy: float
    source_accuracy: float
    agreement: float
    latency_us: float
    size_bytes: int

    def within(self, budget: Budget) -> bool:
        return self.source_accuracy - self.accuracy <= budget.accuracy_loss and self.agreement >= budget.min_agreement

    def __str__(self) -> str:
        return (
            f"accuracy {self.accuracy:.4f} after {self.source_accuracy:.4f}, agreement {self.agreement:.4f}, "
            f"{self.size_bytes} bytes, {self.latency_us:.0f} us"
        )


@dataclass(frozen=True)
class Compiled:
    """An artifact for `target`. `per_channel` says which way won; `outputs` are its answers to the held-out records."""

    target: Target
    onnx: bytes
    per_channel: bool
    evidence: Evidence
    outputs: Arrays


def compile_for(
    target: Target,
    source: bytes,
    calibration: Arrays,
    truth: Truth,
    budget: Budget,
    tell: Callable[[str], None],
) -> Compiled:
    """The best artifact for `target`: the fewest disagreements with the source, then the smallest.

    `calibration` are training records, which set the ranges. Raises `OverBudget`, with the numbers.
    """
    prepared = prepare(source)
    candidates = []
    for per_channel in (False, True):
        candidate = _measure(target, quantize(prepared, target, per_channel, calibration), per_channel, truth)
        tell(f"{target.name} {'per channel' if per_channel else 'per tensor'}: {candidate.evidence}")
        candidates.append(candidate)
    best = min(candidates, key=lambda one: (-one.evidence.agreement, one.evidence.size_bytes))
    fitting = [one for one in candidates if one.evidence.within(budget)]
    if not fitting:
        evidence = best.evidence
        raise OverBudget(
            f"Compiled for {target.name}, the model has accuracy {evidence.accuracy:.4f} where its source has "
            f"{evidence.source_accuracy:.4f} (it may lose {budget.accuracy_loss:.4f}), and agrees with it on "
            f"{evidence.agreement:.4f} of {len(truth.held_out)} records (it must on {budget.min_agreement:.4f}).",
            "Train a source that quantizes better, add calibration records, or widen the recipe's budget.",
        )
    return min(fitting, key=lambda one: (-one.evidence.agreement, one.evidence.size_bytes))


def worst_closeness(onnx: bytes, inputs: Arrays, expected: Arrays, first: str) -> Closeness:
    """How close the artifact is to `expected`, on processors that saturate and on those that do not."""
    as_here, exact = (closeness(expected, Model(onnx, exact=exact).run(inputs), first) for exact in (False, True))
    return as_here.worse(exact)


def _measure(target: Target, onnx: bytes, per_channel: bool, truth: Truth) -> Compiled:
    outputs = Model(onnx, exact=target.exact).run(truth.held_out.inputs)
    evidence = Evidence(
        accuracy=_accuracy(outputs, truth),
        source_accuracy=truth.accuracy,
        agreement=closeness(truth.outputs, outputs, truth.first).agreement,
        latency_us=Model(onnx).latency_us(truth.held_out.inputs),
        size_bytes=len(onnx),
    )
    return Compiled(target, onnx, per_channel, evidence, outputs)


def _accuracy(outputs: Arrays, truth: Truth) -> float:
    predicted: NDArray[np.int64] = outputs[truth.first].argmax(1)
    return float((predicted == truth.held_out.labels).mean())
