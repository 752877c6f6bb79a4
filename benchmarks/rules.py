"""How others promote a release: their documented rules, asked about the same simulated fleet. Pure but for their state.

Each rule says how many devices, in the order of the fleet, should have the release now, or that it stops. They see
what their originals see: hawkBit and AWS IoT Jobs what became of installs, Flagger the requests of the last minute.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from cloud_hub.rollouts.engine import Counts


@dataclass(frozen=True)
class Seen:
    """What there is to see of a fleet of `devices`. `asked` and `errors` are of the release, since it started."""

    seconds: float
    devices: int
    by_group: dict[int, Counts]
    asked: int
    errors: int

    @property
    def counts(self) -> Counts:
        found = list(self.by_group.values())
        return Counts(
            sum(one.offered for one in found),
            sum(one.heard for one in found),
            sum(one.succeeded for one in found),
            sum(one.failed for one in found),
        )


class Rule(Protocol):
    """A way to promote. `group` is the part of the fleet that orders now belong to."""

    name: ClassVar[str]
    group: int

    def reach(self, seen: Seen) -> int | None:
        """How many devices should have the release now; None once it stops."""
        ...


@dataclass
class HawkBit:
    """Eclipse hawkBit's cascade: the next group starts once 50 % of the devices of the one before are done well, and
    the rollout is paused once 50 % of a group failed.

    Both thresholds are its defaults (`RolloutGroupConditions`: success THRESHOLD 50, error THRESHOLD 50, error action
    PAUSE; docs/rollout-management.md, "Rollout groups"). Groups are for the user to size: here as our waves are.
    """

    ends: Sequence[int]
    group: int = -1
    name: ClassVar[str] = "hawkBit"

    def reach(self, seen: Seen) -> int | None:
        if self.group < 0:
            self.group = 0
            return self.ends[0]
        for number, counts in seen.by_group.items():
            if counts.failed >= 0.5 * self._size(number):
                return None
        counts = seen.by_group.get(self.group, Counts())
        if self.group + 1 < len(self.ends) and counts.succeeded >= 0.5 * self._size(self.group):
            self.group += 1
        return self.ends[self.group]

    def _size(self, group: int) -> int:
        return self.ends[group] - (self.ends[group - 1] if group else 0)


@dataclass
class AwsJobs:
    """AWS IoT Jobs: an exponential rate, and an abort on failed executions.

    The values are the documentation's examples ("Job rollout, scheduling, and abort configurations"): 50 a minute,
    doubled for each 1,000 devices that were notified, 1,000 a minute at the most, which is also the service's limit;
    cancelled once 20 % of at least 100 finished executions failed.
    """

    group: int = 0
    notified: float = 0.0
    last_seconds: float = 0.0
    name: ClassVar[str] = "AWS IoT Jobs"

    def reach(self, seen: Seen) -> int | None:
        counts = seen.counts
        finished = counts.succeeded + counts.failed
        if finished >= 100 and counts.failed >= 0.2 * finished:
            return None
        a_minute = min(1000.0, 50.0 * 2.0 ** (self.notified // 1000))
        self.notified += a_minute * (seen.seconds - self.last_seconds) / 60
        self.last_seconds = seen.seconds
        return min(seen.devices, int(self.notified))


@dataclass
class Flagger:
    """Flagger's canary analysis: each minute a check of the success rate of the last minute; the weight rises by 5 %
    of the fleet up to 50 % with each check that passes, then all is promoted; five failed checks roll it back.

    From docs/gitbook/usage/how-it-works.md: interval 1m, maxWeight 50, stepWeight 5, request-success-rate at least 99;
    threshold 5, as in the tutorials. A check that finds no values fails ("halt advancement").
    """

    group: int = 0
    weight_percent: int = 0
    failed_checks: int = 0
    checked_seconds: float = 0.0
    before: tuple[int, int] = field(default=(0, 0))
    name: ClassVar[str] = "Flagger"

    def reach(self, seen: Seen) -> int | None:
        if self.weight_percent == 0:
            self.weight_percent = 5
        elif self.weight_percent < 100 and seen.seconds >= self.checked_seconds + 60:
            self._check(seen)
            if self.failed_checks >= 5:
                return None
        return seen.devices * self.weight_percent // 100

    def _check(self, seen: Seen) -> None:
        asked, errors = seen.asked - self.before[0], seen.errors - self.before[1]
        self.checked_seconds, self.before = seen.seconds, (seen.asked, seen.errors)
        if asked == 0 or 100 * (asked - errors) / asked < 99:
            self.failed_checks += 1
        else:
            self.weight_percent = 100 if self.weight_percent >= 50 else self.weight_percent + 5
