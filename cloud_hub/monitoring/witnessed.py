"""What a cohort has shown, in memory that does not grow with the fleet: all of it added up, and a few devices apart.

Those that are kept apart are chosen by a hash of their names alone (`sampling.py`), so the choice is always the same,
and no device is chosen for what it did. No I/O, no clock, no randomness.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import log

from cloud_hub.monitoring.evidence import Counted, Evidence, Tally, tally
from cloud_hub.monitoring.periods import Periods
from cloud_hub.monitoring.sampling import Sample, hashed

_BITS = 1 << 20


@dataclass(frozen=True)
class Witnessed:
    """`total` of all devices; `periods` of those in `sample`."""

    total: Tally = field(default_factory=Tally)
    periods: Periods = field(default_factory=Periods)
    sample: Sample = field(default_factory=Sample)
    _heard: bytes = b""

    def plus(self, counted: Iterable[tuple[float, Counted]]) -> "Witnessed":
        """This, and what further windows counted, each with the age in seconds, from what this is counted from, at
        which it started."""
        further = list(counted)
        if not further:
            return self
        targets = {one.device: one.target for _, one in further}
        ranked = [(hashed(name), name, target) for name, target in targets.items()]
        sample = self.sample.plus(ranked)
        heard = self._heard
        if heard or sample.names != self.sample.names | targets.keys():
            heard = _marked(self._all_heard, (rank for rank, _, _ in ranked))
        kept = [(age, one) for age, one in further if one.device in sample.names]
        total = tally((one for _, one in further), self.total)
        return Witnessed(total, _only(self.periods, sample).plus(kept), sample, heard)

    def narrowed(self, apart: int) -> "Witnessed":
        """With at most so many devices apart. There is no way back but to read all of them again."""
        sample = self.sample.narrowed(apart)
        heard = self._heard if sample.names == self.sample.names else self._all_heard
        return Witnessed(self.total, _only(self.periods, sample), sample, heard)

    @property
    def _all_heard(self) -> bytes:
        return self._heard or _marked(bytes(_BITS // 8), map(hashed, self.sample.names))

    @cached_property
    def devices(self) -> int:
        """How many devices have shown anything at all: exact while all are kept apart, and to some 0.2 % after that (K.
        Whang, B. Vander-Zanden, H. Taylor, "A linear-time probabilistic counting algorithm for database applications",
        ACM Trans. Database Syst. 15, 1990)."""
        if not self._heard:
            return len(self.sample.names)
        empty = _BITS - int.from_bytes(self._heard, "big").bit_count()
        return round(_BITS * log(_BITS / max(1, empty)))

    @property
    def records(self) -> int:
        return self.total.records

    @property
    def confidence(self) -> Mapping[str, tuple[int, ...]]:
        return self.total.confidence


def _marked(heard: bytes, hashes: Iterable[int]) -> bytes:
    bits = bytearray(heard)
    for one in hashes:
        bit = one % _BITS
        bits[bit >> 3] |= 1 << (bit & 7)
    return bytes(bits)


def _only(periods: Periods, sample: Sample) -> Periods:
    if all(shown.by_device.keys() <= sample.names for shown in periods.shown.values()):
        return periods
    kept = {
        start: Evidence({device: one for device, one in shown if device in sample.names})
        for start, shown in periods.shown.items()
    }
    return Periods(periods.width_seconds, kept)
