"""What the monitoring API shows: evidence in numbers, and series that a chart draws as they are."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from cloud_hub.monitoring.evidence import Evidence


class EvidenceView(BaseModel):
    """A cohort's evidence. Latencies are in microseconds, null when nothing was answered."""

    model_config = ConfigDict(frozen=True)

    devices: int
    records: int
    errors: int
    error_share: float | None
    latency_p50_us: float | None
    latency_p95_us: float | None
    predictions: dict[str, int]
    compared: int = 0
    """Of a shadow: records whose label was compared with that of the version that answered."""
    agreement: float | None = None
    """The share of those with the same label; null when none was compared."""

    @classmethod
    def of(cls, evidence: Evidence) -> "EvidenceView":
        total = evidence.total
        return cls(
            devices=evidence.devices,
            records=total.records,
            errors=total.errors,
            error_share=total.error_share,
            latency_p50_us=total.latency_quantile(0.5),
            latency_p95_us=total.latency_quantile(0.95),
            predictions=dict(total.predictions),
            compared=total.compared,
            agreement=total.agreement,
        )


class VersionSeries(BaseModel):
    """One version: a value for each of the series' `times`; null where there is nothing to say."""

    model_config = ConfigDict(frozen=True)

    version: int
    records: list[int]
    errors: list[int]
    records_per_second: list[float]
    error_share: list[float | None]
    latency_p50_us: list[float | None]
    latency_p95_us: list[float | None]
    predictions: dict[str, list[int]]
    """Label to counts."""


class SeriesView(BaseModel):
    """What one model did over the last minutes, by version, on the whole fleet or on one `device`."""

    model_config = ConfigDict(frozen=True)

    model: str
    device: str | None
    since: datetime
    until: datetime
    bucket_seconds: int
    times: list[int]
    """Unix seconds at which each bucket starts."""
    versions: list[VersionSeries]
