"""The fleet and its models in figures, as the hub gives them."""

from datetime import datetime

import msgspec


class Running(msgspec.Struct, frozen=True):
    """On how many devices one version of a model runs."""

    model: str
    version: int
    devices: int


class FleetSummary(msgspec.Struct, frozen=True):
    """The fleet in counts. `troubled` devices have a trouble, a refused desired state or a model that they rejected."""

    total: int
    presence: dict[str, int]
    targets: dict[str, int]
    running: tuple[Running, ...]
    troubled: int


class VersionSeries(msgspec.Struct, frozen=True):
    """One version: a value for each of the series' `times`; None where there is nothing to say. Shares are of 1,
    latencies in microseconds."""

    version: int
    records: tuple[int, ...]
    errors: tuple[int, ...]
    records_per_second: tuple[float, ...]
    error_share: tuple[float | None, ...]
    latency_p50_us: tuple[float | None, ...]
    latency_p95_us: tuple[float | None, ...]
    predictions: dict[str, tuple[int, ...]]


class Series(msgspec.Struct, frozen=True):
    """What one model did over the last minutes, by version. `times` are Unix seconds at which each bucket starts."""

    model: str
    device: str | None
    since: datetime
    until: datetime
    bucket_seconds: int
    times: tuple[int, ...]
    versions: tuple[VersionSeries, ...]
