"""The thread that decides: at once when something changes, each second otherwise, and never silently stuck."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from cloud_hub.rollouts.clock import RolloutClock
from cloud_hub.rollouts.orders import Orders
from cloud_hub.rollouts.service import RolloutService
from fleet_contract.because import Because


class FakeRollouts:
    def __init__(self) -> None:
        self.ticked = threading.Semaphore(0)
        self.failing = False
        self.woken: Callable[[], None] = lambda: None

    def tick(self) -> None:
        self.ticked.release()
        if self.failing:
            raise OSError("no disk")

    def ticks_within(self, seconds: float) -> bool:
        return self.ticked.acquire(timeout=seconds)


class FakeOrders:
    def __init__(self) -> None:
        self.heard: list[tuple[str, int]] = []
        self.touched: list[str] = []
        self.sweeps = 0

    def hear(self, device: str, generation: int) -> None:
        self.heard.append((device, generation))

    def touch(self, device: str) -> None:
        self.touched.append(device)

    def sweep(self) -> None:
        self.sweeps += 1

    def troubles(self) -> list[Because]:
        return [Because("order-too-large", "One order is.")]


@pytest.fixture
def rollouts() -> FakeRollouts:
    return FakeRollouts()


@pytest.fixture
def orders() -> FakeOrders:
    return FakeOrders()


@pytest.fixture
def clock(rollouts: FakeRollouts, orders: FakeOrders, monkeypatch: pytest.MonkeyPatch) -> Iterator[RolloutClock]:
    monkeypatch.setattr("cloud_hub.rollouts.clock.EVERY_SECONDS", 30.0)
    clock = RolloutClock(cast(RolloutService, rollouts), cast(Orders, orders))
    yield clock
    clock.stop()


def test_it_decides_at_once_when_devices_people_or_the_broker_change_something(
    clock: RolloutClock, rollouts: FakeRollouts, orders: FakeOrders
) -> None:
    clock.start()
    assert orders.sweeps == 1
    for change in (
        lambda: clock.on_device_reported("a", 3),
        lambda: clock.on_device_joined("b"),
        clock.connected,
        rollouts.woken,
    ):
        change()
        assert rollouts.ticks_within(10)
    assert (orders.heard, orders.touched, orders.sweeps) == ([("a", 3)], ["b"], 2)


def test_it_decides_each_second_when_nothing_changes(
    rollouts: FakeRollouts, orders: FakeOrders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_hub.rollouts.clock.EVERY_SECONDS", 0.01)
    clock = RolloutClock(cast(RolloutService, rollouts), cast(Orders, orders))
    clock.start()
    assert rollouts.ticks_within(10)
    assert rollouts.ticks_within(10)
    clock.stop()


def test_failing_is_a_trouble_until_it_works_again(clock: RolloutClock, rollouts: FakeRollouts) -> None:
    rollouts.failing = True
    clock.start()
    clock.on_device_joined("a")
    assert rollouts.ticks_within(10)
    eventually(lambda: "rollouts-failing" in codes(clock))
    assert "no disk" in clock.troubles()[0].sentence
    rollouts.failing = False
    clock.on_device_joined("a")
    eventually(lambda: codes(clock) == ["order-too-large"])


def test_it_stops_when_told_to(clock: RolloutClock, rollouts: FakeRollouts) -> None:
    clock.start()
    clock.stop()
    clock.on_device_joined("a")
    assert not rollouts.ticks_within(0.2)


def codes(clock: RolloutClock) -> list[str]:
    return [because.code for because in clock.troubles()]


def eventually(probe: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not probe():
        assert time.monotonic() < deadline
        time.sleep(0.01)
