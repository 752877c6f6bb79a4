"""Evidence that is asked for again and again, each time with only the new windows read.

What a gate looks at every second during a rollout of hundreds of devices would else be read and added up anew each
time, and grow with the rollout. Memory is bounded however many rollouts run: where all readings together would take
more than `most_bytes`, the largest keeps half as many devices apart, for to drop one would be to read it all again at
the next look.
"""

import threading
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from cloud_hub.monitoring import store
from cloud_hub.monitoring.evidence import Evidence, Tally
from cloud_hub.monitoring.sampling import WITNESSES
from cloud_hub.monitoring.store import Reading
from cloud_hub.monitoring.witnessed import Witnessed
from fleet_contract.desired import DEFAULT_SLOT

MOST_BYTES = 384 * 1024 * 1024
#: So many are kept that nobody owns, who would say when they are over.
_READINGS = 512
#: No reading is narrowed below so many devices.
_FEWEST = 16
#: What one tally takes, and each of its counts; measured with `tracemalloc`.
_TALLY_BYTES, _COUNT_BYTES = 2_000, 60
#: Whom it is read for, and what.
_Key = tuple[str, str, int | None, int | None, str, int]


@dataclass(frozen=True)
class _Kept:
    since: datetime
    cut_from: datetime | None
    reading: Reading
    size_bytes: int


class EvidenceReader:
    """Thread-safe."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()

    def evidence(
        self,
        session: Session,
        model: str,
        since: datetime,
        *,
        version: int | None = None,
        not_version: int | None = None,
        slot: str = DEFAULT_SLOT,
        apart: int = WITNESSES,
        cut_from: datetime | None = None,
        of: str = "",
    ) -> Witnessed:
        """As `store.evidence`, with so many devices kept apart at the most, in periods that are counted from
        `cut_from`. Whoever it is read for (`of`) has one reading of each kind, the one that was asked for last, until
        `keep`."""
        key = (of, model if of else f"{model} {since.isoformat()}", version, not_version, slot, apart)
        with self._lock:
            kept = self._kept.get(key)
        same = kept is not None and (kept.since, kept.cut_from) == (since, cut_from)
        known = kept.reading if kept is not None and same else store.nothing_read(apart)
        reading = store.read_evidence(session, known, model, since, version, not_version, slot, cut_from)
        nothing_new = kept is not None and reading.evidence is kept.reading.evidence
        size_bytes = kept.size_bytes if kept is not None and nothing_new else _size_bytes(reading)
        with self._lock:
            self._kept[key] = _Kept(since, cut_from, reading, size_bytes)
            self._kept.move_to_end(key)
            self._bound()
        return reading.evidence

    def keep(self, owners: Collection[str]) -> None:
        """Drops what was read for anybody else than `owners`."""
        with self._lock:
            for key in [key for key in self._kept if key[0] not in owners]:
                del self._kept[key]

    @property
    def size_bytes(self) -> int:
        """About what all readings take."""
        with self._lock:
            return sum(one.size_bytes for one in self._kept.values())

    def _bound(self) -> None:
        unowned = [key for key in self._kept if not key[0]]
        for key in unowned[: max(0, len(unowned) - _READINGS)]:
            del self._kept[key]
        while sum(one.size_bytes for one in self._kept.values()) > self._most_bytes and len(self._kept) > 1:
            key, largest = max(self._kept.items(), key=lambda item: item[1].size_bytes)
            fewer = largest.reading.evidence.sample.apart // 2
            if fewer < _FEWEST:
                self._kept.popitem(last=False)
                continue
            reading = largest.reading.narrowed(fewer)
            self._kept[key] = _Kept(largest.since, largest.cut_from, reading, _size_bytes(reading))


def _size_bytes(reading: Reading) -> int:
    return sum(map(_of, reading.evidence.periods.shown.values()))


def _of(evidence: Evidence) -> int:
    # One of a period stands for all: they are alike, and to look at each would take longer than to read it.
    one = next(iter(evidence.by_device.values()), None)
    return 0 if one is None else evidence.devices * (_TALLY_BYTES + _COUNT_BYTES * _counts(one))


def _counts(one: Tally) -> int:
    sparse = len(one.latency) + len(one.predictions) + len(one.error_codes) + len(one.memory) + len(one.temperature)
    return sparse + sum(map(len, one.confidence.values())) + sum(map(len, one.features.values()))
