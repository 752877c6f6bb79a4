"""What the fleet's models did lately, for gates and for charts.

Wiring: `MonitoringService(database, now)`; `now` gives aware UTC datetimes.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from cloud_hub.database import Database
from cloud_hub.monitoring import store
from cloud_hub.monitoring.evidence import Tally, merge
from cloud_hub.monitoring.reader import EvidenceReader
from cloud_hub.monitoring.store import KEPT, SLICE_SECONDS, Slice
from cloud_hub.monitoring.views import SeriesView, VersionSeries
from cloud_hub.monitoring.witnessed import Witnessed
from fleet_contract.desired import DEFAULT_SLOT

MAX_MINUTES = int(KEPT.total_seconds() // 60)
_POINTS = 120


class MonitoringService:
    """Thread-safe."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now
        self.reader = EvidenceReader()

    def evidence(
        self,
        model: str,
        since: datetime,
        *,
        version: int | None = None,
        not_version: int | None = None,
        slot: str = DEFAULT_SLOT,
    ) -> Witnessed:
        """What devices have shown with `slot` of `model` since `since`, all added up: with `version` only, or with all
        but `not_version`."""
        with self._database.reading() as session:
            return self.reader.evidence(
                session, model, since, version=version, not_version=not_version, slot=slot, apart=0
            )

    def series(self, model: str, *, device: str | None = None, minutes: int = 15) -> SeriesView:
        """What `model` did in the last `minutes`, on all devices or on `device`, in at most some 120 buckets."""
        minutes = max(1, min(minutes, MAX_MINUTES))
        bucket_seconds = SLICE_SECONDS * max(1, -(-minutes * 60 // (_POINTS * SLICE_SECONDS)))
        until = self._now()
        first = int((until - timedelta(minutes=minutes)).timestamp())
        first -= first % bucket_seconds
        times = list(range(first, int(until.timestamp()) + 1, bucket_seconds))
        since = datetime.fromtimestamp(first, until.tzinfo)
        with self._database.reading() as session:
            if device is None:
                slices = store.slices(session, model, since, until)
            else:
                slices = store.device_slices(session, device, model, since, until)
        return SeriesView(
            model=model,
            device=device,
            since=since,
            until=until,
            bucket_seconds=bucket_seconds,
            times=times,
            versions=_versions(slices, times, bucket_seconds),
        )


def _versions(slices: Iterable[Slice], times: list[int], bucket_seconds: int) -> list[VersionSeries]:
    buckets: dict[int, dict[int, list[Tally]]] = {}
    for one in slices:
        at = (one.started_at_ms // 1000 - times[0]) // bucket_seconds
        buckets.setdefault(one.version, {}).setdefault(at, []).append(one.tally)
    return [
        _version(version, [merge(found.get(at, ())) for at in range(len(times))], bucket_seconds)
        for version, found in sorted(buckets.items())
    ]


def _version(version: int, tallies: list[Tally], bucket_seconds: int) -> VersionSeries:
    labels = sorted({label for one in tallies for label in one.predictions})
    return VersionSeries(
        version=version,
        records=[one.records for one in tallies],
        errors=[one.errors for one in tallies],
        records_per_second=[round(one.records / bucket_seconds, 3) for one in tallies],
        error_share=[one.error_share for one in tallies],
        latency_p50_us=[one.latency_quantile(0.5) for one in tallies],
        latency_p95_us=[one.latency_quantile(0.95) for one in tallies],
        predictions={label: [one.predictions.get(label, 0) for one in tallies] for label in labels},
    )
