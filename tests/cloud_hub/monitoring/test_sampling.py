"""A few devices stand for all of a cohort, and a few of each hardware target for that, however rare it is."""

from itertools import pairwise
from random import Random

import pytest

from cloud_hub.monitoring.sampling import WITNESSES, Sample, hashed, of_a_target

FLEET = [
    (hashed(name), name, "rare" if number % 1_000 == 0 else f"common-{number % 2}")
    for number in range(40_000)
    for name in [f"gateway-{number:07}"]
]


def rare(sample: Sample) -> int:
    targets = {name: target for _, name, target in FLEET}
    return sum(targets[name] == "rare" for name in sample.names)


def test_a_target_that_is_one_device_in_a_thousand_has_its_witnesses_and_speaks_for_no_other() -> None:
    sample = Sample().plus(FLEET)
    assert rare(sample) == of_a_target(WITNESSES, 3) == 32
    alone = sample.for_target_alone
    assert len(sample.names) == WITNESSES + len(alone)
    # The others are a random sample of all: what is rare there is rare here.
    assert rare(sample) - len(alone) <= 3


def test_who_is_kept_depends_on_no_order_and_always_was() -> None:
    windows = list(FLEET)
    Random(3).shuffle(windows)
    steps = [Sample()]
    for start in range(0, len(windows), 1_500):
        steps.append(steps[-1].plus(windows[start : start + 1_500]))
    assert steps[-1] == Sample().plus(FLEET)
    heard: set[str] = set()
    for number, (before, after) in enumerate(pairwise(steps)):
        assert not (after.names & heard) - before.names, "who was left out once never comes back"
        heard |= {name for _, name, _ in windows[number * 1_500 : (number + 1) * 1_500]}


def test_a_small_cohort_is_kept_whole_and_nobody_is_there_for_a_target_alone() -> None:
    sample = Sample().plus(FLEET[:WITNESSES])
    assert sample.names == {name for _, name, _ in FLEET[:WITNESSES]}
    assert not sample.for_target_alone


@pytest.mark.parametrize(
    ("apart", "targets", "each"), [(256, 1, 32), (256, 20, 12), (256, 500, 4), (0, 3, 0), (2, 1, 2)]
)
def test_the_more_targets_there_are_the_fewer_are_kept_of_each(apart: int, targets: int, each: int) -> None:
    assert of_a_target(apart, targets) == each


def test_a_sample_is_narrowed_to_what_it_would_have_been() -> None:
    assert Sample().plus(FLEET).narrowed(64).names == Sample(64).plus(FLEET).names
    assert Sample(64).plus(FLEET).narrowed(256) == Sample(64).plus(FLEET)
