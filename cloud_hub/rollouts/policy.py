"""What a person may ask of a rollout: whom it is for, in which waves, on what evidence, and what if it goes wrong."""

from decimal import ROUND_CEILING, Decimal
from typing import Annotated, Literal, Self, assert_never

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from cloud_hub.devices.selector_text import EXAMPLE, MAX_CHARACTERS, parse

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
TimeOfDay = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["02:00"])]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: More than any fleet has; what is larger was typed by mistake, and no database or clock could hold it.
MOST_DEVICES = 100_000_000
MOST_RECORDS = 1_000_000_000_000
YEAR_SECONDS = 365 * 86_400


def _parsed(text: str) -> str:
    parse(text)
    return text


#: A selector, as `devices/selector_text.py` has it; one that is none is a fault with the column where it goes wrong.
Expression = Annotated[str, AfterValidator(_parsed), Field(max_length=MAX_CHARACTERS, examples=[EXAMPLE])]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Wave(_Part):
    """How many of the eligible devices are exposed once this wave is open: a number of them, or a percentage."""

    devices: int | None = Field(default=None, ge=1, le=MOST_DEVICES)
    percent: float | None = Field(default=None, gt=0, le=100)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.devices is None) == (self.percent is None):
            raise ValueError("give either devices or percent")
        return self

    @property
    def name(self) -> str:
        if self.devices is not None:
            return f"{self.devices:,} device{'s' if self.devices > 1 else ''}"
        return f"{self.percent:g} %"

    @property
    def everyone(self) -> bool:
        """Whether it is for every eligible device, those that join later among them."""
        return self.percent == 100

    def covers(self, eligible: int) -> int:
        """How many of `eligible` devices: rounded up, at least one, at most all."""
        if self.devices is not None:
            return min(self.devices, eligible)
        # Decimal, for 5.6 % of 1,000 in binary is a little more than 56, and rounds up to 57.
        share = Decimal(str(self.percent)) * eligible / 100
        return min(eligible, int(share.to_integral_value(ROUND_CEILING)))


class ErrorsGate(_Part):
    """`max_increase`: by how much the share of failed inferences may rise, in shares of 1."""

    max_increase: float = Field(default=0.02, gt=0, le=1)


class PredictionsGate(_Part):
    """`max_shift`: by how much the share of any one predicted label may move, in shares of 1."""

    max_shift: float = Field(default=0.1, gt=0, le=1)


class InstallsGate(_Part):
    """`max_failed`: the share, of 1, of devices that may fail to fetch, load or run it."""

    max_failed: float = Field(default=0.05, gt=0, lt=1)


class ParityGate(_Part):
    """`max_failed`: the share, of 1, of devices that may compute other outputs for the golden set."""

    max_failed: float = Field(default=0.02, gt=0, lt=1)


class LatencyGate(_Part):
    """How many times what is usual each quantile may be; null leaves a quantile out."""

    p50: float | None = Field(default=1.5, gt=1, le=100)
    p95: float | None = Field(default=1.5, gt=1, le=100)
    p99: float | None = Field(default=2.0, gt=1, le=100)


class MemoryGate(_Part):
    """`max_ratio`: how many times the most that a device took before it may take."""

    max_ratio: float = Field(default=1.5, gt=1, le=100)


class TemperatureGate(_Part):
    """`max_rise`: by how many degrees Celsius a device may be hotter than it ever was before."""

    max_rise: float = Field(default=10, gt=0, le=100)


class ConfidenceGate(_Part):
    """`max_shift`: by how much the share of predictions below any confidence may move, in shares of 1."""

    max_shift: float = Field(default=0.2, gt=0, le=1)


class FeaturesGate(_Part):
    """`max_shift`: by how much the share of inputs below any value of a feature may move, in shares of 1, on the
    devices that run the version and not on the others."""

    max_shift: float = Field(default=0.2, gt=0, le=1)


class AgreementGate(_Part):
    """`max_disagreement`: the share, of 1, of records that a shadow may label otherwise than what runs beside it."""

    max_disagreement: float = Field(default=0.2, gt=0, le=1)


class AccuracyGate(_Part):
    """`max_drop`: by how much the share of right labels may fall, in shares of 1, where true labels arrive."""

    max_drop: float = Field(default=0.05, gt=0, le=1)


class Gates(_Part):
    """The gates to pass; null switches one off. `false_alarms` is how often, at most, a version that is no different
    from the one before fails any of them, in shares of 1, over the whole rollout and however often it is looked at.

    `device_correlation` is the most by which two records of one device resemble each other (0: not at all, 1: wholly)
    beyond what its past tells. The smaller it is, the fewer devices prove harm; where devices are known to be alike, a
    smaller number lets a single canary stop a rollout."""

    installs: InstallsGate | None = InstallsGate()
    parity: ParityGate | None = ParityGate()
    errors: ErrorsGate | None = ErrorsGate()
    latency: LatencyGate | None = LatencyGate()
    memory: MemoryGate | None = MemoryGate()
    temperature: TemperatureGate | None = TemperatureGate()
    predictions: PredictionsGate | None = PredictionsGate()
    confidence: ConfidenceGate | None = ConfidenceGate()
    features: FeaturesGate | None = FeaturesGate()
    agreement: AgreementGate | None = AgreementGate()
    accuracy: AccuracyGate | None = AccuracyGate()
    false_alarms: float = Field(default=0.01, gt=0, lt=0.5)
    device_correlation: float = Field(default=0.1, gt=0, le=0.3)


class Rate(_Part):
    """At most `devices_per_minute` are offered the version in any minute; 0.1 is one device in ten minutes. Each time
    that a minute's worth of devices has succeeded, the rate grows by `growth_factor`. With `until_proven` it holds
    nobody while every gate is passed: then a wave is offered to all its devices at once. Within a wave each device
    waits up to `jitter_seconds` of its own, so that those of one site do not all fetch at once."""

    devices_per_minute: float = Field(ge=0.000_001, le=1_000_000)
    growth_factor: float = Field(default=1, ge=1, le=10)
    jitter_seconds: float = Field(default=0, ge=0, le=86_400)
    until_proven: bool = False


class Group(_Part):
    """Of devices with the same value of `label`, at most `max_in_flight` switch at once: one of an HA pair."""

    label: str = Field(min_length=1, max_length=63)
    max_in_flight: int = Field(default=1, ge=1, le=MOST_DEVICES)


class Approval(_Part):
    """Which waves a person must approve before they open: none, all, or all after the first. With `second_person` it
    is another than who created the rollout."""

    waves: Literal["none", "all", "after-first"] = "none"
    second_person: bool = False

    def asked_for(self, wave: int) -> bool:
        """Whether `wave`, from 0, needs one."""
        match self.waves:
            case "none":
                return False
            case "all":
                return True
            case "after-first":
                return wave > 0
            case _ as never:
                assert_never(never)


class MaintenanceWindow(_Part):
    """When a device may switch, in its own local time; it fetches and proves at any time. Where `end` is not after
    `start`, it ends on the next day; `days` are those that it starts on."""

    days: tuple[Day, ...] = Field(default=DAYS, min_length=1, max_length=7)
    start: TimeOfDay
    end: TimeOfDay

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if self.start == self.end:
            raise ValueError(f"the window starts and ends at {self.start}, and so never is; leave it out for any time")
        if len(set(self.days)) != len(self.days):
            raise ValueError(f"each day is named once, and days are {', '.join(self.days)}")
        return self


class Policy(_Part):
    """A rollout goes on to its next wave once `success_percent` of the devices that it was offered to, and that were
    heard from, run it, these are at least `minimum_devices` and `heard_percent` of the wave, half of them have run it
    for `soak_seconds`, `minimum_records` records of it came in during the wave and every gate is passed. It stops when
    a gate fails, or when more than `stop_failed_percent` of them failed, once `stop_failed_after` are done with it or
    no other could be.

    A device that is not done `deadline_seconds` after it was offered the version counts as failed; one that rejected
    it is asked to try again up to `retries` times before it does."""

    waves: tuple[Wave, ...] = Field(
        default=(Wave(percent=1), Wave(percent=5), Wave(percent=25), Wave(percent=100)), min_length=1, max_length=100
    )
    selector: Expression = Field(default="", description="Which devices are eligible; empty: every device")
    lab: Expression | None = None
    success_percent: float = Field(default=95, gt=0, le=100)
    soak_seconds: float = Field(default=60, ge=0, le=YEAR_SECONDS)
    minimum_records: int = Field(default=200, ge=0, le=MOST_RECORDS)
    minimum_devices: int = Field(default=1, ge=1, le=MOST_DEVICES)
    heard_percent: float = Field(default=50, ge=0, le=100)
    # One harmless failure among the first few is no reason: 1 % of bad luck would stop every fifth rollout.
    stop_failed_percent: float = Field(default=10, ge=0, lt=100)
    stop_failed_after: int = Field(default=20, ge=1, le=MOST_DEVICES)
    # A percentage of a large fleet is many devices: what 1 % of 100,000 would suffer is seen on the first hundred. Once
    # these have shown that it is good, to go on slowly protects nobody.
    rate: Rate | None = Rate(devices_per_minute=20, growth_factor=2, until_proven=True)
    max_in_flight: int | None = Field(default=None, ge=1, le=MOST_DEVICES)
    group: Group | None = None
    approval: Approval = Approval()
    window: MaintenanceWindow | None = None
    deadline_seconds: float | None = Field(default=None, gt=0, le=YEAR_SECONDS)
    retries: int = Field(default=0, ge=0, le=100)
    on_stop: Literal["revert", "pause"] = "revert"
    gates: Gates = Gates()

    @model_validator(mode="after")
    def _waves_grow(self) -> Self:
        for kind in ("devices", "percent"):
            sizes = [size for wave in self.waves if (size := getattr(wave, kind)) is not None]
            if sizes != sorted(set(sizes)):
                raise ValueError(f"each wave must be larger than the one before, and {kind} go {sizes}")
        return self
