"""Records counted one by one, in plain Python: what counting many at once is held against."""

from collections import Counter
from collections.abc import Mapping, Sequence

from edge_agent.runtimes.session import Array
from edge_agent.telemetry.counts import Counts, count_features
from edge_agent.telemetry.window import Recorder
from fleet_contract.histogram import bin_of, latency_bucket
from fleet_contract.manifest import Manifest


def record(
    recorder: Recorder,
    manifest: Manifest,
    inputs: Mapping[str, Array],
    given: Sequence[tuple[str, float]],
    latency_us: float,
    now_ms: int,
) -> None:
    """Counts one call: a row of `inputs`, a label and a confidence for each record."""
    reference = manifest.reference.confidence
    confidence = [0] * len(reference.counts)
    for _, sure in given:
        confidence[bin_of(reference.edges, sure)] += 1
    counts = Counts(
        len(given),
        Counter({latency_bucket(latency_us): len(given)}),
        Counter(label for label, _ in given),
        confidence,
        count_features(manifest, [(inputs, len(given))]),
    )
    recorder.add(manifest, counts, now_ms)
