"""The time of a rollout, cut into a few periods: what cohorts showed is compared within each. No I/O, no clock.

A world that changes while devices pass from one cohort to the other looks like the version, for the control's records
are then older than the treated's. Within a period both saw the same world. There are at most `MOST` periods, as short
as a window in a young rollout; when there would be more, each two become one: how they are cut follows from its age
alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cloud_hub.monitoring.evidence import Counted, Evidence

SHORTEST_SECONDS = 10
MOST = 24


def width_of(age_seconds: float) -> int:
    """How long, in seconds, the periods of a rollout of that age are."""
    width = SHORTEST_SECONDS
    while age_seconds >= width * MOST:
        width *= 2
    return width


@dataclass(frozen=True)
class Periods:
    """What one cohort showed, by the second from the rollout's start at which a period of `width_seconds` begins."""

    width_seconds: int = SHORTEST_SECONDS
    shown: Mapping[int, Evidence] = field(default_factory=dict)

    def plus(self, counted: Iterable[tuple[float, Counted]]) -> "Periods":
        """These, and what further windows counted, each with its age in seconds, since when time is cut, as it started.
        Whatever was before that is one period."""
        further = [(max(-1.0, age), one) for age, one in counted]
        if not further:
            return self
        wide = self.widened(width_of(max(age for age, _ in further)))
        added: dict[int, list[Counted]] = {}
        for age, one in further:
            added.setdefault(wide.start_of(age), []).append(one)
        fresh = {start: wide.shown.get(start, Evidence()).plus(own) for start, own in added.items()}
        return Periods(wide.width_seconds, {**wide.shown, **fresh})

    def widened(self, width_seconds: int) -> "Periods":
        """The same in periods of at least that width."""
        if width_seconds <= self.width_seconds:
            return self
        wide: dict[int, Evidence] = {}
        for start, evidence in sorted(self.shown.items()):
            into = start - start % width_seconds
            wide[into] = wide[into] + evidence if into in wide else evidence
        return Periods(width_seconds, wide)

    def start_of(self, age_seconds: float) -> int:
        return int(age_seconds // self.width_seconds) * self.width_seconds


@dataclass(frozen=True)
class Period:
    """What both cohorts showed in the same time, `width_seconds` from `since_seconds` after the rollout's start on."""

    treated: Evidence
    control: Evidence
    since_seconds: int = 0
    width_seconds: int = SHORTEST_SECONDS


def abreast(treated: Periods, control: Periods, *, cut_from_seconds: int = 0) -> tuple[Period, ...]:
    """Both cohorts period by period, the oldest first; never none at all. `cut_from_seconds` is the rollout's age at
    which their time begins."""
    width = max(treated.width_seconds, control.width_seconds)
    ours, theirs = treated.widened(width).shown, control.widened(width).shown
    nothing = Evidence()
    starts = sorted(ours.keys() | theirs.keys()) or [0]
    return tuple(
        Period(ours.get(start, nothing), theirs.get(start, nothing), max(0, start + cut_from_seconds), width)
        for start in starts
    )
