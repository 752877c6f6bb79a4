"""Who may have its order now: never more than the rate, the cap and the group allow."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.rollouts.admission import Flow, Held, Waiting, admit, devices_per_minute, limited, room
from cloud_hub.rollouts.policy import Group, Policy, Rate

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def admitted(
    policy: Policy, flow: Flow, *waiting: Waiting, busy: dict[str, int] | None = None
) -> dict[str, Held | None]:
    return admit(policy, flow, busy or {}, waiting, "salt", NOW, NOW)


def many(count: int, *, group: str | None = None) -> list[Waiting]:
    return [Waiting(f"gateway-{number}", True, group) for number in range(count)]


def test_a_policy_without_limits_has_nobody_wait() -> None:
    assert not limited(Policy(rate=None))
    assert set(admitted(Policy(rate=None), Flow(), *many(100)).values()) == {None}


def test_no_more_are_in_flight_than_the_cap() -> None:
    policy = Policy(rate=None, max_in_flight=3)
    found = admitted(policy, Flow(in_flight=1), *many(5))
    assert list(found.values()) == [None, None, "cap", "cap", "cap"]
    assert set(admitted(policy, Flow(in_flight=9), *many(2)).values()) == {"cap"}


def test_a_group_has_no_more_in_flight_than_its_cap_and_a_device_does_not_hold_itself() -> None:
    policy = Policy(rate=None, group=Group(label="pair"))
    assert list(admitted(policy, Flow(), *many(2, group="a")).values()) == [None, "group"]
    assert admitted(policy, Flow(), Waiting("x", True, "a"), busy={"a": 1}) == {"x": "group"}
    assert admitted(policy, Flow(), Waiting("x", True, "a", in_flight=True), busy={"a": 1}) == {"x": None}
    assert admitted(policy, Flow(), Waiting("x", True, None), busy={"a": 1}) == {"x": None}


def test_who_is_not_connected_waits_for_itself() -> None:
    assert admitted(Policy(rate=None, max_in_flight=3), Flow(), Waiting("x", False)) == {"x": "away"}


def test_the_rate_grows_with_each_minutes_worth_of_successes() -> None:
    rate = Rate(devices_per_minute=10, growth_factor=2)
    assert [devices_per_minute(rate, succeeded) for succeeded in (0, 9, 10, 29, 30, 70)] == [10, 10, 20, 20, 40, 80]
    assert devices_per_minute(Rate(devices_per_minute=10), 1_000_000) == 10


def test_the_rate_of_a_minute_is_spread_over_it() -> None:
    policy = Policy(rate=Rate(devices_per_minute=60))
    assert room(policy, Flow()) == (1, "rate")
    assert room(policy, Flow(lately=1, since=2 * SECOND)) == (2, "rate")
    assert room(policy, Flow(lately=60, since=2 * SECOND)) == (0, "rate")
    assert room(Policy(rate=Rate(devices_per_minute=0.5)), Flow()) == (1, "rate")


def test_jitter_gives_each_device_a_moment_of_its_own() -> None:
    policy = Policy(rate=Rate(devices_per_minute=100_000, jitter_seconds=60))
    counts = []
    for seconds in (0, 30, 60):
        found = admit(policy, Flow(), {}, many(1_000), "salt", NOW, NOW + seconds * SECOND)
        counts.append(sum(why != "jitter" for why in found.values()))
    assert counts[0] == 0
    assert 400 < counts[1] < 600
    assert counts[2] == 1_000


@given(
    st.floats(0.1, 500),
    st.floats(1, 3),
    st.integers(1, 20),
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)), max_size=60),
)
def test_whatever_succeeds_when_neither_the_cap_nor_the_rate_of_any_minute_is_passed(
    per_minute: float, growth: float, cap: int, steps: list[tuple[int, int]]
) -> None:
    policy = Policy(rate=Rate(devices_per_minute=per_minute, growth_factor=growth), max_in_flight=cap)
    assert policy.rate is not None
    now, in_flight, succeeded, offered = NOW, 0, 0, list[datetime]()
    for seconds, done in steps:
        now += seconds * SECOND
        lately = [at for at in offered if at > now - 60 * SECOND]
        since = now - lately[-1] if lately else 60 * SECOND
        left, _ = room(policy, Flow(in_flight, len(lately), since, succeeded))
        assert left is not None
        offered += [now] * left
        in_flight += left
        assert in_flight <= cap
        assert len(lately) + left <= max(1, devices_per_minute(policy.rate, succeeded), len(lately))
        succeeded += min(done, in_flight)
        in_flight -= min(done, in_flight)
