"""What is asked for is refused where there is no memory for it, and takes none then."""

import pytest

from edge_agent.serving import budget
from edge_agent.serving.budget import Budget, check_unpacked
from edge_agent.serving.port import Overloaded

MEBIBYTE = 1024 * 1024


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
    held = Budget(100)
    assert held.reserve(60)
    assert not held.reserve(41)
    assert held.reserve(40)
    assert held.reserve(-60)
    assert held.reserve(60)
    assert device.looks == 0, "which small bodies do not wait for"


def test_a_large_body_is_refused_where_the_device_has_no_memory_for_it_and_its_answer(device):
    held, size = Budget(64 * MEBIBYTE), 32 * MEBIBYTE
    device.left = 2 * size + 16 * MEBIBYTE - 1
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


def test_elements_are_refused_where_they_do_not_fit_as_python_has_them(device):
    device.left = 16 * MEBIBYTE + 40 * 1_000_000
    check_unpacked(1_000_000, "in JSON", "")
    with pytest.raises(Overloaded, match="too few for 1000001 elements in JSON"):
        check_unpacked(1_000_001, "in JSON", "")
