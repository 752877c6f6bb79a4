"""The bound on artifacts: what fits, what has to go for it, and what never does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.failures import ArtifactRejected, TryLater
from edge_agent.store.quota import Quota

MB = 1_000_000
RUNNING = {"settled": 4 * MB, "previous": 4 * MB}


def test_without_a_bound_all_fits_and_nothing_goes() -> None:
    assert Quota().room({"new": 1 << 60}, set(), {}, {"old": 1 << 60}) == []


def test_what_fits_beside_what_runs_costs_nothing() -> None:
    assert Quota(12 * MB).room({"new": 4 * MB}, RUNNING.keys(), {}, RUNNING) == []


def test_what_can_never_fit_beside_what_runs_is_refused_with_the_numbers() -> None:
    with pytest.raises(ArtifactRejected) as caught:
        Quota(11 * MB).room({"new": 4 * MB}, RUNNING.keys(), {}, RUNNING)
    assert caught.value.code == "quota-exceeded"
    for number in (4 * MB, 8 * MB, 11 * MB):
        assert str(number) in str(caught.value)


def test_what_must_wait_for_another_order_waits() -> None:
    with pytest.raises(TryLater) as caught:
        Quota(16 * MB).room({"new": 5 * MB}, RUNNING.keys(), {"other": 4 * MB}, {**RUNNING, "other": 1})
    assert caught.value.code == "quota-full"


def test_what_nobody_was_promised_goes_and_no_more_of_it_than_must() -> None:
    on_disk = {**RUNNING, "small": 1 * MB, "large": 3 * MB, "promised": 1}
    gone = Quota(15 * MB).room({"new": 4 * MB}, RUNNING.keys(), {"promised": 1 * MB}, on_disk)
    assert gone == ["large"]


def test_what_is_here_already_is_not_counted_twice() -> None:
    assert Quota(12 * MB).room({"new": 4 * MB}, RUNNING.keys(), {"new": 4 * MB}, {**RUNNING, "new": 4 * MB}) == []


def test_a_revert_to_what_is_kept_is_never_refused() -> None:
    assert Quota(1).room({"previous": 4 * MB}, RUNNING.keys(), {}, RUNNING) == []


def test_a_bound_below_what_runs_is_named() -> None:
    assert Quota(8 * MB).exceeded(8 * MB) is None
    assert Quota().exceeded(8 * MB) is None
    because = Quota(8 * MB - 1).exceeded(8 * MB)
    assert because is not None
    assert because.code == "quota-exceeded"


sizes = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 100), max_size=8)


@given(
    most=st.integers(1, 400),
    wanted=st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 100), min_size=1, max_size=2),
    proven=st.sets(st.sampled_from("abcdefgh"), max_size=4),
    promised=sizes,
    on_disk=sizes,
)
def test_whatever_is_let_in_fits_and_costs_neither_what_runs_nor_what_was_promised(
    most: int, wanted: dict[str, int], proven: set[str], promised: dict[str, int], on_disk: dict[str, int]
) -> None:
    kept = {one: size for one, size in on_disk.items() if one in proven}
    try:
        gone = set(Quota(most).room(wanted, proven, promised, on_disk))
    except ArtifactRejected:
        assert sum(kept.values()) + sum(wanted[one] for one in wanted.keys() - proven) > most
        return
    except TryLater:
        # Others stand in the way, and without them there would be room.
        others = {one: max(size, on_disk.get(one, 0)) for one, size in promised.items()}
        taken = sum(size for one, size in others.items() if one not in proven | wanted.keys())
        needed = sum(size for one, size in wanted.items() if one not in proven)
        assert sum(kept.values()) + needed <= most < sum(kept.values()) + taken + needed
        return
    assert not gone & (proven | promised.keys() | wanted.keys())
    assert gone <= on_disk.keys()
    after = {one: size for one, size in on_disk.items() if one not in gone}
    for one, size in promised.items():
        if one not in proven:
            after[one] = max(after.get(one, 0), size)
    after |= {one: size for one, size in wanted.items() if one not in proven}
    if wanted.keys() - proven:
        assert sum(after.values()) <= most
