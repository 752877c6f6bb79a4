"""Huge pages for what models read and write: the processor finds it sooner, and no process stays a few percent slower
for life because of the small pages that it happened to get (docs/adr/0059)."""

import ctypes
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

_SETTINGS = Path("sys/kernel/mm/transparent_hugepage")
_MAPS, _PAGEMAP = Path("proc/self/maps"), Path("proc/self/pagemap")
_MADV_COLLAPSE = 25
#: Made once, as in `memory.py`: each handle is garbage that waits for the collector.
_LIBC = ctypes.CDLL(None)
#: Private, to be written, of no file: the heap, and what the C library maps for what is large. A client's is shared.
_OWN = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw-p \S+ \S+ 0 *(?:\[(?:heap|anon:.*)\])?$", re.MULTILINE)
#: Of an entry of the page map: its bytes, and the last of them where the page is not in memory (bit 63).
_ENTRY_BYTES = 8
_ABSENT = bytes(range(128))
#: Of a huge page, what must be there: the rest is new memory.
_FULL = 7 / 8
#: Asked for in one call, which takes 60 ms on a fast machine and cannot be broken off.
_STRETCH_BYTES = 32 * 1024 * 1024


def gather(root: Path = Path("/")) -> Iterator[int]:
    """Has the kernel put small pages together to huge ones where they fill them nearly; gives how many bytes are huge
    now, old ones included, a stretch after the other.

    To be begun after models have run, and gone on with whenever there is time. It takes 2 ms a MB on the caller's
    thread, and whoever touches a page at that moment waits for it. What is given back later comes back as small pages:
    nothing is asked for what is to come. Does nothing with a kernel before 6.1, or where the owner of the device has
    set huge pages to "never".
    """
    madvise = getattr(_LIBC, "madvise", None)
    try:
        if madvise is None or "[never]" in (root / _SETTINGS / "enabled").read_text():
            return
        huge_bytes = int((root / _SETTINGS / "hpage_pmd_size").read_text())
        maps = (root / _MAPS).read_text()
        pagemap = os.open(root / _PAGEMAP, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError):
        return
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    try:
        for begin, end in room_in(maps, huge_bytes):
            # What lies there may be something else by now, or nothing: the kernel looks, and changes no byte of it.
            for start, size in _full(pagemap, begin, end, huge_bytes):
                yield size if madvise(start, size, _MADV_COLLAPSE) == 0 else 0
    except OSError:
        # A page map that can be opened and not read is none.
        return
    finally:
        os.close(pagemap)


def go_on(gathering: Iterator[int], seconds: float) -> None:
    """With what `gather` has begun, for about so long."""
    until = time.monotonic() + seconds
    for _ in gathering:
        if time.monotonic() >= until:
            return


def room_in(maps: str, huge_bytes: int) -> list[tuple[int, int]]:
    """Where a process with such /proc/<pid>/maps has room for whole huge pages: from which address to which."""
    rooms = []
    for found in _OWN.finditer(maps):
        begin, end = -(-int(found[1], 16) // huge_bytes) * huge_bytes, int(found[2], 16) // huge_bytes * huge_bytes
        if begin < end:
            rooms.append((begin, end))
    return rooms


def _full(pagemap: int, begin: int, end: int, huge_bytes: int) -> Iterator[tuple[int, int]]:
    """What is in memory nearly all, a huge page after the other: addresses and bytes. Those that lie side by side come
    as one stretch, for each call to the kernel costs milliseconds."""
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    pages = huge_bytes // page_bytes
    start = begin
    for at in range(begin, end, huge_bytes):
        entries = os.pread(pagemap, pages * _ENTRY_BYTES, at // page_bytes * _ENTRY_BYTES)
        present = len(entries[_ENTRY_BYTES - 1 :: _ENTRY_BYTES].translate(None, _ABSENT))
        if present < _FULL * pages:
            if start < at:
                yield start, at - start
            start = at + huge_bytes
        elif at + huge_bytes - start >= _STRETCH_BYTES:
            yield start, at + huge_bytes - start
            start = at + huge_bytes
    if start < end:
        yield start, end - start
