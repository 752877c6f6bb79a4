"""The rules of others do what their documentation says, so that what we are compared with is theirs."""

from benchmarks.rules import AwsJobs, Flagger, HawkBit, Seen
from cloud_hub.rollouts.engine import Counts

ENDS = (10, 50, 100)


def seen(seconds: float = 0.0, asked: int = 0, errors: int = 0, **groups: Counts) -> Seen:
    by_group = {int(name.removeprefix("g")): counts for name, counts in groups.items()}
    return Seen(seconds, 100_000, by_group, asked, errors)


def test_hawkbit_goes_on_at_half_of_a_group_and_not_before() -> None:
    rule = HawkBit(ENDS)
    assert rule.reach(seen()) == 10
    assert rule.reach(seen(g0=Counts(10, 10, 4, 0))) == 10
    assert rule.reach(seen(g0=Counts(10, 10, 5, 0))) == 50


def test_hawkbit_stops_at_half_of_a_group_failed() -> None:
    rule = HawkBit(ENDS)
    rule.reach(seen())
    assert rule.reach(seen(g0=Counts(10, 10, 2, 4))) == 10
    assert rule.reach(seen(g0=Counts(10, 10, 2, 5))) is None


def test_aws_starts_with_fifty_a_minute_and_doubles_with_each_thousand() -> None:
    rule = AwsJobs()
    assert rule.reach(seen(0.0)) == 0
    assert rule.reach(seen(60.0)) == 50
    for minute in range(2, 21):
        reached = rule.reach(seen(60.0 * minute))
    assert reached == 1_000
    assert rule.reach(seen(60.0 * 21)) == 1_100


def test_aws_cancels_at_a_fifth_of_at_least_a_hundred() -> None:
    assert AwsJobs().reach(seen(60.0, g0=Counts(200, 200, 0, 99))) is not None
    assert AwsJobs().reach(seen(60.0, g0=Counts(200, 200, 81, 19))) is not None
    assert AwsJobs().reach(seen(60.0, g0=Counts(200, 200, 80, 20))) is None


def test_flagger_takes_five_percent_more_a_minute_and_all_after_half() -> None:
    rule, weights, asked = Flagger(), [], 0
    for minute in range(13):
        asked += 1_000
        weights.append(rule.reach(seen(60.0 * minute, asked)))
    assert weights == [*(5_000 * step for step in range(1, 11)), 100_000, 100_000, 100_000]


def test_flagger_rolls_back_at_the_fifth_check_that_fails_and_looks_at_the_last_minute_only() -> None:
    rule = Flagger()
    rule.reach(seen(0.0))
    reached = [rule.reach(seen(60.0 * minute, 1_000 * minute, 11 * minute)) for minute in range(1, 6)]
    assert reached == [5_000, 5_000, 5_000, 5_000, None]


def test_flagger_takes_no_traffic_for_a_failed_check() -> None:
    rule = Flagger()
    rule.reach(seen(0.0))
    assert rule.reach(seen(60.0)) == 5_000
    assert rule.failed_checks == 1
