"""What a policy's gates tolerate, as the gates take it. Pure."""

from cloud_hub.monitoring.gates import Tolerances
from cloud_hub.rollouts.policy import Gates, LatencyGate


def tolerances(asked: Gates) -> Tolerances:
    """The tolerances of `asked`; a gate that is null there is None here."""
    return Tolerances(
        installs_failed=asked.installs.max_failed if asked.installs else None,
        parity_failed=asked.parity.max_failed if asked.parity else None,
        error_increase=asked.errors.max_increase if asked.errors else None,
        latency_ratios=_ratios(asked.latency),
        memory_ratio=asked.memory.max_ratio if asked.memory else None,
        temperature_rise=asked.temperature.max_rise if asked.temperature else None,
        prediction_shift=asked.predictions.max_shift if asked.predictions else None,
        confidence_shift=asked.confidence.max_shift if asked.confidence else None,
        feature_shift=asked.features.max_shift if asked.features else None,
        disagreement=asked.agreement.max_disagreement if asked.agreement else None,
        accuracy_drop=asked.accuracy.max_drop if asked.accuracy else None,
        false_alarms=asked.false_alarms,
        correlation=asked.device_correlation,
    )


def _ratios(asked: LatencyGate | None) -> dict[float, float]:
    if asked is None:
        return {}
    quantiles = {0.5: asked.p50, 0.95: asked.p95, 0.99: asked.p99}
    return {quantile: ratio for quantile, ratio in quantiles.items() if ratio is not None}
