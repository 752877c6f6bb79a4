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

    span = f"{SPAN_MINUTES} min"

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
            times, bucket_seconds = view.times, view.bucket_seconds
            lines += [Line(f"{model} v{one.version}", colour(one.version), one) for one in view.versions]
        end = self._end(times, bucket_seconds, lines)
        lines.sort(key=lambda line: sum(line.series.records), reverse=True)
        # One model's versions have the colours that they have everywhere; several models' lines must only differ.
        several = len(self._models) > 1
        lines = [
            Line(line.label, colour(place) if several else line.colour, _until(line.series, end))
            for place, line in enumerate(lines[:MAX_LINES], 1)
        ]
        return times[:end], bucket_seconds, lines

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

    @staticmethod
    def _end(times: list[int], bucket_seconds: int, lines: list[Line]) -> int:
        # Windows take some seconds to arrive: a newest bucket in which nothing is yet says nothing, and is not drawn.
        end = len(times)
        least = end - -(-NOW_SECONDS // bucket_seconds)
        while end > max(0, least) and not any(line.series.records[end - 1] for line in lines):
            end -= 1
        return end

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


def _until(series: VersionSeries, end: int) -> VersionSeries:
    names = ("records", "errors", "records_per_second", "error_share", "latency_p50_us", "latency_p95_us")
    return series.model_copy(update={name: getattr(series, name)[:end] for name in names})


def _drawn(line: Line, values: Sequence[float | None], *, name: str = "", fill: bool = False) -> dict[str, Any]:
    rounded = [None if value is None else round(value, 4) for value in values]
    return {"label": f"{line.label} {name}".strip(), "colour": line.colour, "values": rounded, "fill": fill}


def _milliseconds(microseconds: Sequence[float | None]) -> list[float | None]:
    return [None if value is None else value / 1000 for value in microseconds]


def _last(values: Sequence[float | None]) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)
