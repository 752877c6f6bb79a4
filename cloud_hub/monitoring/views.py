"""What the monitoring API shows: evidence in numbers, and series that a chart draws as they are."""

from datetime import UTC, datetime
from typing import Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from cloud_hub.monitoring.evidence import Evidence
from cloud_hub.monitoring.witnessed import Witnessed

_MOST = 2**31 - 1
_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(9998, 1, 1, tzinfo=UTC)


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
    labelled: int = 0
    """Records whose true label is known."""
    accuracy: float | None = None
    """The share of those that were given it; null when none is known."""

    @classmethod
    def of(cls, evidence: Evidence | Witnessed) -> "EvidenceView":
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
            labelled=total.labelled,
            accuracy=total.correct / total.labelled if total.labelled else None,
        )


class LabelRow(BaseModel):
    """Of the records that `version` answered on `device` from `from` to `until`, so many have a true label by now, and
    so many of these were given it. `from` says to which evidence it belongs."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    device: str = Field(min_length=1, max_length=63)
    version: int = Field(ge=1, le=_MOST)
    slot: Literal["default", "shadow"] = "default"
    labelled: int = Field(ge=1, le=_MOST)
    correct: int = Field(ge=0, le=_MOST)
    since: AwareDatetime = Field(alias="from", ge=_EARLIEST, le=_LATEST)
    until: AwareDatetime = Field(ge=_EARLIEST, le=_LATEST)

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.correct > self.labelled:
            raise ValueError(f"{self.correct} right ones of {self.labelled} labelled cannot be")
        if self.since > self.until:
            raise ValueError("it ends before it starts")
        return self


class LabelsIn(BaseModel):
    """Labels that arrive late. Each record is to be counted once, whether its device counted it or somebody here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: tuple[LabelRow, ...] = Field(min_length=1, max_length=1000)


class LabelsView(BaseModel):
    """How many rows were counted now, and how many had been before, under the same key."""

    model_config = ConfigDict(frozen=True)

    counted: int
    repeated: int


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
