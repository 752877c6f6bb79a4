"""A cohort of any size is kept in as much memory as a few hundred devices take, and none of these is kept in part."""

from random import Random

import pytest

from cloud_hub.monitoring.evidence import Counted, Evidence, Tally, tally
from cloud_hub.monitoring.sampling import WITNESSES, Sample
from cloud_hub.monitoring.witnessed import Witnessed


def window(device: str) -> tuple[float, Counted]:
    return 5.0, Counted(device, "sha256:a", 10, 1, {100: 10}, {"3": 10}, (0, 10), {})


def devices_apart(shown: Witnessed) -> Evidence:
    (evidence,) = shown.periods.shown.values()
    return evidence


def test_of_a_huge_cohort_a_few_hundred_devices_are_kept_apart_and_all_are_added_up() -> None:
    windows = [window(f"gateway-{number}") for number in range(25_000)]
    shown = Witnessed().plus(windows)
    assert devices_apart(shown).devices == WITNESSES
    assert shown.total == tally(one for _, one in windows)
    assert shown.devices == pytest.approx(25_000, rel=0.002)


def test_which_devices_are_kept_apart_depends_on_no_order_and_nothing_of_theirs_is_missing() -> None:
    windows = [window(f"gateway-{number}") for number in range(1_000)] * 2
    at_once, in_parts = Witnessed().plus(windows), Witnessed()
    Random(7).shuffle(windows)
    for start in range(0, len(windows), 90):
        in_parts = in_parts.plus(windows[start : start + 90])
    assert devices_apart(in_parts) == devices_apart(at_once)
    assert {one.windows for _, one in devices_apart(in_parts)} == {2}
    assert in_parts.devices == at_once.devices


def test_a_small_cohort_is_counted_exactly() -> None:
    shown = Witnessed().plus(window(f"gateway-{number}") for number in range(WITNESSES))
    assert shown.devices == WITNESSES
    assert devices_apart(shown).devices == WITNESSES


def test_who_asks_for_no_devices_gets_the_sum_alone() -> None:
    shown = Witnessed(sample=Sample(0)).plus([window("gateway-1")])
    assert (shown.records, shown.periods.shown) == (10, {})
    assert Witnessed().plus([]).total == Tally()
