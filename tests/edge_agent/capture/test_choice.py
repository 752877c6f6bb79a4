"""Which records are kept: the reasons, one by one, and the laws of their budget."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.capture.choice import Budget, Candidate, Reason, Rules, choose

HOUR = 3600.0
ALL = Rules(bytes_per_hour=36_000, random_share=0.1, low_margin=0.2, disagreement=True)
RICH = Budget(dict.fromkeys(Reason, 1e9), 0.0)
#: A record that is kept for this reason, or for none.
ONLY = {
    Reason.RANDOM: Candidate(100, random=0.0, margin=0.9),
    Reason.LOW_MARGIN: Candidate(100, random=1.0, margin=0.1),
    Reason.DISAGREEMENT: Candidate(100, random=1.0, margin=0.9, disagrees=True),
}


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (Candidate(100, random=0.09, margin=0.9), Reason.RANDOM),
        (Candidate(100, random=0.1, margin=0.9), None),
        (Candidate(100, random=0.5, margin=0.19), Reason.LOW_MARGIN),
        (Candidate(100, random=0.5, margin=0.2), None),
        (Candidate(100, random=0.5, margin=None), None),
        (Candidate(100, random=0.5, margin=0.9, disagrees=True), Reason.DISAGREEMENT),
        (Candidate(100, random=0.5, margin=0.1, disagrees=True), Reason.DISAGREEMENT),
        (Candidate(100, random=0.0, margin=0.1, disagrees=True), Reason.RANDOM),
    ],
)
def test_the_reason_of_a_record(candidate: Candidate, reason: Reason | None) -> None:
    assert choose(ALL, RICH, candidate, 0.0)[1] is reason


def test_what_is_not_asked_for_is_not_kept() -> None:
    everything = Candidate(100, random=0.0, margin=0.0, disagrees=True)
    assert choose(Rules(36_000), RICH, everything, HOUR)[1] is None
    assert choose(Rules(36_000, low_margin=0.1), RICH, everything, HOUR)[1] is Reason.LOW_MARGIN
    assert choose(Rules(0, 1.0, 1.0, disagreement=True), Budget({}, 0.0), everything, HOUR)[1] is None


def test_a_start_has_nothing_saved() -> None:
    budget, reason = choose(ALL, Budget(), ONLY[Reason.RANDOM], 1e6)
    assert reason is None
    assert choose(ALL, budget, ONLY[Reason.RANDOM], 1e6 + 1)[1] is Reason.RANDOM


def test_a_clock_that_goes_back_gives_nothing_twice() -> None:
    rules = Rules(36_000, random_share=1.0)
    budget, _ = choose(rules, Budget({}, 0.0), Candidate(100, 0.5), 100.0)
    back, _ = choose(rules, budget, Candidate(0, 0.5), 50.0)
    again, _ = choose(rules, back, Candidate(0, 0.5), 100.0)
    assert again.saved == budget.saved


def test_what_changes_while_running_keeps_no_more_than_the_new_rules_allow() -> None:
    fewer = Rules(360, random_share=0.1)
    budget, _ = choose(fewer, RICH, Candidate(0, random=1.0), 0.0)
    assert budget.saved == {Reason.RANDOM: 360}


def test_a_record_larger_than_an_hour_may_take_is_kept_now_and_then() -> None:
    rules = Rules(1_000_000, random_share=1.0, low_margin=0.5)
    budget, kept = Budget(), 0
    for second in range(0, 100 * 3600, 10):
        budget, reason = choose(rules, budget, Candidate(6_000_000, random=0.5, margin=0.9), float(second))
        kept += reason is not None
    assert 16 <= kept <= 17


sizes = st.integers(0, 5_000)
candidates = st.builds(
    Candidate,
    size_bytes=sizes,
    random=st.floats(0, 1),
    margin=st.none() | st.floats(0, 1),
    disagrees=st.booleans(),
)
rules = st.builds(
    Rules,
    bytes_per_hour=st.integers(0, 100_000),
    random_share=st.sampled_from([0.0, 0.5, 1.0]),
    low_margin=st.sampled_from([0.0, 0.5, 1.0]),
    disagreement=st.booleans(),
)
calls = st.lists(st.tuples(st.floats(0, 4000), candidates), min_size=1, max_size=40)


@given(rules, calls)
def test_never_above_the_budget_over_any_time(rules: Rules, calls: list[tuple[float, Candidate]]) -> None:
    times = list(accumulate(wait for wait, _ in calls))
    budget, kept = Budget(), []
    for now, (_, candidate) in zip(times, calls, strict=True):
        budget, reason = choose(rules, budget, candidate, now)
        kept.append(0 if reason is None else candidate.size_bytes)
    # What an hour has saved, and one record of each reason on credit.
    slack = rules.bytes_per_hour + len(rules.reasons) * max(kept)
    for start in range(len(times)):
        for end in range(start, len(times)):
            earned = rules.bytes_per_hour * (times[end] - times[start]) / HOUR
            assert sum(kept[start : end + 1]) <= earned + slack + 1e-3


@given(st.sampled_from(Reason), st.integers(1, 3000), st.integers(1, 3000), st.floats(1, 30))
def test_each_reason_has_its_share_in_a_flood_of_the_others(
    reason: Reason, size_bytes: int, others_bytes: int, pause: float
) -> None:
    others = [one for one in Reason if one is not reason]
    budget, now, kept, wanted = Budget(), 0.0, 0, 0
    hours = 2
    while now < hours * HOUR:
        for one in others:
            for _ in range(5):
                sent = Candidate(others_bytes, ONLY[one].random, ONLY[one].margin, ONLY[one].disagrees)
                budget, _ = choose(ALL, budget, sent, now)
        mine = Candidate(size_bytes, ONLY[reason].random, ONLY[reason].margin, ONLY[reason].disagrees)
        budget, found = choose(ALL, budget, mine, now)
        kept += size_bytes if found is reason else 0
        wanted += size_bytes
        now += pause
    # At the pace at which it comes, or its third of the budget.
    share = ALL.bytes_per_hour * (now - pause) / HOUR / 3
    assert kept >= min(share, wanted - size_bytes) - 1e-3


def test_a_rare_disagreement_finds_what_was_saved_for_it() -> None:
    budget = Budget()
    for second in range(2 * 3600):
        for reason in (Reason.RANDOM, Reason.LOW_MARGIN):
            for _ in range(3):
                budget, _ = choose(ALL, budget, ONLY[reason], float(second))
    kept = 0
    for _ in range(1000):
        budget, reason = choose(ALL, budget, ONLY[Reason.DISAGREEMENT], 2 * HOUR)
        kept += reason is Reason.DISAGREEMENT
    assert kept == ALL.bytes_per_hour / 3 / 100


def test_what_the_others_do_not_need_is_no_loss() -> None:
    budget, kept = Budget(), 0
    for second in range(10 * 3600):
        budget, reason = choose(ALL, budget, ONLY[Reason.LOW_MARGIN], float(second))
        kept += 100 if reason else 0
    # All that came, but for what the two others have saved.
    assert kept == pytest.approx(10 * 36_000 - 2 * 12_000, abs=200)


def test_what_fills_a_share_on_the_way_flows_over_at_once() -> None:
    # 12,000 each may have; 1,200 come in two minutes, 400 each, and the first has room for 100.
    saved = {Reason.RANDOM: 11_900.0, Reason.LOW_MARGIN: 0.0, Reason.DISAGREEMENT: 0.0}
    budget, _ = choose(ALL, Budget(saved, 0.0), Candidate(0, random=1.0), 120.0)
    assert budget.saved == {Reason.RANDOM: 12_000, Reason.LOW_MARGIN: 550, Reason.DISAGREEMENT: 550}


@given(rules, calls, candidates, st.none() | st.floats(0, 1), st.booleans())
def test_chance_does_not_look_at_what_it_picks(
    rules: Rules, calls: list[tuple[float, Candidate]], candidate: Candidate, margin: float | None, disagrees: bool
) -> None:
    budget = Budget()
    for now, (_, one) in enumerate(calls):
        budget, _ = choose(rules, budget, one, 600.0 * now)
    other = Candidate(candidate.size_bytes, candidate.random, margin, disagrees)
    found, reason = choose(rules, budget, candidate, 1e5)
    found_of_other, reason_of_other = choose(rules, budget, other, 1e5)
    assert (reason is Reason.RANDOM) == (reason_of_other is Reason.RANDOM)
    if reason is Reason.RANDOM:
        assert found == found_of_other


@given(rules, calls)
def test_the_same_records_give_the_same_choices(rules: Rules, calls: list[tuple[float, Candidate]]) -> None:
    def run() -> list[tuple[Budget, Reason | None]]:
        budget, now, found = Budget(), 0.0, []
        for wait, candidate in calls:
            now += wait
            budget, reason = choose(rules, budget, candidate, now)
            found.append((budget, reason))
        return found

    assert run() == run()
