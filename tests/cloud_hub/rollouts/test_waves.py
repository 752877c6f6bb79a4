"""A wave covers exactly as many devices as it says, the same ones for ever, and others in the next rollout."""

from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.rollouts.policy import Policy, Wave
from cloud_hub.rollouts.waves import BUCKETS, Line, Stander, added, bucket, draw, names, place, shared_out

TARGETS = st.sampled_from(["cpu-vnni", "cpu-avx2", "tpu"])
SALTS = st.text("0123456789abcdef", min_size=4, max_size=16)


FLEETS = st.dictionaries(
    st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True), st.tuples(TARGETS, st.booleans()), max_size=60
)
POLICIES = st.builds(
    lambda lab, waves: Policy.model_validate({"lab": "site=lab" if lab else None, "waves": waves}),
    st.booleans(),
    st.sampled_from(
        [
            [{"percent": 1}, {"percent": 5}, {"percent": 25}, {"percent": 100}],
            [{"devices": 1}, {"percent": 50}, {"percent": 100}],
            [{"devices": 4}, {"percent": 30}],
            [{"percent": 100}],
        ]
    ),
)


def standing(fleet: dict[str, tuple[str, bool]], *, lab: bool) -> list[Stander]:
    return [Stander(name, target, lab and in_lab) for name, (target, in_lab) in fleet.items()]


def covered(line: Line, salt: str, devices: list[Stander]) -> set[str]:
    return {one.id for one in devices if line.covers(one.target, place(salt, one.id, lab=one.lab))}


@given(SALTS, FLEETS, POLICIES)
def test_each_wave_covers_what_it_said_before_the_start_and_all_of_the_wave_before(
    salt: str, fleet: dict[str, tuple[str, bool]], policy: Policy
) -> None:
    devices = standing(fleet, lab=policy.lab is not None)
    lines = draw(policy, salt, devices)
    assert tuple(line.name for line in lines) == names(policy)
    before: set[str] = set()
    for number, line in enumerate(lines):
        now = covered(line, salt, devices)
        of = {target: 0 for _, target in ((one.id, one.target) for one in devices if one.id in now)}
        for one in devices:
            if one.id in now:
                of[one.target] += 1
        assert of == {target: count for target, count in line.devices.items() if count}
        assert before <= now
        assert {one.id for one in devices if added(lines, number, salt, one)} == now - before
        before = now


@given(SALTS, FLEETS)
def test_the_lab_is_the_first_wave_and_nobody_else_is(salt: str, fleet: dict[str, tuple[str, bool]]) -> None:
    devices = standing(fleet, lab=True)
    lines = draw(Policy(lab="site=lab"), salt, devices)
    assert covered(lines[0], salt, devices) == {one.id for one in devices if one.lab}


@given(SALTS, FLEETS, st.sampled_from([1, 5, 50]))
def test_a_wave_is_rounded_up_and_has_one_of_each_target(
    salt: str, fleet: dict[str, tuple[str, bool]], percent: int
) -> None:
    devices = standing(fleet, lab=False)
    (line,) = draw(Policy(waves=(Wave(percent=percent),)), salt, devices)
    targets = {one.target for one in devices}
    assert line.total == max(-(-len(devices) * percent // 100), len(targets))
    assert {target for target, count in line.devices.items() if count} == targets


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 40), min_size=1), st.integers(0, 100))
def test_a_larger_count_takes_no_device_from_any_target(among: dict[str, int], count: int) -> None:
    fewer, more = shared_out(count, among), shared_out(count + 1, among)
    assert sum(fewer.values()) == min(max(count, len(among)), sum(among.values()))
    assert all(1 <= fewer[one] <= more[one] <= among[one] for one in among)


def test_targets_are_given_their_share() -> None:
    assert shared_out(10, {"a": 700, "b": 290, "c": 10}) == {"a": 6, "b": 3, "c": 1}
    assert shared_out(100, {"a": 700, "b": 290, "c": 10}) == {"a": 70, "b": 29, "c": 1}


def test_devices_that_join_late_obey_the_lines() -> None:
    early = [Stander(f"early-{number}", "cpu-vnni") for number in range(1_000)]
    late = [Stander(f"late-{target}-{number}", target) for number in range(1_000) for target in ("cpu-vnni", "new")]
    tenth, everyone = draw(Policy(waves=(Wave(percent=10), Wave(percent=100))), "salt", early)
    assert tenth.total == 100
    assert 160 < len(covered(tenth, "salt", late)) < 240
    assert len(covered(everyone, "salt", late)) == 2_000


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
    there = [Stander(device, "cpu-vnni") for device in devices]
    first, second = (covered(draw(Policy(), salt, there)[0], salt, there) for salt in ("a", "b"))
    assert len(first & second) <= 3


@given(st.integers(1, 5_000), st.integers(1, 1_000))
def test_a_percentage_is_rounded_up_and_never_nobody(eligible: int, tenths_of_a_percent: int) -> None:
    covers = Wave(percent=tenths_of_a_percent / 10).covers(eligible)
    assert covers == -(-eligible * tenths_of_a_percent // 1_000)
    assert 1 <= covers <= eligible


def test_a_percentage_is_not_rounded_up_for_what_binary_cannot_hold() -> None:
    assert Wave(percent=5.6).covers(1_000) == 56
