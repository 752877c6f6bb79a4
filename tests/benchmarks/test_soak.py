"""What the soak takes for growth is what no file gives back."""

import mmap
import os
from pathlib import Path

import numpy as np

from benchmarks.soak import _sample, _slope

MEGABYTES = 8
SIZE_BYTES = MEGABYTES * 1_000_000


def test_memory_that_is_taken_is_the_processes_own() -> None:
    before = _sample(0.0, os.getpid())
    taken = mmap.mmap(-1, SIZE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    taken.write(b"\1" * SIZE_BYTES)
    after = _sample(1.0, os.getpid())
    taken.close()
    assert after.own_mb - before.own_mb > 0.9 * MEGABYTES


def test_pages_of_a_library_that_are_read_are_resident_and_no_growth() -> None:
    # Not one that is written here: a temporary folder may lie in memory itself.
    library = max(Path(np.__file__).parent.rglob("*.so"), key=lambda one: one.stat().st_size)
    before = _sample(0.0, os.getpid())
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        size_mb = len(mapped) / 1_000_000
        assert sum(mapped[at] for at in range(0, len(mapped), mmap.PAGESIZE)) > 0
        after = _sample(1.0, os.getpid())
    assert size_mb > 1
    assert after.resident_mb - before.resident_mb > 0.9 * size_mb
    assert after.own_mb - before.own_mb < 0.1 * size_mb


def test_a_leak_of_a_megabyte_an_hour_is_seen_beside_what_comes_and_goes() -> None:
    # A third of a megabyte to and fro, as between two updates.
    samples = [(at, 48 + at / 3600 + (0.3 if at // 45 % 2 else 0.0)) for at in range(360, 3600, 5)]
    growth, error = _slope([(float(at), mb) for at, mb in samples])
    assert 0.5 < (growth - 2.33 * error) * 3600 < 1.0
