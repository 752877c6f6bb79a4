"""What gates weigh: two cohorts, their past, what became of devices, and what was known beforehand. Pure."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property

from cloud_hub.monitoring.evidence import Evidence
from cloud_hub.monitoring.gates.rows import Rows
from cloud_hub.monitoring.periods import Period

#: A control that is left has spoken within so long, or in one of the last two periods, of when the treated did.
_LATELY_SECONDS = 120
#: Of fewer devices than that a control proves nothing by itself: one of them may be odd.
FEWEST = 3


@dataclass(frozen=True)
class Edges:
    """Where an artifact's histograms are cut: of confidence, and of each input feature by name."""

    confidence: tuple[float, ...] = ()
    features: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class About:
    """What is known beforehand: all labels that a version can predict; how often it did on held-out data; the counts
    of its input features there, by name; and the edges of every artifact's histograms, by digest."""

    labels: Sequence[str] = ()
    predictions: Mapping[str, int] = field(default_factory=dict)
    features: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    feature_edges: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    edges: Mapping[str, Edges] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcomes:
    """What became of the devices that were offered the version: those that run it, and those that rejected it, by the
    code of their reason."""

    succeeded: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """All that is known of one version in one rollout.

    `treated` run it, `control` ran another version in the same time, from `since_seconds` after the rollout's start on;
    `earlier` are the periods before that, the oldest first. `past` is what devices of either did with another version
    before. `concurrent` says whether any device is left that can be a control, and `exposing` whether more are to be
    exposed. `targets` are hardware targets by device; where they are given, each is weighed by itself too, and of each
    cohort some devices may be there for that alone (`treated_for_target`, `control_for_target`).
    """

    treated: Evidence = field(default_factory=Evidence)
    control: Evidence = field(default_factory=Evidence)
    past: Evidence = field(default_factory=Evidence)
    outcomes: Outcomes = Outcomes()
    about: About = About()
    concurrent: bool = True
    targets: Mapping[str, str] = field(default_factory=dict)
    earlier: Sequence[Period] = ()
    since_seconds: int = 0
    exposing: bool = True
    treated_for_target: Set[str] = frozenset()
    control_for_target: Set[str] = frozenset()

    @cached_property
    def periods(self) -> tuple[Period, ...]:
        """All of them, the oldest first."""
        return (*self.earlier, Period(self.treated, self.control, self.since_seconds))

    @cached_property
    def treated_rows(self) -> Rows:
        return Rows([period.treated for period in self.periods], self.past, self.targets, self.treated_for_target)

    @cached_property
    def control_rows(self) -> Rows:
        return Rows([period.control for period in self.periods], self.past, self.targets, self.control_for_target)

    @property
    def controlled(self) -> bool:
        """Whether there is, or will be, a control to wait for. Who is not exposed yet will be one; after the last wave
        it is whoever still says something."""
        return self.concurrent and (self.exposing or self._lately is None or self._lately > 0)

    @property
    def final(self) -> bool:
        """Whether nobody is left to be exposed, and too few to be a control that says anything by itself."""
        return not self.exposing and not (self.concurrent and (self._lately is None or self._lately >= FEWEST))

    @cached_property
    def _lately(self) -> int | None:
        """How many of the control have said something lately; None where the treated have not yet."""
        spoke = [period.since_seconds for period in self.periods if period.treated.devices]
        if not spoke:
            return None
        since = min(spoke[-2:][0], spoke[-1] - _LATELY_SECONDS)
        late = [period.control.by_device for period in self.periods if period.since_seconds >= since]
        return len(set[str]().union(*late))


@dataclass(frozen=True)
class Tolerances:
    """How much worse is still fine, in shares of 1 unless a name says otherwise; None switches a gate off.

    `false_alarms` is for all gates together. `correlation` is the most by which two records of one device resemble
    each other, once what is known of that device has been taken off.
    """

    installs_failed: float | None = 0.05
    parity_failed: float | None = 0.02
    error_increase: float | None = 0.02
    latency_ratios: Mapping[float, float] = field(default_factory=lambda: {0.5: 1.5, 0.95: 1.5, 0.99: 2.0})
    """Quantile to how many times the control's it may be; empty switches the gate off."""
    memory_ratio: float | None = 1.5
    temperature_rise: float | None = 10.0
    """In degrees Celsius."""
    prediction_shift: float | None = 0.1
    confidence_shift: float | None = 0.2
    feature_shift: float | None = 0.2
    disagreement: float | None = 0.2
    accuracy_drop: float | None = 0.05
    false_alarms: float = 0.01
    correlation: float = 0.1
    windows_beyond: float = 0.1
    """By how much the share of windows that are hotter, or larger, than is tolerated may rise."""

    @property
    def alpha(self) -> float:
        """What each gate may spend."""
        gates = (
            self.installs_failed,
            self.parity_failed,
            self.error_increase,
            self.latency_ratios or None,
            self.memory_ratio,
            self.temperature_rise,
            self.prediction_shift,
            self.confidence_shift,
            self.feature_shift,
            self.disagreement,
            self.accuracy_drop,
        )
        return self.false_alarms / max(1, sum(gate is not None for gate in gates))
