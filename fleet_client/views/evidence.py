"""What telemetry shows of a version, and what gates make of it."""

from datetime import datetime

import msgspec


class Cohort(msgspec.Struct, frozen=True):
    """The telemetry of one cohort since the rollout started."""

    records: int = 0
    errors: int = 0
    devices: int = 0
    predictions: dict[str, int] = {}
    compared: int = 0
    """Of a shadow: records whose label was compared with that of the version that answered."""
    agreement: float | None = None
    """The share of those, 0 to 1, with the same label."""
    labelled: int = 0
    """Records whose true label is known."""
    accuracy: float | None = None
    """The share of those, 0 to 1, that were given it."""


class Evidence(msgspec.Struct, frozen=True):
    """`treated` ran the rollout's version, `control` any other in the same time."""

    treated: Cohort = Cohort()
    control: Cohort = Cohort()
    wave_records: int = 0
    """Records of the treated since the open wave began."""


class Gate(msgspec.Struct, frozen=True):
    """One gate: "pass", "fail" or "not-enough-evidence", and the sentence that says why. `exhausted`: nothing that is
    still to come could tell, and somebody must."""

    name: str
    verdict: str
    sentence: str
    value: float = 0.0
    lower: float = 0.0
    upper: float = 0.0
    threshold: float = 0.0
    exhausted: bool = False


class Reading(msgspec.Struct, frozen=True):
    """What one gate said at one time; figures as in `Gate`."""

    at: datetime
    verdict: str
    value: float
    lower: float
    upper: float
    threshold: float


class GateReadings(msgspec.Struct, frozen=True):
    """What one gate said over the time of a rollout, the oldest first."""

    name: str
    readings: tuple[Reading, ...]
