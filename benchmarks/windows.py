"""Windows as a gateway makes them: real scans through the real digits, counted by the agent's own code.

The model answers every scan of the replay data once. A window then counts a random draw of these answers, with the
latencies that were measured, over ten seconds: what `Recorder` would make of a source at that rate that knows the true
labels. Memory and temperature wander as on a device that is in use.
"""

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from edge_agent.runtimes import open_session
from edge_agent.runtimes.session import Array, Session
from edge_agent.telemetry import features
from edge_agent.telemetry.answer import answers, labels
from fleet_contract.histogram import bin_of, latency_bucket
from fleet_contract.manifest import Manifest
from fleet_contract.telemetry import Window
from tests.built import built_digits

WINDOW_MS = 10_000
START_MS = 1_795_377_600_000


class Record(NamedTuple):
    """One scan: the label that it is given, whether that is the true one, and the bins that it falls into."""

    label: str
    right: bool
    confidence: int
    features: tuple[int, ...]


class Digits:
    """Answers of digits to real scans, to draw windows from."""

    def __init__(self) -> None:
        cache = Path(__file__).parent.parent / ".pytest_cache" / "d" / "vedette"
        cache.mkdir(parents=True, exist_ok=True)
        built = built_digits(cache)
        document = (built.good / "manifest.cpu-avx2.json").read_bytes()
        self.manifest = msgspec.structs.replace(msgspec.json.decode(document, type=Manifest), version=3)
        session = open_session(self.manifest.runtime, built.good / "artifact.cpu-avx2.onnx")
        with np.load(built.replay) as replay:
            truth = [self.manifest.labels[at] for at in replay["labels"]]
            inputs = {name.removeprefix("inputs/"): replay[name] for name in replay.files if name.startswith("inputs/")}
        rows = len(next(iter(inputs.values())))
        edges = self.manifest.reference.confidence.edges
        columns = [
            [bin_of(one.edges, value) for value in _values(name, inputs, rows)]
            for name, one in self.manifest.reference.features.items()
        ]
        given = answers(self.manifest, session.run(inputs))
        self.records = [
            Record(label, label == truth[at], bin_of(edges, sure), tuple(row[at] for row in columns))
            for at, (label, sure) in enumerate(
                zip(labels(self.manifest, given), given.confidence.tolist(), strict=True)
            )
        ]
        self.latencies = [_latency(session, inputs, at % rows) for at in range(500)]
        session.close()

    def windows(self, count: int, records: int, seed: int = 0) -> Iterator[Window]:
        """`count` windows of `records` each, one after the other."""
        chance = random.Random(seed)
        reference = self.manifest.reference
        pages, degrees = 22_000, 50.0
        for number in range(count):
            pages += chance.randrange(-40, 41)
            degrees = min(max(degrees + chance.gauss(0, 0.3), 35.0), 75.0)
            drawn = chance.choices(self.records, k=records)
            confidence = [0] * len(reference.confidence.counts)
            bins = {name: [0] * len(one.counts) for name, one in reference.features.items()}
            for record in drawn:
                confidence[record.confidence] += 1
                for column, at in zip(bins.values(), record.features, strict=True):
                    column[at] += 1
            started_at_ms = START_MS + number * WINDOW_MS + chance.randrange(20)
            yield Window(
                sequence=0,
                model=self.manifest.model,
                version=self.manifest.version,
                digest=self.manifest.artifact.digest,
                started_at_ms=started_at_ms,
                ended_at_ms=started_at_ms + WINDOW_MS,
                count=records,
                errors=0,
                latency=dict(Counter(chance.choices(self.latencies, k=records))),
                predictions=dict(Counter(record.label for record in drawn)),
                confidence=tuple(confidence),
                features={name: tuple(counts) for name, counts in bins.items()},
                memory_bytes=pages * 4096,
                temperature_c=round(degrees, 1),
                labelled=records,
                correct=sum(record.right for record in drawn),
            )


def _values(name: str, inputs: dict[str, Array], rows: int) -> list[float]:
    found = features.values(name, inputs, rows)
    assert found is not None
    return [float(value) for value in found]


def _latency(session: Session, inputs: dict[str, Array], at: int) -> int:
    one = {name: array[at : at + 1] for name, array in inputs.items()}
    began = time.perf_counter()
    session.run(one)
    return latency_bucket((time.perf_counter() - began) * 1e6)
