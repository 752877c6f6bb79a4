"""What each hardware target must have shown by itself, before more of its devices are exposed."""

import numpy as np
import pytest

from cloud_hub.monitoring.gates.apart import unproved
from cloud_hub.monitoring.gates.cohort import Cohort, Question, past_of
from cloud_hub.monitoring.gates.rows import Flags

TOLERATED, USUAL = 0.02, 0.002
EACH = np.array([True])


def seen(*of_targets: tuple[str, float, float]) -> Cohort:
    """A device each, with its target, its hits and its records."""
    count = len(of_targets)
    hits, records = (np.array([[one[at]] for one in of_targets], float).reshape(count, 1) for at in (1, 2))
    names = np.array([f"gateway-{at}" for at in range(count)], object)
    nothing = np.zeros((count, 1))
    targets = np.array([one[0] for one in of_targets], object)
    return Cohort(names, targets, np.arange(count), np.ones(count, bool), hits, records, nothing, nothing)


CONTROL = seen(("arm", 20.0, 10_000.0), ("x86", 20.0, 10_000.0))


def asked(treated: Cohort, control: Cohort = CONTROL, apart: Flags | None = EACH) -> list[str]:
    question = Question(treated, control, np.array([USUAL]), TOLERATED, False, 0.1, apart=apart)
    return unproved(question, past_of(question))


def test_who_has_shown_least_is_named_first() -> None:
    assert asked(seen(("arm", 0, 60), ("x86", 0, 30))) == ["x86", "arm"]
    assert asked(seen(("arm", 0, 60), ("x86", 0, 500))) == ["arm"]
    assert asked(seen(("arm", 0, 120), ("x86", 0, 500))) == []


def test_nobody_is_asked_where_no_more_devices_are_to_be_exposed() -> None:
    assert asked(seen(("arm", 9, 60)), apart=None) == []


def test_where_nobody_is_a_control_each_target_is_asked() -> None:
    assert asked(seen(("arm", 0, 60), ("x86", 0, 500)), seen()) == ["arm"]


def test_a_target_without_a_control_of_its_own_is_not_asked() -> None:
    assert asked(seen(("arm", 9, 60), ("x86", 0, 500)), seen(("x86", 20, 10_000))) == []


def test_what_the_control_suffers_too_is_not_held_against_a_target() -> None:
    troubled = seen(("arm", 500, 10_000))
    assert asked(seen(("arm", 25, 500)), troubled) == []
    assert asked(seen(("arm", 25, 500))) == ["arm"]


@pytest.mark.parametrize(("rise", "at_most", "at_least"), [(0.0, 1.0, 1.0), (0.04, 0.05, 0.0), (0.06, 0.01, 0.0)])
def test_a_harmless_version_gets_through_within_minutes_and_a_harmful_one_hardly_ever(
    rise: float, at_most: float, at_least: float
) -> None:
    """A device of one inference a second, looked at every 20 seconds for 10 minutes, 300 times."""
    chance, through, runs = np.random.default_rng(5), 0, 300
    for _ in range(runs):
        failed = np.cumsum(chance.binomial(20, USUAL + rise, 30))
        through += any(not asked(seen(("arm", failed[look], 20.0 * (look + 1)))) for look in range(30))
    assert at_least <= through / runs <= at_most
