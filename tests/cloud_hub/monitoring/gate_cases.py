"""Cases for gates: cohorts whose devices are alike, and what one gate says of them."""

from collections.abc import Mapping, Sequence

from cloud_hub.monitoring.evidence import Evidence, Tally
from cloud_hub.monitoring.gates import About, Case, Gate, Tolerances, Verdict, judge

LABELS = tuple("0123456789")
EVEN = dict.fromkeys(LABELS, 100)
ABOUT = About(LABELS, EVEN)


def cohort(name: str, devices: int, predictions: Mapping[str, int], errors: int = 0) -> Evidence:
    """So many devices, each with those counts."""
    one = Tally(1, sum(predictions.values()), errors, {}, predictions)
    return Evidence({f"{name}-{number}": one for number in range(devices)})


def case(treated: Evidence, control: Evidence, past: Evidence | None = None) -> Case:
    return Case(treated, control, past or Evidence(), about=ABOUT)


def times(predictions: Mapping[str, int], factor: int) -> dict[str, int]:
    return {label: count * factor for label, count in predictions.items()}


def of(name: str, gates: Sequence[Gate]) -> Gate:
    (gate,) = [gate for gate in gates if gate.name == name]
    return gate


def verdict(name: str, of_case: Case, tolerances: Tolerances | None = None) -> Verdict:
    return of(name, judge(of_case, tolerances or Tolerances())).verdict
