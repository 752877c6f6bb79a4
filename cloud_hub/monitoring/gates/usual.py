"""What was usual on each device before: thresholds of its own, that what it shows now is held against. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from cloud_hub.monitoring.evidence import Evidence, Tally
from cloud_hub.monitoring.gates.case import Case
from cloud_hub.monitoring.gates.counting import quantile_bucket


class Usual:
    """For each device the buckets of some quantiles: of its own past, where that holds as many as are needed; else of
    the control on its hardware target, else of all of the control."""

    def __init__(
        self,
        case: Case,
        name: str,
        of: Callable[[Tally], Mapping[int, int]],
        quantiles: Sequence[float],
        needed: Sequence[int],
    ) -> None:
        self.name = name
        self._targets = case.targets
        self._own, complete = case.past.once(
            f"{name}-usual", (quantiles, needed), lambda: _own(case.past, of, quantiles, needed)
        )
        # Those of others are asked for only where somebody has none.
        devices = (*case.treated_rows.devices, *case.control_rows.devices)
        self._shared = {} if complete.issuperset(devices) else _by_target(case, name, of, quantiles)
        self._nothing: Sequence[int | None] = (None,) * len(quantiles)
        self.depends = (case.past, self._shared)

    def of(self, device: str) -> Sequence[int] | None:
        """None where something was usual neither on `device` nor on any other: nothing is more than that."""
        found = self._own.get(device, self._nothing)
        if None in found:
            others = self._shared.get(self._targets.get(device, ""), self._shared[None])
            found = [theirs if ours is None else ours for ours, theirs in zip(found, others, strict=True)]
        return None if None in found else found  # type: ignore[return-value]  # no None is in it


def _own(
    past: Evidence, of: Callable[[Tally], Mapping[int, int]], quantiles: Sequence[float], needed: Sequence[int]
) -> tuple[Mapping[str, Sequence[int | None]], frozenset[str]]:
    """By device, None where it has too little; and the devices that lack nothing."""
    found: dict[str, Sequence[int | None]] = {}
    for device, tally in past:
        buckets = of(tally)
        total = sum(buckets.values())
        if total:
            mine = _quantiles(buckets, quantiles)
            found[device] = [ours if total >= enough else None for ours, enough in zip(mine, needed, strict=True)]
    return found, frozenset(device for device, own in found.items() if None not in own)


def _by_target(
    case: Case, name: str, of: Callable[[Tally], Mapping[int, int]], quantiles: Sequence[float]
) -> dict[str | None, list[int | None]]:
    def totals(evidence: Evidence) -> dict[str, dict[int, int]]:
        return evidence.once(f"{name}-by-target", case.targets, lambda: _totals(case, evidence, of))

    by_target: dict[str, list[Mapping[int, int]]] = {}
    for period in case.periods:
        for target, total in totals(period.control).items():
            by_target.setdefault(target, []).append(total)
    shared: dict[str | None, list[int | None]] = {
        target: _quantiles(summed(many), quantiles) for target, many in by_target.items()
    }
    shared[None] = _quantiles(summed(many for all_of in by_target.values() for many in all_of), quantiles)
    return shared


def _totals(case: Case, evidence: Evidence, of: Callable[[Tally], Mapping[int, int]]) -> dict[str, dict[int, int]]:
    by_target: dict[str, list[Mapping[int, int]]] = {}
    for device, tally in evidence:
        by_target.setdefault(case.targets.get(device, ""), []).append(of(tally))
    return {target: summed(many) for target, many in by_target.items()}


def _quantiles(buckets: Mapping[int, int], quantiles: Sequence[float]) -> list[int | None]:
    return [quantile_bucket(buckets, q) for q in quantiles]


def summed(many: Iterable[Mapping[int, int]]) -> dict[int, int]:
    total: dict[int, int] = {}
    for one in many:
        for bucket, count in one.items():
            total[bucket] = total.get(bucket, 0) + count
    return total
