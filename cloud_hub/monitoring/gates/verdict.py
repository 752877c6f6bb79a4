"""What a gate says. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    PASS = "pass"  # noqa: S105  (a verdict, no password)
    FAIL = "fail"
    NOT_ENOUGH_EVIDENCE = "not-enough-evidence"


@dataclass(frozen=True)
class Gate:
    """One gate's verdict. Shares of 1: `value` was observed, and truly lies within `lower` and `upper`; it is failed
    once `lower` is above `threshold`, and passed once `upper` is not. `exhausted`: it is neither, and nothing that is
    still to come could tell, so that somebody must. `clear`: it is neither, and is surely beyond the threshold on these
    very devices, so that only more devices could prove that it is the version, and none of their records."""

    name: str
    verdict: Verdict
    sentence: str
    value: float
    lower: float
    upper: float
    threshold: float
    exhausted: bool = False
    clear: bool = False


def verdict_of(lower: float, upper: float, threshold: float) -> Verdict:
    if lower > threshold:
        return Verdict.FAIL
    return Verdict.PASS if upper <= threshold else Verdict.NOT_ENOUGH_EVIDENCE
