"""From what devices counted, period by period, to the cohorts that gates weigh. Pure.

Devices pass from one cohort to the other while the world changes, so a period counts for as much as both cohorts showed
in it: with n records of the treated and m of the control, for n m / (n + m), which is nothing where either is silent
(N. Mantel, W. Haenszel, "Statistical aspects of the analysis of data from retrospective studies of disease", J. Natl.
Cancer Inst. 22, 1959). Each cohort's records are then worth as many as would tell its share as well without weights (L.
Kish, "Survey Sampling", 1965, section 11.7). In one period alone every record counts for one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cloud_hub.monitoring.evidence import Evidence, Tally
from cloud_hub.monitoring.gates.betabinomial import Array
from cloud_hub.monitoring.gates.case import Case
from cloud_hub.monitoring.gates.cohort import Cohort
from cloud_hub.monitoring.gates.rows import Rows

#: Hits of each share, and of how many records (one number: the same for all shares).
Counts = tuple[Sequence[int], int]
#: So many seconds apart is still the same time.
_JUST = 120.0


@dataclass(frozen=True)
class Count:
    """How a gate counts one device. What was counted is kept under `name` for as long as `of`, all that the count
    depends on but the device's own tally, stays the same."""

    name: str
    of: object
    count: Callable[[str, Tally], Counts]


class Compared:
    """What both cohorts counted of so many shares. `before` counts their pasts; None where those are in the shares
    already. Who counted nothing is left out."""

    def __init__(self, case: Case, shares: int, treated: Count, control: Count, before: Count | None) -> None:
        self._case = case
        self._ours = _Side(case, case.treated_rows, shares, treated, before)
        self._theirs = _Side(case, case.control_rows, shares, control, before)
        n, m = self._ours.by_period, self._theirs.by_period
        self._both = n * m / np.maximum(n + m, 1.0)
        compared = np.flatnonzero(self._both)
        self._wide = any(period.width_seconds > _JUST for period in case.earlier)
        if compared.size and not case.controlled and (compared.size > 1 or self._wide):
            # While the last of the control passed over, its records were perhaps from before the world changed.
            self._both[compared[-1]] = 0.0
        self._silent = (self._both == 0) & (n > 0)

    @cached_property
    def treated(self) -> Cohort:
        """In the same time as `control`."""
        return self._ours.weighted(_weights(self._both, self._ours.by_period))

    @cached_property
    def control(self) -> Cohort:
        return self._theirs.weighted(_weights(self._both, self._theirs.by_period))

    @cached_property
    def alone(self) -> Cohort:
        """The treated, while nobody was a control."""
        return self._ours.weighted(self._silent.astype(float))

    @property
    def alone_since_seconds(self) -> int:
        """Since when nobody is left, and not when nobody was for a while."""
        left = int(np.flatnonzero(self._both)[-1]) + 1 if self._both.any() else 0
        return self._case.periods[min(left, len(self._both) - 1)].since_seconds

    @cached_property
    def whole(self) -> Cohort:
        """The treated, whenever that was."""
        return self._ours.weighted(np.ones(len(self._both)))

    @cached_property
    def just_after(self) -> Cohort:
        """The treated in the two minutes after the control fell silent; nobody, once periods are longer than that."""
        since = self._since if not self._wide else np.full(len(self._both), -1.0)
        return self._ours.weighted(
            ((since >= self._silent_seconds) & (since <= self._silent_seconds + _JUST)).astype(float)
        )

    @cached_property
    def just_before(self) -> Cohort:
        """The control in the two minutes before it fell silent."""
        return self._theirs.weighted((self._since >= self._silent_seconds - _JUST).astype(float))

    @property
    def silent_at_once(self) -> bool:
        """Whether the control fell silent so early that the treated devices' own past was just before that, too."""
        return self._silent_seconds <= _JUST

    @cached_property
    def _since(self) -> Array:
        return np.array([period.since_seconds for period in self._case.periods], float)

    @cached_property
    def _silent_seconds(self) -> float:
        spoke = np.flatnonzero(self._theirs.by_period)
        # Who never said anything has been silent since its past ended, when the rollout began.
        return float(self._since[spoke[-1]]) if spoke.size else 0.0


class _Side:
    """One cohort: a row a device and period."""

    def __init__(self, case: Case, rows: Rows, shares: int, count: Count, before: Count | None) -> None:
        self._rows, self._shares = rows, shares
        parts = [_counted(evidence, shares, count) for evidence in rows.shown]
        self._hits = np.concatenate([hits for hits, _ in parts])
        self._records = np.concatenate([records for _, records in parts])
        self._before = (
            None
            if before is None
            else case.past.once(
                f"{before.name}-padded", before.of, lambda: _padded(*_counted(case.past, shares, before))
            )
        )
        self.by_period: Array = np.bincount(rows.period, self._records, len(parts)).astype(float)

    def weighted(self, weights: Array) -> Cohort:
        """Each device's counts, added up with a weight for each period."""
        rows, weight = self._rows, weights[self._rows.period]
        hits, records = np.zeros((len(rows.devices), self._shares)), np.zeros(len(rows.devices))
        np.add.at(hits, rows.device, self._hits * weight[:, None])
        np.add.at(records, rows.device, self._records * weight)
        hits_before, records_before = np.zeros_like(hits), np.zeros_like(records)
        if self._before is not None:
            hits_before, records_before = (of[rows.before] for of in self._before)
        return Cohort(
            rows.devices,
            rows.targets,
            rows.rank,
            rows.drawn,
            hits,
            np.repeat(records[:, None], self._shares, axis=1),
            hits_before,
            np.repeat(records_before[:, None], self._shares, axis=1),
        ).of(records > 0)


def _weights(both: Array, records: Array) -> Array:
    """What a record of each period is worth in a cohort that had so many there."""
    share = np.divide(both, records, out=np.zeros_like(both), where=records > 0)
    total = both.sum()
    return share * (total / (both * share).sum()) if total else share


def _counted(evidence: Evidence, shares: int, count: Count) -> tuple[Array, Array]:
    """Hits and records of each device."""

    def made() -> tuple[Array, Array]:
        found = [count.count(device, tally) for device, tally in evidence]
        records = np.array([max(0, total) for _, total in found], float)
        hits = np.array([ours for ours, _ in found], float).reshape(len(found), shares)
        # A device that tells of more hits than records is wrong, and must not stop the others.
        return np.clip(hits, 0.0, records[:, None]), records

    return evidence.once(count.name, count.of, made)


def _padded(hits: Array, records: Array) -> tuple[Array, Array]:
    """With a row more, for devices that have none."""
    return np.vstack([hits, np.zeros((1, hits.shape[1]))]), np.append(records, 0.0)


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
