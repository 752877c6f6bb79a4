"""Who may have its order now: never more than the rate, the cap and the group allow."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cloud_hub.rollouts.admission import (
    NEVER,
    Flow,
    Held,
    Limits,
    Mover,
    admit,
    barred,
    devices_per_minute,
    limited,
    room,
    with_room,
)
from cloud_hub.rollouts.policy import Group, Policy, Rate

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def admitted(
    policy: Policy,
    flow: Flow,
    *waiting: Mover,
    groups: Mapping[str, str] | None = None,
    busy: Mapping[str, int] | None = None,
    now: datetime = NOW,
) -> dict[str, Held | None]:
    """What the one rollout that all ask says."""
    movers = [replace(one, rollouts=("r1",)) for one in waiting]
    return admit(movers, {"r1": Limits(policy, "salt", NOW, flow, groups or {}, busy or {})}, now)["r1"]


def many(count: int) -> list[Mover]:
    return [Mover(f"gateway-{number}") for number in range(count)]


def test_a_policy_without_limits_has_nobody_wait() -> None:
    assert not limited(Policy(rate=None))
    assert set(admitted(Policy(rate=None), Flow(), *many(100)).values()) == {None}


def test_no_more_are_in_flight_than_the_cap() -> None:
    policy = Policy(rate=None, max_in_flight=3)
    found = admitted(policy, Flow(in_flight=1), *many(5))
    assert list(found.values()) == [None, None, "cap", "cap", "cap"]
    assert set(admitted(policy, Flow(in_flight=9), *many(2)).values()) == {"cap"}


def test_a_group_has_no_more_in_flight_than_its_cap_and_a_device_does_not_hold_itself() -> None:
    policy, pair = Policy(rate=None, group=Group(label="pair")), {"gateway-0": "a", "gateway-1": "a"}
    assert list(admitted(policy, Flow(), *many(2), groups=pair).values()) == [None, "group"]
    assert admitted(policy, Flow(), *many(1), groups=pair, busy={"a": 1}) == {"gateway-0": "group"}
    flies = Mover("gateway-0", in_flight=True)
    assert admitted(policy, Flow(), flies, groups=pair, busy={"a": 1}) == {"gateway-0": None}
    assert admitted(policy, Flow(), *many(1), busy={"a": 1}) == {"gateway-0": None}


def test_who_moves_in_the_same_turn_is_one_of_its_group() -> None:
    one_of_a_pair = Limits(
        Policy(rate=None, group=Group(label="pair")), "salt", NOW, Flow(), {"x": "a", "y": "a", "z": "b"}
    )
    cap = Limits(Policy(rate=None, max_in_flight=9), "salt", NOW, Flow())
    waits = Mover("y", rollouts=("group",))
    # By nobody's leave, or by that of a rollout whose limits are no groups, whatever the order.
    for other in (Mover("x"), Mover("x", rollouts=("cap",))):
        assert admit([waits, other], {"group": one_of_a_pair, "cap": cap}, NOW)["group"] == {"y": "group"}
    assert admit([waits, Mover("x", in_flight=True)], {"group": one_of_a_pair}, NOW)["group"] == {"y": None}
    assert admit([waits, Mover("z")], {"group": one_of_a_pair}, NOW)["group"] == {"y": None}


def test_who_must_wait_for_one_rollout_is_not_let_go_by_those_that_were_not_asked() -> None:
    said = {"new": {"x": "rate", "y": None}, "beside": {"x": None}}
    assert barred("x", said, ["new", "beside", "old"]) == ["new", "old"]
    assert barred("y", said, ["new", "beside", "old"]) == []
    assert barred("z", {}, ["old"]) == []


def test_of_a_full_group_nobody_is_asked_about_but_who_does_not_wait_for_it() -> None:
    groups = {"a0": "a", "a1": "a", "a2": "a", "b0": "b", "b1": "b"}
    waiting = ["a0", "a1", "a2", "b0", "b1", "alone"]
    assert with_room(waiting, set(waiting), groups, {}, 1) == ["a0", "b0", "alone"]
    assert with_room(waiting, set(waiting), groups, {"other": "a"}, 2) == ["a0", "b0", "b1", "alone"]
    # One that is at something else already, or away, takes no room.
    assert with_room(waiting, {"a1", "a2", "b1"}, groups, {"a1": "a"}, 1) == ["a0", "a1", "b0", "b1", "alone"]


def test_who_is_not_connected_waits_for_itself() -> None:
    assert admitted(Policy(rate=None, max_in_flight=3), Flow(), Mover("x", connected=False)) == {"x": "away"}


def test_the_rate_grows_with_each_minutes_worth_of_successes() -> None:
    rate = Rate(devices_per_minute=10, growth_factor=2)
    assert [devices_per_minute(rate, succeeded) for succeeded in (0, 9, 10, 29, 30, 70)] == [10, 10, 20, 20, 40, 80]
    assert devices_per_minute(Rate(devices_per_minute=10), 1_000_000) == 10
    tenth = Rate(devices_per_minute=10, growth_factor=1.1)
    assert [devices_per_minute(tenth, succeeded) for succeeded in (20, 21)] == pytest.approx([11, 12.1])
    # In binary, 2 + 6 + 18 + 54 + 162 of them are a little less than five minutes' worth.
    assert [devices_per_minute(Rate(devices_per_minute=2, growth_factor=3), of) for of in (241, 242)] == [162, 486]


def test_the_rate_is_found_at_once_however_slow_it_is_and_however_slowly_it_grows() -> None:
    slow = Rate(devices_per_minute=0.000_001, growth_factor=1.000_000_1)
    # Each step adds a share of what has succeeded: all of them together, that share of it all.
    assert devices_per_minute(slow, 1_000_000) == pytest.approx(0.1, rel=0.001)
    hardly = Rate(devices_per_minute=0.000_001, growth_factor=1 + 2**-52)
    assert devices_per_minute(hardly, 10_000_000) == pytest.approx(0.000_001, rel=0.01)


@given(st.floats(0.5, 500), st.floats(1.05, 10), st.integers(0, 5_000))
def test_the_rate_grows_as_if_each_minutes_worth_was_counted_off(first: float, factor: float, succeeded: int) -> None:
    rate, left = first, succeeded - first
    while left >= 0:
        rate *= factor
        left -= rate
    # But for where a device more or less decides.
    assume(all(abs(left + step) > 1e-6 for step in (0, rate)))
    assert devices_per_minute(Rate(devices_per_minute=first, growth_factor=factor), succeeded) == pytest.approx(rate)


def test_the_rate_of_a_minute_is_spread_over_it() -> None:
    policy = Policy(rate=Rate(devices_per_minute=60))
    assert room(policy, Flow()) == (1, "rate")
    assert room(policy, Flow(lately=1, since=2 * SECOND)) == (2, "rate")
    assert room(policy, Flow(lately=60, since=2 * SECOND)) == (0, "rate")


def test_a_rate_that_is_lifted_leaves_the_cap() -> None:
    policy = Policy(rate=Rate(devices_per_minute=60, until_proven=True))
    assert room(policy, Flow(lately=60, rate_lifted=True))[0] is None
    assert room(policy.model_copy(update={"max_in_flight": 3}), Flow(1, 60, rate_lifted=True)) == (2, "cap")


def test_less_than_one_a_minute_is_one_in_so_many_minutes() -> None:
    policy = Policy(rate=Rate(devices_per_minute=0.5))
    assert room(policy, Flow()) == (1, "rate")
    assert room(policy, Flow(lately=1, since=2 * SECOND)) == (0, "rate")
    assert room(policy, Flow(since=119 * SECOND)) == (0, "rate")
    assert room(policy, Flow(since=120 * SECOND)) == (1, "rate")
    assert room(Policy(rate=Rate(devices_per_minute=0.001)), Flow(since=999 * 60 * SECOND)) == (0, "rate")


def test_jitter_gives_each_device_a_moment_of_its_own() -> None:
    policy = Policy(rate=Rate(devices_per_minute=100_000, jitter_seconds=60))
    counts = []
    for seconds in (0, 30, 60):
        found = admitted(policy, Flow(), *many(1_000), now=NOW + seconds * SECOND)
        counts.append(sum(why != "jitter" for why in found.values()))
    assert counts[0] == 0
    assert 400 < counts[1] < 600
    assert counts[2] == 1_000


@given(
    st.floats(0.01, 500),
    st.floats(1, 3),
    st.integers(1, 20),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 5)), max_size=60),
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
        since = now - offered[-1] if offered else NEVER
        left, _ = room(policy, Flow(in_flight, len(lately), since, succeeded))
        assert left is not None
        offered += [now] * left
        in_flight += left
        assert in_flight <= cap
        a_minute = devices_per_minute(policy.rate, succeeded)
        assert len(lately) + left <= max(1, a_minute, len(lately))
        assert left == 0 or a_minute >= 1 or (left == 1 and since >= 60 * SECOND / a_minute - SECOND / 1_000)
        succeeded += min(done, in_flight)
        in_flight -= min(done, in_flight)
