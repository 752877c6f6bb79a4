"""What models read and write lies in huge pages, and takes hardly more memory for it."""

import ctypes
import mmap
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent import huge_pages
from tests.edge_agent.kernel import has_huge_pages

HUGE = 2 * 1024 * 1024
PAGE = mmap.PAGESIZE
MAPS = """\
55d0c0000000-55d0c0801000 rw-p 00000000 fe:01 1311 /usr/bin/python3.11
55d0c1000000-55d0c1501000 rw-p 00000000 00:00 0 [heap]
7f0000100000-7f0000700000 rw-p 00000000 00:00 0
7f0001000000-7f0001400000 rw-s 00000000 00:01 77 /memfd:vedette (deleted)
7f0002000000-7f0002400000 r--p 00000000 00:00 0
7f0003000000-7f0003200000 rw-p 00000000 00:00 0 [anon: glibc: malloc]
7f0004100000-7f0004200000 rw-p 00000000 00:00 0
7fff00000000-7fff00800000 rw-p 00000000 00:00 0 [stack]
"""


needs_them = pytest.mark.skipif(not has_huge_pages(), reason="this kernel has no huge pages for whoever asks")


@pytest.fixture
def memory() -> Iterator[mmap.mmap]:
    """Room for four huge pages at least, with nothing in it."""
    private = mmap.mmap(-1, 5 * HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    yield private
    private.close()


def write(memory: mmap.mmap, pages: range) -> None:
    """Small ones, also where the device's owner has huge ones for all."""
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    for page in pages:
        memory[page * PAGE : (page + 1) * PAGE] = page.to_bytes(4, "big") * (PAGE // 4)
    memory.madvise(mmap.MADV_HUGEPAGE)


def told(memory: mmap.mmap, name: str) -> int:
    """What the kernel says that there is of `name` in `memory`, in bytes."""
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for entry in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text(), flags=re.MULTILINE):
        bounds = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", entry)
        if bounds and int(bounds[1], 16) <= address < int(bounds[2], 16):
            return 1024 * sum(map(int, re.findall(rf"^{name}: +(\d+) kB", entry, re.MULTILINE)))
    raise AssertionError("it is nowhere")


def test_only_the_processs_own_memory_is_looked_at_and_only_where_a_huge_page_has_room() -> None:
    assert huge_pages.room_in(MAPS, HUGE) == [
        (0x55D0C1000000, 0x55D0C1400000),
        (0x7F0000200000, 0x7F0000600000),
        (0x7F0003000000, 0x7F0003200000),
    ]


@needs_them
def test_memory_in_use_becomes_huge_and_says_what_it_said(memory: mmap.mmap) -> None:
    pages = range(len(memory) // PAGE)
    write(memory, pages)
    assert told(memory, "AnonHugePages") == 0
    assert sum(huge_pages.gather()) >= 4 * HUGE
    assert told(memory, "AnonHugePages") >= 4 * HUGE
    assert all(memory[page * PAGE : page * PAGE + 4] == page.to_bytes(4, "big") for page in pages)
    assert sum(huge_pages.gather()) >= 4 * HUGE, "once more changes nothing"
    assert told(memory, "Rss") == len(memory)


@needs_them
def test_memory_that_is_used_here_and_there_takes_no_more_than_before(memory: mmap.mmap) -> None:
    write(memory, range(0, len(memory) // PAGE, 2))
    before = told(memory, "Rss")
    sum(huge_pages.gather())
    assert (told(memory, "AnonHugePages"), told(memory, "Rss")) == (0, before)


@needs_them
def test_what_was_given_back_stays_given_back(memory: mmap.mmap) -> None:
    write(memory, range(len(memory) // PAGE))
    sum(huge_pages.gather())
    memory.madvise(mmap.MADV_DONTNEED)
    sum(huge_pages.gather())
    assert told(memory, "Rss") == 0


@pytest.mark.parametrize("enabled", ["always madvise [never]\n", None])
def test_a_device_whose_owner_or_kernel_wants_none_gets_none(tmp_path: Path, enabled: str | None) -> None:
    settings = tmp_path / "sys/kernel/mm/transparent_hugepage"
    settings.mkdir(parents=True)
    (settings / "hpage_pmd_size").write_text(f"{HUGE}\n")
    (tmp_path / "proc").symlink_to("/proc")
    if enabled:
        (settings / "enabled").write_text(enabled)
    assert list(huge_pages.gather(tmp_path)) == []


@needs_them
def test_a_large_model_is_gathered_in_stretches_that_others_need_not_wait_for(
    memory: mmap.mmap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huge_pages, "_STRETCH_BYTES", 2 * HUGE)
    write(memory, range(len(memory) // PAGE))
    gathering = huge_pages.gather()
    steps = []
    while told(memory, "AnonHugePages") < 4 * HUGE:
        steps.append(next(gathering))
    assert max(steps) == 2 * HUGE
    before = open_files()
    gathering.close()
    assert open_files() == before - 1, "and may be left at any time"


def test_who_gathers_goes_on_where_it_was_left() -> None:
    done = []

    def gathering() -> Iterator[int]:
        for step in range(4):
            done.append(step)
            yield HUGE

    one = gathering()
    huge_pages.go_on(one, 0.0)
    assert done == [0]
    huge_pages.go_on(one, 10.0)
    assert done == [0, 1, 2, 3]
    huge_pages.go_on(one, 10.0)


def test_a_page_map_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    settings, proc = tmp_path / "sys/kernel/mm/transparent_hugepage", tmp_path / "proc/self"
    settings.mkdir(parents=True)
    (settings / "enabled").write_text("[always] madvise never\n")
    (settings / "hpage_pmd_size").write_text(f"{HUGE}\n")
    proc.mkdir(parents=True)
    (proc / "maps").write_text(MAPS)
    # Opened like a file, and no byte is read from it.
    (proc / "pagemap").mkdir()
    before = open_files()
    assert list(huge_pages.gather(tmp_path)) == []
    assert open_files() == before


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
