"""Telemetry that nobody sent."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cloud_hub.monitoring.evidence import Evidence, Tally
from cloud_hub.monitoring.views import SeriesView, VersionSeries
from fleet_contract.histogram import latency_bucket
from tests.fakes.paper_hub.releases import LABELS, digest


def tally(seed: str, records: int, *, worse: bool = False) -> Tally:
    """What a cohort might have shown: digits spread evenly, or piled up on a few."""
    chance = random.Random(seed)
    weights = [chance.uniform(0.8, 1.2) * ((3.2 if label in "18" else 0.6) if worse else 1) for label in LABELS]
    total = sum(weights)
    sure = [1, 2, 3, 5, 8, 14, 22, 60, 190]
    if worse:
        sure = [22, 30, 34, 30, 28, 24, 20, 16, 10]
    latency: dict[int, int] = {}
    for _ in range(300):
        bucket = latency_bucket(chance.lognormvariate(math.log(620 if not worse else 540), 0.35))
        latency[bucket] = latency.get(bucket, 0) + max(1, records // 300)
    return Tally(
        windows=max(1, records // 50),
        records=records,
        errors=records // 400,
        latency=latency,
        predictions={label: int(records * weight / total) for label, weight in zip(LABELS, weights, strict=True)},
        confidence={digest("digits", 2 if worse else 1): tuple(records * part // sum(sure) for part in sure)},
    )


@dataclass
class FakeMonitoring:
    now: Callable[[], datetime]
    running: dict[str, tuple[int, ...]] = field(default_factory=dict)
    devices: int = 42

    def evidence(
        self,
        model: str,
        since: datetime,
        *,
        version: int | None = None,
        not_version: int | None = None,
        slot: str = "default",
    ) -> Evidence:
        if version is None:
            return Evidence({f"device-{i}": tally(f"{model}{i}", 2200) for i in range(20)})
        if version not in self.running.get(model, ()) and version != 2:
            return Evidence()
        return Evidence({f"canary-{i}": tally(f"{model}c{i}", 900, worse=version == 2) for i in range(2)})

    def series(self, model: str, *, device: str | None = None, minutes: int = 15) -> SeriesView:
        now, step = self.now(), 10
        first = int((now - timedelta(minutes=minutes)).timestamp()) // step * step
        times = list(range(first, int(now.timestamp()) + 1, step))
        versions = []
        for place, version in enumerate(self.running.get(model, ())):
            share = 0.8 if place == 0 else 0.2
            full = (1 if device else self.devices) * 4.0 * share
            start = 0 if place == 0 else len(times) * 2 // 3
            rates = [
                round(full * (1 + 0.1 * math.sin(at / 40) + 0.05 * random.Random(f"{model}{version}{at}").random()), 3)
                if index >= start and index < len(times) - 1
                else 0.0
                for index, at in enumerate(times)
            ]
            p50 = [
                580 + 30 * math.sin(at / 90) + 60 * place if rate else None
                for at, rate in zip(times, rates, strict=True)
            ]
            versions.append(
                VersionSeries(
                    version=version,
                    records=[int(rate * step) for rate in rates],
                    errors=[int(rate > 0 and at % 170 == 0) for at, rate in zip(times, rates, strict=True)],
                    records_per_second=rates,
                    error_share=[0.0 if rate else None for rate in rates],
                    latency_p50_us=p50,
                    latency_p95_us=[None if value is None else value * 1.7 for value in p50],
                    predictions={},
                )
            )
        return SeriesView(
            model=model,
            device=device,
            since=datetime.fromtimestamp(first, UTC),
            until=now,
            bucket_seconds=step,
            times=times,
            versions=versions,
        )
