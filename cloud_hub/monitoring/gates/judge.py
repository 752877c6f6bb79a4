"""All gates of one version in one rollout. Pure."""

from collections.abc import Callable
from typing import Any

from cloud_hub.monitoring.gates import outcomes, telemetry
from cloud_hub.monitoring.gates.case import Case, Tolerances
from cloud_hub.monitoring.gates.verdict import Gate

_TELEMETRY: tuple[tuple[str, Callable[[Case, Tolerances, Any], Gate | None]], ...] = (
    ("error_increase", telemetry.errors),
    ("latency_ratios", telemetry.latency),
    ("memory_ratio", telemetry.memory),
    ("temperature_rise", telemetry.temperature),
    ("prediction_shift", telemetry.predictions),
    ("confidence_shift", telemetry.confidence),
    ("feature_shift", telemetry.features),
    ("disagreement", telemetry.agreement),
    ("accuracy_drop", telemetry.accuracy),
)


def judge(case: Case, tolerances: Tolerances) -> tuple[Gate, ...]:
    """The verdicts of all gates that are on and have anything to compare, now or later. A gate is left out where that
    can never be: no latency to compare with for the first version of a model, no labels that arrive, no shadow."""
    found: list[Gate | None] = []
    if tolerances.installs_failed is not None:
        found.append(outcomes.installs(case, tolerances.installs_failed, tolerances.alpha))
    if tolerances.parity_failed is not None:
        found.append(outcomes.parity(case, tolerances.parity_failed, tolerances.alpha))
    for name, gate in _TELEMETRY:
        tolerated = getattr(tolerances, name)
        if tolerated is not None and tolerated != {}:
            found.append(gate(case, tolerances, tolerated))
    return tuple(gate for gate in found if gate is not None)
