"""What a cohort of devices has shown: windows added up exactly, device by device. No I/O, no clock, no randomness."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import zip_longest
from math import isfinite, log2
from typing import Any, NamedTuple, TypeVar

from fleet_contract.histogram import add_latency, add_sparse, latency_quantile

_T = TypeVar("_T")
_NOTHING: Mapping[str, tuple[int, ...]] = {}
#: Of memory, so many buckets for each doubling: some 4 % wide.
_MEMORY_BUCKETS = 16


def memory_bucket(size_bytes: int) -> int:
    """The bucket of a memory size; each holds sizes within some 4 % of each other."""
    return round(log2(max(1, size_bytes)) * _MEMORY_BUCKETS)


def memory_of(bucket: int) -> float:
    """The size, in bytes, that stands for a bucket."""
    return float(2.0 ** (bucket / _MEMORY_BUCKETS))


class Counted(NamedTuple):
    """What one window counted on one device, of that hardware `target`; fields as in
    `fleet_contract.telemetry.Window`."""

    device: str
    digest: str
    records: int
    errors: int
    latency: Mapping[int, int]
    predictions: Mapping[str, int]
    confidence: tuple[int, ...]
    error_codes: Mapping[str, int]
    compared: int = 0
    agreed: int = 0
    features: Mapping[str, tuple[int, ...]] = _NOTHING
    labelled: int = 0
    correct: int = 0
    memory_bytes: int = 0
    temperature: float | None = None
    target: str = ""


@dataclass(frozen=True)
class Tally:
    """Windows added up. `records` were answered; `errors` failed, and are not among them."""

    windows: int = 0
    records: int = 0
    errors: int = 0
    latency: Mapping[int, int] = field(default_factory=dict)
    """Bucket (`fleet_contract.histogram.latency_bucket`) to count."""
    predictions: Mapping[str, int] = field(default_factory=dict)
    """Label to count."""
    confidence: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Counts over the edges of the manifest's reference, by artifact digest: other artifacts may have other edges."""
    error_codes: Mapping[str, int] = field(default_factory=dict)
    compared: int = 0
    """Of a shadow: records whose label was compared with that of the version that answered."""
    agreed: int = 0
    """Of those, how many had the same."""
    features: Mapping[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)
    """Counts over the edges of the manifest's reference, by artifact digest and feature."""
    labelled: int = 0
    """Records whose true label became known."""
    correct: int = 0
    """Of those, how many had been predicted right."""
    memory: Mapping[int, int] = field(default_factory=dict)
    """Windows by the `memory_bucket` of what the agent's processes took; those that did not say are not counted."""
    temperature: Mapping[int, int] = field(default_factory=dict)
    """Windows by the device's temperature in whole degrees Celsius; those that did not say are not counted."""

    @property
    def agreement(self) -> float | None:
        """The share, 0 to 1, of compared records that agreed; None when none was compared."""
        return self.agreed / self.compared if self.compared else None

    @property
    def error_share(self) -> float | None:
        """Failed of all that was asked, 0 to 1; None when nothing was."""
        asked = self.records + self.errors
        return self.errors / asked if asked else None

    def latency_quantile(self, q: float) -> float | None:
        """The `q` quantile, 0 to 1, in microseconds; None when nothing was answered."""
        return latency_quantile(self.latency, q)


def tally(counted: Iterable[Counted], start: Tally | None = None) -> Tally:
    """`start`, or nothing, and all of `counted` added up."""
    start = start or Tally()
    windows, records, errors = start.windows, start.records, start.errors
    compared, agreed = start.compared, start.agreed
    labelled, correct = start.labelled, start.correct
    features, memory, temperature = dict(start.features), dict(start.memory), dict(start.temperature)
    latency, predictions, codes = dict(start.latency), dict(start.predictions), dict(start.error_codes)
    confidence = dict(start.confidence)
    for one in counted:
        windows += 1
        records += one.records
        errors += one.errors
        compared += one.compared
        agreed += one.agreed
        labelled += one.labelled
        correct += one.correct
        if one.memory_bytes:
            bucket = memory_bucket(one.memory_bytes)
            memory[bucket] = memory.get(bucket, 0) + 1
        if one.temperature is not None and isfinite(one.temperature):
            degrees = round(one.temperature)
            temperature[degrees] = temperature.get(degrees, 0) + 1
        for name, counts in one.features.items():
            features[one.digest, name] = _add(features.get((one.digest, name), ()), counts)
        for bucket, count in one.latency.items():
            latency[bucket] = latency.get(bucket, 0) + count
        for label, count in one.predictions.items():
            predictions[label] = predictions.get(label, 0) + count
        for code, count in one.error_codes.items():
            codes[code] = codes.get(code, 0) + count
        if one.confidence:
            confidence[one.digest] = _add(confidence.get(one.digest, ()), one.confidence)
    return Tally(
        windows,
        records,
        errors,
        latency,
        predictions,
        confidence,
        codes,
        compared,
        agreed,
        features,
        labelled,
        correct,
        memory,
        temperature,
    )


def merge(tallies: Iterable[Tally]) -> Tally:
    """The sum of `tallies`."""
    all_of = list(tallies)
    confidence: dict[str, tuple[int, ...]] = {}
    for one in all_of:
        for digest, counts in one.confidence.items():
            confidence[digest] = _add(confidence.get(digest, ()), counts)
    features: dict[tuple[str, str], tuple[int, ...]] = {}
    for one in all_of:
        for key, counts in one.features.items():
            features[key] = _add(features.get(key, ()), counts)
    return Tally(
        sum(one.windows for one in all_of),
        sum(one.records for one in all_of),
        sum(one.errors for one in all_of),
        add_latency(one.latency for one in all_of),
        add_sparse(one.predictions for one in all_of),
        confidence,
        add_sparse(one.error_codes for one in all_of),
        sum(one.compared for one in all_of),
        sum(one.agreed for one in all_of),
        features,
        sum(one.labelled for one in all_of),
        sum(one.correct for one in all_of),
        add_latency(one.memory for one in all_of),
        add_latency(one.temperature for one in all_of),
    )


@dataclass(frozen=True)
class Evidence:
    """What each device of a cohort has shown. Records of one device resemble each other, so who weighs evidence
    needs them apart."""

    by_device: Mapping[str, Tally] = field(default_factory=dict)
    _made: dict[str, tuple[object, Any]] = field(default_factory=dict, init=False, compare=False, repr=False)

    def once(self, name: str, of: object, make: Callable[[], _T]) -> _T:
        """What `make` gives, kept under `name` until it is asked for another `of`. Evidence never changes, and most of
        it is looked at again and again."""
        known = self._made.get(name)
        if known is None or known[0] != of:
            known = self._made[name] = (of, make())
        made: _T = known[1]
        return made

    @cached_property
    def total(self) -> Tally:
        """All devices added up."""
        return merge(self.by_device.values())

    @property
    def devices(self) -> int:
        """How many devices have shown anything at all."""
        return len(self.by_device)

    @property
    def records(self) -> int:
        return self.total.records

    @property
    def errors(self) -> int:
        return self.total.errors

    @property
    def error_share(self) -> float | None:
        return self.total.error_share

    @property
    def predictions(self) -> Mapping[str, int]:
        return self.total.predictions

    @property
    def latency(self) -> Mapping[int, int]:
        return self.total.latency

    @property
    def confidence(self) -> Mapping[str, tuple[int, ...]]:
        return self.total.confidence

    def __add__(self, other: "Evidence") -> "Evidence":
        """Both, as if they had been gathered together."""
        summed = dict(self.by_device)
        for device, one in other.by_device.items():
            summed[device] = merge((summed[device], one)) if device in summed else one
        return Evidence(summed)

    def plus(self, counted: Iterable[Counted]) -> "Evidence":
        """This and what further windows counted."""
        further: dict[str, list[Counted]] = {}
        for one in counted:
            further.setdefault(one.device, []).append(one)
        if not further:
            return self
        return Evidence(
            {**self.by_device, **{device: tally(own, self.by_device.get(device)) for device, own in further.items()}}
        )

    def __iter__(self) -> Iterator[tuple[str, Tally]]:
        return iter(self.by_device.items())


def _add(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    # One artifact has one set of edges. A device that sends another length is wrong, and must not stop the others.
    return tuple(x + y for x, y in zip_longest(a, b, fillvalue=0))
