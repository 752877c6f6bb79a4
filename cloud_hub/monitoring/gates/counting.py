"""From what devices counted to the shares that gates weigh. Pure."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from cloud_hub.monitoring.evidence import Evidence, Tally
from cloud_hub.monitoring.gates.case import Case
from cloud_hub.monitoring.gates.cohort import Cohort

#: Hits of each share, and of how many records (one number: the same for all shares).
Counts = tuple[Sequence[int], int]
Count = Callable[[Tally], Counts]


def cohort(case: Case, evidence: Evidence, shares: int, count: Count) -> Cohort:
    """What the devices of `evidence` counted of so many shares, with their pasts; who counted nothing is left out."""
    past = case.past.by_device
    devices, hits, records, hits_before, records_before = [], [], [], [], []
    for device, tally in evidence:
        ours, total = count(tally)
        if total <= 0:
            continue
        before, total_before = count(past[device]) if device in past else ((0,) * len(ours), 0)
        devices.append(device)
        hits.append(ours)
        records.append(total)
        hits_before.append(before)
        records_before.append(total_before)
    return _cohort(case.targets, shares, devices, hits, records, hits_before, records_before)


def beyond(case: Case, evidence: Evidence, shares: int, hits: Callable[[str, Tally], Counts]) -> Cohort:
    """As `cohort`, for shares that are told by each device's own threshold: the past is in that already."""
    counted = [(device, hits(device, tally)) for device, tally in evidence]
    seen = [(device, one) for device, one in counted if one[1] > 0]
    nothing = [(0,) * len(one[0]) for _, one in seen]
    return _cohort(
        case.targets,
        shares,
        [device for device, _ in seen],
        [one[0] for _, one in seen],
        [one[1] for _, one in seen],
        nothing,
        [0] * len(seen),
    )


def _cohort(
    targets: Mapping[str, str],
    shares: int,
    devices: Sequence[str],
    hits: Sequence[Sequence[int]],
    records: Sequence[int],
    hits_before: Sequence[Sequence[int]],
    records_before: Sequence[int],
) -> Cohort:
    shape = (len(devices), shares)
    all_of = np.broadcast_to(np.array(records, float)[:, None], shape)
    all_before = np.broadcast_to(np.array(records_before, float)[:, None], shape)
    return Cohort(
        devices,
        [targets.get(device, "") for device in devices],
        # A device that tells of more hits than records is wrong, and must not stop the others.
        np.clip(np.array(hits, float).reshape(shape), 0.0, all_of),
        all_of,
        np.clip(np.array(hits_before, float).reshape(shape), 0.0, all_before),
        all_before,
    )


def above(buckets: Mapping[int, int], bucket: int) -> int:
    """How many of a sparse histogram are in higher buckets than `bucket`."""
    return sum(count for at, count in buckets.items() if at > bucket)


def quantile_bucket(buckets: Mapping[int, int], q: float) -> int | None:
    """The bucket that holds the `q` quantile; None when nothing was counted."""
    rank, seen = q * (sum(buckets.values()) - 1), 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen > rank:
            return bucket
    return None
