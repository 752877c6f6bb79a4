"""What the soak takes for growth is what no file gives back."""

import math
import mmap
import os
import random
from pathlib import Path

import numpy as np
import pytest

from benchmarks.soak import Sample, _growth, _sample

MEGABYTES = 8
SIZE_BYTES = MEGABYTES * 1_000_000


def test_memory_that_is_taken_is_the_processes_own() -> None:
    before = _sample(0, 0.0, os.getpid())
    taken = mmap.mmap(-1, SIZE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    taken.write(b"\1" * SIZE_BYTES)
    after = _sample(0, 1.0, os.getpid())
    taken.close()
    assert after.own_mb - before.own_mb > 0.9 * MEGABYTES


def test_pages_of_a_library_that_are_read_are_resident_and_no_growth() -> None:
    # Not one that is written here: a temporary folder may lie in memory itself.
    library = max(Path(np.__file__).parent.rglob("*.so"), key=lambda one: one.stat().st_size)
    before = _sample(0, 0.0, os.getpid())
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        size_mb = len(mapped) / 1_000_000
        assert sum(mapped[at] for at in range(0, len(mapped), mmap.PAGESIZE)) > 0
        after = _sample(0, 1.0, os.getpid())
    assert size_mb > 1
    assert after.resident_mb - before.resident_mb > 0.9 * size_mb
    assert after.own_mb - before.own_mb < 0.1 * size_mb


def an_hour(leak_mb: float, cycle_mb: float = 0.4, noise_mb: float = 0.05) -> list[Sample]:
    """Rounds of eight events, 50 s each, after the first: memory goes up and down with them, and not quite the same
    each time."""
    draw = random.Random(5)
    off = [draw.gauss(0, noise_mb) for _ in range(9)]
    return [
        Sample(at // 400, float(at), 66.0, 40 + leak_mb * at / 3600 + cycle_mb * (at // 50 % 8) / 8 + off[at // 400])
        for at in range(400, 3600, 5)
    ]


def test_a_leak_of_half_a_megabyte_an_hour_is_seen_beside_what_comes_and_goes() -> None:
    growth = _growth(an_hour(0.5))
    assert 0.3 < growth.slope * 3600 < 0.7
    assert 0 < growth.at_least < growth.slope


def test_what_comes_and_goes_is_no_leak() -> None:
    assert _growth(an_hour(0.0)).at_least < 0


def test_a_round_or_two_show_nothing() -> None:
    assert _growth([one for one in an_hour(5.0) if one.round < 3]).at_least == -math.inf


def test_what_few_rounds_show_must_be_very_plain() -> None:
    growth = _growth([Sample(number, float(number), 0.0, own_mb) for number, own_mb in ((1, 0.0), (2, 1.0), (3, 4.0))])
    assert growth.slope == pytest.approx(2)
    assert growth.error == pytest.approx(math.sqrt(1 / 3))
    assert growth.at_least == pytest.approx(2 - 31.82 * growth.error)
