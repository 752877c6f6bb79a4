"""The order of version numbers as text."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.devices.versions import order_of

OLDEST_FIRST = (
    "0.9",
    "1.0.dev1",
    "1.0a1",
    "1.0-alpha.2",
    "1.0b1",
    "1.0rc1.dev3",
    "1.0rc1",
    "1.0-rc.2",
    "1.0rc10",
    "1.0",
    "1.0.post1",
    "1.0.1",
    "1.2",
    "1.9.9",
    "1.10",
    "2",
    "10.0",
)


def test_versions_sort_as_people_count_them() -> None:
    for older, newer in pairwise(OLDEST_FIRST):
        assert (order_of(older) or "") < (order_of(newer) or ""), (older, newer)


@pytest.mark.parametrize(
    ("one", "other"),
    [("1.2", "1.2.0"), ("v1.2", "1.2"), ("1.2+debian3", "1.2"), ("1.2-RC.1", "1.2rc1"), ("01.2", "1.2"), (" 1 ", "1")],
)
def test_versions_that_say_the_same_are_equal(one: str, other: str) -> None:
    assert order_of(one) == order_of(other) is not None


@pytest.mark.parametrize("text", ["", "unknown", "1..2", "1.x", "1.2 3", "١.٢", "1" * 10, "1.2\n3", "9" * 10_000])
def test_what_is_no_version_has_no_order(text: str) -> None:
    assert order_of(text) is None


numbers = st.lists(st.integers(0, 999_999_999), min_size=1, max_size=8)


@given(numbers, numbers)
def test_releases_sort_as_their_numbers_do(one: list[int], other: list[int]) -> None:
    def trimmed(release: list[int]) -> list[int]:
        while len(release) > 1 and release[-1] == 0:
            release = release[:-1]
        return release

    mine, theirs = (order_of(".".join(map(str, release))) for release in (one, other))
    assert mine is not None
    assert theirs is not None
    assert (mine < theirs, mine == theirs) == (trimmed(one) < trimmed(other), trimmed(one) == trimmed(other))
