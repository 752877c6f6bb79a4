"""Who is parked: as few as it takes, the spare and the long unasked first, and never who is wanted or at work."""

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.residency import Resident, to_park

residents = st.lists(
    st.builds(
        Resident,
        st.sampled_from("abcdefgh"),
        st.integers(0, 100),
        st.floats(0, 10),
        st.booleans(),
        st.booleans(),
    ),
    unique_by=lambda one: one.key,
)


def test_the_least_recently_used_goes_first_and_no_more_than_must():
    three = [Resident("a", 40, 3.0), Resident("b", 40, 1.0), Resident("c", 40, 2.0)]
    assert to_park(three, 120, "", 0) == ()
    assert to_park(three, 119, "", 0) == ("b",)
    assert to_park(three, 100, "d", 40) == ("b", "c")


def test_a_shadow_goes_before_any_model_that_answers():
    both = [Resident("a", 40, 1.0), Resident("a@shadow", 40, 9.0, spare=True)]
    assert to_park(both, 60, "", 0) == ("a@shadow",)


def test_no_budget_bounds_nothing():
    assert to_park([Resident("a", 10**12, 0.0)], 0, "b", 10**12) == ()


@given(residents, st.integers(0, 400), st.sampled_from(["", *"abcdefghi"]), st.integers(0, 100))
def test_the_laws(found, budget, wanted, size):
    parked = to_park(found, budget, wanted, size)
    by_key = {one.key: one for one in found}
    assert len(set(parked)) == len(parked)
    assert wanted not in parked
    assert all(by_key[key].parkable for key in parked)
    left = size + sum(one.memory_bytes for one in found if one.key not in (*parked, wanted))
    free_to_go = [one for one in found if one.parkable and one.key not in (*parked, wanted)]
    assert not budget or left <= budget or not free_to_go, "what could go has gone, or it fits"
    if parked:
        assert left + by_key[parked[-1]].memory_bytes > budget > 0, "the last one had to go, too"
    ranks = [(not by_key[key].spare, by_key[key].used_at) for key in parked]
    assert ranks == sorted(ranks)
    for stays in free_to_go:
        assert all((not stays.spare, stays.used_at) >= rank for rank in ranks)
