"""From what devices counted, period by period, to the cohorts that gates weigh. Pure.

Devices pass from one cohort to the other while the world changes, so a period counts for as much as both cohorts showed
in it: with n records of the treated and m of the control, for n m / (n + m), which is nothing where either is silent
(N. Mantel, W. Haenszel, "Statistical aspects of the analysis of data from retrospective studies of disease", J. Natl.
Cancer Inst. 22, 1959). Each cohort's records are then worth as many as would tell its share as well without weights (L.
Kish, "Survey Sampling", 1965, section 11.7). In one period alone every record counts for one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cloud_hub.monitoring.evidence import Evidence, Tally
from cloud_hub.monitoring.gates.betabinomial import Array
from cloud_hub.monitoring.gates.case import Case
from cloud_hub.monitoring.gates.cohort import Cohort

#: Hits of each share, and of how many records (one number: the same for all shares).
Counts = tuple[Sequence[int], int]


@dataclass(frozen=True)
class Count:
    """How a gate counts one device. What was counted is kept under `name` for as long as `of`, all that the count
    depends on but the device's own tally, stays the same."""

    name: str
    of: object
    count: Callable[[str, Tally], Counts]


@dataclass(frozen=True)
class Compared:
    """`treated` and `control` in the same time; `alone`, the treated while nobody was a control, and from when on;
    `whole`, all that the treated showed, whenever that was."""

    treated: Cohort
    control: Cohort
    alone: Cohort
    alone_since_seconds: int
    whole: Cohort


def compare(case: Case, shares: int, treated: Count, control: Count, before: Count | None) -> Compared:
    """Both cohorts' counts of so many shares. `before` counts their pasts; None where those are in the shares already.
    Who counted nothing is left out."""
    ours = _Side(case, [period.treated for period in case.periods], shares, treated, before)
    theirs = _Side(case, [period.control for period in case.periods], shares, control, before)
    n, m = ours.by_period, theirs.by_period
    both = n * m / np.maximum(n + m, 1.0)
    silent = (m == 0) & (n > 0)
    # Since when nobody is left, and not when nobody was for a while.
    left = int(np.flatnonzero(both)[-1]) + 1 if both.any() else 0
    since = case.periods[min(left, len(n) - 1)].since_seconds
    return Compared(
        ours.weighted(_weights(both, n)),
        theirs.weighted(_weights(both, m)),
        ours.weighted(silent.astype(float)),
        since,
        ours.weighted(np.ones(len(n))),
    )


def pasts(case: Case, devices: Sequence[str], shares: int, before: Count) -> tuple[Array, Array]:
    """Hits and records of each device before the rollout; nothing, for those without a past."""
    rows, hits, records = _counted(case.past, shares, before)
    at = [rows.get(device, len(rows)) for device in devices]
    return np.vstack([hits, np.zeros((1, shares))])[at], np.append(records, 0.0)[at]


class _Side:
    """One cohort: a row a device and period."""

    def __init__(self, case: Case, shown: Sequence[Evidence], shares: int, count: Count, before: Count | None) -> None:
        self._case, self._shares, self._before = case, shares, before
        parts = [_counted(evidence, shares, count) for evidence in shown]
        devices: dict[str, int] = {}
        self._device = np.array([devices.setdefault(name, len(devices)) for rows, _, _ in parts for name in rows], int)
        self._devices = list(devices)
        self._hits = np.concatenate([hits for _, hits, _ in parts])
        self._records = np.concatenate([records for _, _, records in parts])
        self._period = np.repeat(np.arange(len(parts)), [len(rows) for rows, _, _ in parts])
        self.by_period: Array = np.bincount(self._period, self._records, len(parts)).astype(float)

    def weighted(self, weights: Array) -> Cohort:
        """Each device's counts, added up with a weight for each period."""
        weight = weights[self._period]
        hits, records = np.zeros((len(self._devices), self._shares)), np.zeros(len(self._devices))
        np.add.at(hits, self._device, self._hits * weight[:, None])
        np.add.at(records, self._device, self._records * weight)
        seen = np.flatnonzero(records > 0)
        devices = [self._devices[at] for at in seen]
        hits, records = hits[seen], records[seen]
        if self._before is None:
            hits_before, records_before = np.zeros_like(hits), np.zeros_like(records)
        else:
            hits_before, records_before = pasts(self._case, devices, self._shares, self._before)
        targets = self._case.targets
        return Cohort(
            devices,
            [targets.get(device, "") for device in devices],
            hits,
            np.broadcast_to(records[:, None], hits.shape),
            hits_before,
            np.broadcast_to(records_before[:, None], hits.shape),
        )


def _weights(both: Array, records: Array) -> Array:
    """What a record of each period is worth in a cohort that had so many there."""
    share = np.divide(both, records, out=np.zeros_like(both), where=records > 0)
    total = both.sum()
    return share * (total / (both * share).sum()) if total else share


def _counted(evidence: Evidence, shares: int, count: Count) -> tuple[Mapping[str, int], Array, Array]:
    """The row of each device, its hits and its records."""

    def made() -> tuple[Mapping[str, int], Array, Array]:
        rows = {device: row for row, device in enumerate(evidence.by_device)}
        found = [count.count(device, tally) for device, tally in evidence]
        records = np.array([max(0, total) for _, total in found], float)
        hits = np.array([ours for ours, _ in found], float).reshape(len(found), shares)
        # A device that tells of more hits than records is wrong, and must not stop the others.
        return rows, np.clip(hits, 0.0, records[:, None]), records

    return evidence.once(count.name, count.of, made)


def above(buckets: Mapping[int, int], bucket: int) -> int:
    """How many of a sparse histogram are in higher buckets than `bucket`."""
    return sum([count for at, count in buckets.items() if at > bucket])


def quantile_bucket(buckets: Mapping[int, int], q: float) -> int | None:
    """The bucket that holds the `q` quantile; None when nothing was counted."""
    rank, seen = q * (sum(buckets.values()) - 1), 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen > rank:
            return bucket
    return None
