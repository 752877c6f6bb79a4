"""Crashes, delays, repeats and new orders at any point: what the device ends with, and what it never does."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from edge_agent.core.journal import Order
from fleet_contract.report import Phase
from tests.edge_agent.core.world import CERTAIN, GOOD_VERSIONS, KINDS, MANIFESTS, VERSIONS, WINDOWS, Crash, Device, Kind

CRASHES = list(Crash)
JUMPS = [timedelta(days=days) for days in (-20_000, -1, 1, 20_000)]


def turns(device: Device, times: int) -> None:
    for _ in range(times):
        device.guarded(device.turn)


def rot(device: Device, which: int) -> None:
    digests = sorted(device.whole)
    if digests and which % 2:
        del device.whole[digests[which % len(digests)]]
    elif digests:
        device.whole[digests[which % len(digests)]] = False


def nothing_is_wanted(device: Device, _: int) -> None:
    device.wanted = None


def an_order_lasts(device: Device, number: int) -> None:
    device.order(VERSIONS[number % len(VERSIONS)], window=WINDOWS[number % len(WINDOWS)])
    device.live_for(1 + 11 * (number % 2))


def the_window_moves(device: Device, number: int) -> None:
    if isinstance(device.wanted, Order):
        device.order(device.wanted.manifest.version, device.wanted.retry, WINDOWS[number % len(WINDOWS)])


def the_hub_is_heard(device: Device, number: int) -> None:
    device.hub_heard = bool(number % 4)


def a_change_of_mind(device: Device, number: int) -> None:
    device.order(VERSIONS[number % len(VERSIONS)])
    turns(device, number % 7)
    device.order(VERSIONS[(number // 7) % len(VERSIONS)])


def the_network(device: Device, number: int) -> None:
    device.online = bool(number % 2)


def the_disk(device: Device, number: int) -> None:
    device.disk_full = bool(number % 2)


def the_memory(device: Device, number: int) -> None:
    device.short_of_memory = bool(number % 2)


def time_passes(device: Device, number: int) -> None:
    device.seconds += [0.1, 2.0, 60.0, 400.0, 3600.0, 14_400.0][number % 6]


def the_clock_jumps(device: Device, number: int) -> None:
    device.clock_off += JUMPS[number % len(JUMPS)]
    if abs(device.clock_off) > timedelta(days=50_000):
        device.clock_off = timedelta()


EVENTS: list[Callable[[Device, int], object]] = [
    lambda device, n: device.order(VERSIONS[n % len(VERSIONS)]),
    an_order_lasts,
    an_order_lasts,
    a_change_of_mind,
    lambda device, n: device.retry(),
    nothing_is_wanted,
    lambda device, n: device.refuse(VERSIONS[n % len(VERSIONS)]),
    lambda device, n: device.becomes(KINDS[n % len(KINDS)]),
    lambda device, n: turns(device, 1 + n % 6),
    lambda device, n: turns(device, 1 + n % 6),
    lambda device, n: device.cut(CRASHES[n % 3], device=bool(n & 4)),
    lambda device, n: device.stop(),
    lambda device, n: device.guarded(lambda: device.infer(n % 10)),
    lambda device, n: device.live_for(1 + n % 4),
    the_network,
    the_disk,
    the_memory,
    time_passes,
    the_clock_jumps,
    the_hub_is_heard,
    the_window_moves,
    rot,
]


def play(script: bytes) -> Device:
    """A life, two bytes an event, and then peace: the laws are asserted on the way."""
    device = Device()
    for version in GOOD_VERSIONS[: script[0] % 3] if script else ():
        device.order(version)
        device.live_for(12)
    for kind, number in zip(script[1::2], script[2::2], strict=False):
        EVENTS[kind % len(EVENTS)](device, number)
        device.check()
    device.settle()
    return device


def told(script: bytes) -> None:
    note(f"{script[0] % 3 if script else 0} good releases, then:")
    for kind, number in zip(script[1::2], script[2::2], strict=False):
        note(f"  {kind % len(EVENTS)} with {number}")
    play(script)


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(st.binary(min_size=21, max_size=61))
def test_it_gets_there_or_says_why_not(script: bytes) -> None:
    told(script)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("quarter", range(4))
def test_it_gets_there_or_says_why_not_in_twenty_thousand_lives(quarter: int) -> None:
    @settings(max_examples=5_500, suppress_health_check=list(HealthCheck), database=None)
    @given(st.binary(min_size=1 + 15 * quarter, max_size=61))
    def lives(script: bytes) -> None:
        told(script)

    lives()


@pytest.mark.parametrize("kind", list(CERTAIN))
@pytest.mark.parametrize("online", [True, False])
def test_a_settled_release_that_turns_bad_is_gone_by_itself_and_the_one_before_runs(kind: Kind, online: bool) -> None:
    device = Device()
    for version in GOOD_VERSIONS:
        device.order(version)
        device.live_for(12)
    assert device.memory.phase is Phase.SETTLED
    device.online = online
    device.becomes(kind)
    if kind in {Kind.CRASHES_ON_LOAD, Kind.HANGS_ON_LOAD, Kind.UNREADABLE}:
        device.stop()
    device.live_for(90)
    assert (device.memory.phase, device.memory.because.code) == (Phase.REJECTED, CERTAIN[kind])
    assert device.process.live == MANIFESTS[GOOD_VERSIONS[0] - 1]


@pytest.mark.parametrize("kind", [*CERTAIN, Kind.KILLED_ON_LOAD, Kind.IS_KILLED])
def test_the_only_release_that_turns_bad_leaves_a_device_that_lives_and_says_so(kind: Kind) -> None:
    device = Device()
    device.order(GOOD_VERSIONS[0])
    device.live_for(12)
    device.becomes(kind)
    device.stop()
    device.live_for(90)
    assert (device.memory.phase, device.process.live) == (Phase.REJECTED, None)


def test_on_a_full_disk_a_release_that_ends_the_process_is_rejected_for_good_all_the_same() -> None:
    device = Device()
    device.order(GOOD_VERSIONS[0])
    device.live_for(12)
    device.order(VERSIONS[KINDS.index(Kind.CRASHES)])
    turns(device, 5)
    assert device.memory.phase is not Phase.REJECTED
    device.live_for(3)
    device.disk_full = True
    device.live_for(20)
    assert device.journal is not None
    assert device.journal.phase is Phase.REJECTED
