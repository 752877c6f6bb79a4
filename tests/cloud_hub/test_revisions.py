"""A change is made to what its caller saw, or, of several revisions that it names, to any."""

import pytest

from cloud_hub.errors import Stale
from cloud_hub.revisions import AsSeen, check_seen


@pytest.mark.parametrize("seen", [None, 3, frozenset({3}), frozenset({2, 3})])
def test_what_is_as_it_was_seen_is_changed(seen: AsSeen) -> None:
    check_seen("Cohort lyon", 3, seen)


@pytest.mark.parametrize(("seen", "told"), [(0, "0"), (frozenset({4}), "4"), (frozenset({4, 2}), "2 or 4")])
def test_what_is_another_by_now_is_not(seen: AsSeen, told: str) -> None:
    with pytest.raises(Stale, match=f"^Cohort lyon is at revision 3, and was to be .* at revision {told}\\. "):
        check_seen("Cohort lyon", 3, seen)
