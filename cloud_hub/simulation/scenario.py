"""What is supposed: of the fleet, of its world, and of the version that is rolled out. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from cloud_hub.errors import Invalid
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.tolerances import tolerances

#: Where arrays of more devices would no longer fit into a modest machine's memory.
MAX_DEVICES = 10_000_000
MAX_TARGETS = 50
LABELS = 10


class ScenarioWrong(Invalid):
    """A fleet, world or version that cannot be."""

    code = "scenario-wrong"


@dataclass(frozen=True)
class Scenario:
    """Shares are of 1. What is said of the version holds on `bad_target` only, where one is named (from 1); all other
    devices then find it as good as the one before."""

    devices: int = 10_000
    targets: int = 3
    lab_devices: int = 5
    """Those of the fleet that a policy with a lab means by it."""
    group_size: int = 2
    """Devices with the same value of the label, where the policy names one."""
    absent: float = 0.02
    """Share of devices that are never heard from."""
    by_day: float = 0.0
    """Share that is connected from 8 to 18 of its local time only."""
    zones_hours: int = 0
    """Local times are spread over so many hours."""
    flaky: float = 0.0
    """Share behind a link that fails: orders come minutes late, downloads take four times as long, half of the
    telemetry comes."""
    install_seconds: float = 90.0
    """Median time from an order to the switch."""
    records_per_minute: float = 60.0
    """Of one device."""
    device_spread: float = 0.3
    """How devices differ: the standard deviation of the logarithm of their error rates."""

    control_error_rate: float = 0.001
    """Of inferences, with the version before."""
    error_rate: float | None = None
    """Of inferences, with the new version; None: as before."""
    latency_ratio: float = 1.0
    """How many times as long inferences take with the version."""
    failure_rate: float = 0.0
    """Of devices that cannot install the version, or reject it."""
    prediction_shift: float = 0.0
    """By how much the share of one label rises with the version."""
    leak_hours: float | None = None
    """After so many hours (median) its memory is used up, and the agent goes back by itself."""
    bad_target: int | None = None

    drift: float = 0.0
    """By how much the share of another label rises with every version, because the world changes."""
    world_error_rate: float = 0.0
    """What every version fails with besides, once the world has changed."""
    drift_hours: float = 1.0
    """How long the world takes for that."""

    start_hour: float = 9.0
    hours: float = 168.0
    """When the simulation gives up."""
    look_seconds: float = 10.0

    def __post_init__(self) -> None:
        for fault in self._faults():
            raise ScenarioWrong(fault, "`vedette rollouts simulate --help` explains each.")

    def _faults(self) -> Iterator[str]:
        if not 1 <= self.devices <= MAX_DEVICES:
            yield f"A fleet has 1 to {MAX_DEVICES:,} devices here, and not {self.devices:,}."
        if not 1 <= self.targets <= min(self.devices, MAX_TARGETS):
            yield f"{self.devices:,} devices are of 1 to {min(self.devices, MAX_TARGETS)} targets, not {self.targets}."
        if self.lab_devices < 1:
            yield "A lab has a device at the least."
        if self.group_size < 1:
            yield "A group has a device at the least."
        if self.bad_target is not None and not 1 <= self.bad_target <= self.targets:
            yield f"There is no target {self.bad_target}: the fleet has {self.targets}."
        if self.bad_target is not None and self.harmless:
            yield "The version is said to be bad on one target, and not what is bad about it."
        if self.absent + self.by_day > 1:
            yield "More devices are absent or connected by day than there are."
        if self.absent >= 1:
            yield "No device would ever be heard from."
        if self.prediction_shift + self.drift > 0.8:
            yield "Shift and drift together leave nothing to the other labels: at most 0.8."
        if self.worst_error_rate + self.world_error_rate > 1:
            yield "More than all inferences would fail."

    @property
    def worst_error_rate(self) -> float:
        return max(self.control_error_rate, self.error_rate or 0.0)

    @property
    def harmless(self) -> bool:
        """Whether the version is no worse than the one before, in anything."""
        worse = (self.error_rate or 0.0) > self.control_error_rate
        slower = self.latency_ratio > 1
        return not (worse or slower or self.failure_rate or self.prediction_shift or self.leak_hours)


def complaints(scenario: Scenario, policy: Policy) -> tuple[str, ...]:
    """What `policy` does not tolerate of the version, where it is worst; empty where a stop would be a false one."""
    asked = tolerances(policy.gates)
    rise = (scenario.error_rate or 0.0) - scenario.control_error_rate
    failing = min(policy.stop_failed_percent / 100, _or(asked.installs_failed))
    beyond = (
        ("failures", scenario.failure_rate, failing),
        ("errors", rise, _or(asked.error_increase)),
        ("latency", scenario.latency_ratio, min(asked.latency_ratios.values(), default=inf)),
        ("predictions", scenario.prediction_shift, _or(asked.prediction_shift)),
        ("leak", 0.0 if scenario.leak_hours is None else inf, 0.0),
    )
    return tuple(name for name, value, tolerated in beyond if value > tolerated)


def _or(tolerated: float | None) -> float:
    return inf if tolerated is None else tolerated
