"""What models did over the last minutes, on the fleet or on one device: lines for charts and the figures of now."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cloud_hub.console import words
from cloud_hub.console.running import colour
from cloud_hub.monitoring.service import MonitoringService
from cloud_hub.monitoring.views import VersionSeries

SPAN_MINUTES = 15
#: What there is to see of a young fleet is drawn over at least so much time.
LEAST_SECONDS = 120
#: How long windows may take to arrive: a bucket is not drawn before, for it would look like a fall.
LATE_SECONDS = 5
#: How far back "now" reaches, in seconds.
NOW_SECONDS = 60
#: More lines than this cannot be told apart: the busiest are drawn.
MAX_LINES = 5


@dataclass(frozen=True)
class Line:
    """One version of one model, over the chart's buckets."""

    label: str
    colour: str
    series: VersionSeries


@dataclass(frozen=True)
class Now:
    """The last minute. `rate` is in records a second; latencies, in microseconds, are the busiest version's."""

    records: int
    errors: int
    rate: float | None
    p50: float | None
    p95: float | None
    busiest: str

    @property
    def error_share(self) -> float | None:
        asked = self.records + self.errors
        return self.errors / asked if asked else None


class Activity:
    """Asks for the series once, when the first chart or figure is rendered."""

    @property
    def span(self) -> str:
        """How far back the charts reach, in words."""
        times, bucket_seconds, _ = self._series
        return words.duration(len(times) * bucket_seconds)

    def __init__(self, monitoring: MonitoringService, models: Sequence[str], device: str | None = None) -> None:
        self._monitoring, self._models, self._device = monitoring, models, device

    @cached_property
    def _series(self) -> tuple[list[int], int, list[Line]]:
        """Unix seconds of the buckets, their length in seconds, and the lines, busiest first."""
        times: list[int] = []
        bucket_seconds = 1
        lines = []
        for model in self._models:
            view = self._monitoring.series(model, device=self._device, minutes=SPAN_MINUTES)
            complete = view.until.timestamp() - view.bucket_seconds - LATE_SECONDS
            times, bucket_seconds = [at for at in view.times if at <= complete], view.bucket_seconds
            lines += [Line(f"{model} v{one.version}", colour(one.version), one) for one in view.versions]
        lines.sort(key=lambda line: sum(line.series.records), reverse=True)
        start = self._start(len(times), -(-LEAST_SECONDS // bucket_seconds), lines)
        # One model's versions have the colours that they have everywhere; several models' lines must only differ.
        several = len(self._models) > 1
        lines = [
            Line(line.label, colour(place) if several else line.colour, _cut(line.series, slice(start, len(times))))
            for place, line in enumerate(lines[:MAX_LINES], 1)
        ]
        return times[start:], bucket_seconds, lines

    @staticmethod
    def _start(end: int, least: int, lines: list[Line]) -> int:
        # A fleet of a minute is not drawn as a quarter of an hour of nothing and then a corner full of lines.
        starts = [next((at for at, records in enumerate(line.series.records) if records), end) for line in lines]
        return max(0, min([*starts, end - least]))

    @cached_property
    def now(self) -> Now:
        times, bucket_seconds, lines = self._series
        recent = slice(max(0, len(times) + NOW_SECONDS // -bucket_seconds), len(times))
        records = sum(sum(line.series.records[recent]) for line in lines)
        errors = sum(sum(line.series.errors[recent]) for line in lines)
        seconds = len(times[recent]) * bucket_seconds
        busiest = max(lines, key=lambda line: sum(line.series.records[recent]), default=None)
        return Now(
            records,
            errors,
            records / seconds if records else None,
            _last(busiest.series.latency_p50_us[recent]) if busiest else None,
            _last(busiest.series.latency_p95_us[recent]) if busiest else None,
            busiest.label if busiest else "",
        )

    @property
    def rate_series(self) -> dict[str, Any]:
        times, _, lines = self._series
        drawn = [_drawn(line, line.series.records_per_second, fill=len(lines) == 1) for line in lines]
        return {"times": times, "unit": "/s", "lines": drawn}

    @property
    def latency_series(self) -> dict[str, Any]:
        times, _, lines = self._series
        drawn = [_drawn(line, _milliseconds(line.series.latency_p95_us), name="p95") for line in lines]
        if len(lines) == 1:
            quiet = {"label": "p50", "colour": "b", "values": _milliseconds(lines[0].series.latency_p50_us)}
            drawn.append(quiet)
        return {"times": times, "unit": "ms", "floor": 0.01, "lines": drawn}

    @property
    def said(self) -> tuple[str, str]:
        """The newest figures of both charts, in words."""
        now = self.now
        return (
            f"Now {words.rate(now.rate)} a second.",
            f"Now p95 {words.latency(now.p95)}, p50 {words.latency(now.p50)}.",
        )


def _cut(series: VersionSeries, kept: slice) -> VersionSeries:
    names = ("records", "errors", "records_per_second", "error_share", "latency_p50_us", "latency_p95_us")
    return series.model_copy(update={name: getattr(series, name)[kept] for name in names})


def _drawn(line: Line, values: Sequence[float | None], *, name: str = "", fill: bool = False) -> dict[str, Any]:
    rounded = [None if value is None else round(value, 4) for value in values]
    return {"label": f"{line.label} {name}".strip(), "colour": line.colour, "values": rounded, "fill": fill}


def _milliseconds(microseconds: Sequence[float | None]) -> list[float | None]:
    return [None if value is None else value / 1000 for value in microseconds]


def _last(values: Sequence[float | None]) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)
