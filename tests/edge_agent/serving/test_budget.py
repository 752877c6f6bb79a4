"""What is asked for is refused where there is no memory for it, and takes none then."""

import errno
import tracemalloc

import msgspec
import numpy as np
import pytest

from edge_agent.serving import budget, tensors
from edge_agent.serving.budget import READ_BYTES, TOLD_BYTES, Budget, check_elements
from edge_agent.serving.port import Overloaded

KIBIBYTE = 1024
MEBIBYTE = 1024 * KIBIBYTE


def from_json(count: int) -> None:
    text = b"[" + b"1," * (count - 1) + b"1]"
    tracemalloc.reset_peak()
    tensors.from_json("x", "FP32", (count,), msgspec.Raw(text))


def to_json(count: int) -> None:
    array = np.random.default_rng(0).normal(size=count).astype("<f4")
    tracemalloc.reset_peak()
    tensors.to_json("x", array)


class Device:
    """So much memory is left; `freed` comes on top once what was freed has been given back."""

    def __init__(self, left: int, freed: int = 0) -> None:
        self.left = left
        self.freed = freed
        self.looks = 0

    def look(self, _: int) -> int:
        self.looks += 1
        return self.left

    def give_back(self) -> None:
        self.left, self.freed = self.left + self.freed, 0


@pytest.fixture
def device(monkeypatch):
    device = Device(1024 * MEBIBYTE)
    monkeypatch.setattr(budget, "left_bytes", device.look)
    monkeypatch.setattr(budget.memory, "give_back", device.give_back)
    return device


def test_no_more_is_reserved_than_there_may_be_and_what_is_given_back_is_free_again(device):
    held = Budget(100 * KIBIBYTE)
    assert held.reserve(60 * KIBIBYTE)
    assert not held.reserve(41 * KIBIBYTE)
    assert held.reserve(40 * KIBIBYTE)
    assert held.reserve(-60 * KIBIBYTE)
    assert held.reserve(60 * KIBIBYTE)
    assert device.looks == 0, "which small bodies do not wait for"


def test_who_asks_for_little_waits_for_nobody_and_takes_nothing_from_others_for_good():
    held = Budget(100 * KIBIBYTE)
    assert held.reserve(100 * KIBIBYTE)
    assert held.reserve(16 * KIBIBYTE)
    assert not held.reserve(16 * KIBIBYTE + 1)
    assert held.reserve(-116 * KIBIBYTE)
    assert held.reserve(100 * KIBIBYTE)
    assert not held.reserve(17 * KIBIBYTE)


@pytest.mark.parametrize("fault", [OSError(errno.EMFILE, "Too many open files"), KeyboardInterrupt()])
def test_nothing_stays_taken_where_nobody_can_say_how_much_is_left(device, monkeypatch, fault):
    def fail():
        raise fault

    held = Budget(8 * MEBIBYTE)
    with monkeypatch.context() as patched:
        patched.setattr(budget, "own_and_shared", fail)
        with pytest.raises((Overloaded, KeyboardInterrupt)) as told:
            held.reserve(8 * MEBIBYTE)
    assert isinstance(told.value, KeyboardInterrupt) or str(told.value) == (
        "How much memory is left cannot be seen here: Too many open files. Ask again later."
    )
    assert held.reserve(8 * MEBIBYTE)


def test_a_large_body_is_refused_where_the_device_has_no_memory_for_it_and_its_answer(device):
    held, size = Budget(64 * MEBIBYTE), 32 * MEBIBYTE
    device.left = 2 * size + 32 * MEBIBYTE - 1
    with pytest.raises(Overloaded, match=f"{device.left} bytes of memory are left here, too few for a body of {size}"):
        held.reserve(size)
    device.left += 1
    assert held.reserve(size), "and it took nothing before"
    with pytest.raises(Overloaded):
        held.reserve(size)
    device.left += size
    assert held.reserve(size), "beside what may be still to come of the first"


def test_what_the_last_requests_have_freed_is_given_back_before_anything_is_refused(device):
    device.left, device.freed = 10 * MEBIBYTE, 100 * MEBIBYTE
    assert Budget(64 * MEBIBYTE).reserve(32 * MEBIBYTE)


@pytest.mark.parametrize("each", [READ_BYTES, TOLD_BYTES])
def test_elements_are_refused_where_they_do_not_fit_as_python_has_them(device, each):
    device.left = 32 * MEBIBYTE + each * 1_000_000
    check_elements(1_000_000, each, "in JSON", "")
    with pytest.raises(Overloaded, match="too few for 1000001 elements in JSON"):
        check_elements(1_000_001, each, "in JSON", "")


@pytest.mark.parametrize(("each", "way"), [(READ_BYTES, from_json), (TOLD_BYTES, to_json)])
def test_what_an_element_takes_is_what_python_takes_at_most(each, way):
    tracemalloc.start()
    try:
        way(100_000)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.5 * each < most / 100_000 < 1.1 * each
