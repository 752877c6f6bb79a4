"""What a cohort has shown, in memory that does not grow with the fleet: all of it added up, and a few devices apart.

Those that are kept apart are chosen by a hash of their names alone, so the choice is always the same, and no device is
chosen for what it did. No I/O, no clock, no randomness.
"""

from bisect import insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from math import log
from zlib import crc32

from cloud_hub.monitoring.evidence import Counted, Evidence, Tally, tally
from cloud_hub.monitoring.periods import Periods

#: Devices of a cohort that are kept apart: more would hardly tell more, and a look would take its time and memory.
WITNESSES = 256
_BITS = 1 << 20


@dataclass(frozen=True)
class Witnessed:
    """`total` of all devices; `periods` of at most `apart` of them."""

    total: Tally = field(default_factory=Tally)
    periods: Periods = field(default_factory=Periods)
    apart: int = WITNESSES
    _chosen: tuple[tuple[int, str], ...] = ()
    _heard: bytes = b""

    def plus(self, counted: Iterable[tuple[float, Counted]]) -> "Witnessed":
        """This, and what further windows counted, each with the age in seconds, from what this is counted from, at
        which it started."""
        further = list(counted)
        if not further:
            return self
        total = tally((one for _, one in further), self.total)
        if not self.apart:
            return replace(self, total=total)
        chosen, heard = self._choose({one.device for _, one in further})
        names = {name for _, name in chosen}
        gone = {name for _, name in self._chosen} - names
        periods = _without(self.periods, gone).plus((age, one) for age, one in further if one.device in names)
        return Witnessed(total, periods, self.apart, chosen, heard)

    def _choose(self, devices: set[str]) -> tuple[tuple[tuple[int, str], ...], bytes]:
        """Those with the lowest hashes of all that were ever heard: who is among them now always was, so nothing that
        it showed is missing."""
        hashed = sorted((crc32(name.encode()), name) for name in devices)
        chosen = list(self._chosen)
        known = set(chosen)
        for one in hashed:
            if len(chosen) >= self.apart and one > chosen[-1]:
                break
            if one not in known:
                insort(chosen, one)
                del chosen[self.apart :]
        heard = self._heard
        if heard or len(known | set(hashed)) > self.apart:
            bits = bytearray(heard or bytes(_BITS // 8))
            for name in (*devices, *(() if heard else (name for _, name in self._chosen))):
                bit = _bit(name)
                bits[bit >> 3] |= 1 << (bit & 7)
            heard = bytes(bits)
        return tuple(chosen), heard

    @cached_property
    def devices(self) -> int:
        """How many devices have shown anything at all: exact while all are kept apart, and to some 0.2 % after that (K.
        Whang, B. Vander-Zanden, H. Taylor, "A linear-time probabilistic counting algorithm for database applications",
        ACM Trans. Database Syst. 15, 1990)."""
        if not self._heard:
            return len(self._chosen)
        empty = _BITS - int.from_bytes(self._heard, "big").bit_count()
        return round(_BITS * log(_BITS / max(1, empty)))

    @property
    def records(self) -> int:
        return self.total.records

    @property
    def confidence(self) -> Mapping[str, tuple[int, ...]]:
        return self.total.confidence


def _bit(device: str) -> int:
    # A checksum is not enough: those of names that differ by a number fall together.
    return int.from_bytes(blake2b(device.encode(), digest_size=4).digest(), "big") % _BITS


def _without(periods: Periods, gone: set[str]) -> Periods:
    if not gone:
        return periods
    kept = {
        start: Evidence({device: one for device, one in shown if device not in gone})
        for start, shown in periods.shown.items()
    }
    return Periods(periods.width_seconds, kept)
