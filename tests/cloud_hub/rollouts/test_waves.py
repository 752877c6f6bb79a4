"""A wave covers exactly as many devices as it says, the same ones for ever, and others in the next rollout."""

from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.rollouts.policy import Wave
from cloud_hub.rollouts.waves import BUCKETS, bucket, reach

DEVICES = st.sets(st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True), max_size=60)
SALTS = st.text("0123456789abcdef", min_size=4, max_size=16)


@given(SALTS, DEVICES, st.integers(0, 80))
def test_reach_covers_exactly_the_count_asked_for(salt: str, devices: set[str], count: int) -> None:
    exposed = reach(salt, devices, count)
    assert sum(bucket(salt, device) < exposed for device in devices) == min(count, len(devices))


@given(SALTS, DEVICES, st.integers(0, 80), st.integers(0, 80))
def test_a_larger_wave_covers_all_of_a_smaller_one(salt: str, devices: set[str], a: int, b: int) -> None:
    small, large = sorted((a, b))
    assert reach(salt, devices, small) <= reach(salt, devices, large) <= BUCKETS


def test_a_bucket_never_changes() -> None:
    # Running rollouts depend on it: another hash would move devices between versions.
    assert bucket("3f9c", "gateway-1") == 6_626_575_497_017_315
    assert bucket("3f9d", "gateway-1") != bucket("3f9c", "gateway-1")


def test_buckets_are_spread_evenly() -> None:
    tenths = [0] * 10
    for number in range(10_000):
        tenths[bucket("salt", f"device-{number}") * 10 // BUCKETS] += 1
    assert all(900 < tenth < 1_100 for tenth in tenths)


def test_canaries_differ_between_rollouts() -> None:
    devices = [f"device-{number}" for number in range(1_000)]
    first, second = (
        {device for device in devices if bucket(salt, device) < reach(salt, devices, 10)} for salt in ("a", "b")
    )
    assert len(first & second) <= 3


@given(st.integers(1, 5_000), st.integers(1, 1_000))
def test_a_percentage_is_rounded_up_and_never_nobody(eligible: int, tenths_of_a_percent: int) -> None:
    covers = Wave(percent=tenths_of_a_percent / 10).covers(eligible)
    assert covers == -(-eligible * tenths_of_a_percent // 1_000)
    assert 1 <= covers <= eligible


def test_a_percentage_is_not_rounded_up_for_what_binary_cannot_hold() -> None:
    assert Wave(percent=5.6).covers(1_000) == 56
