"""What the allocator and the loader keep for themselves, kept small. Where the C library or the kernel has no such
calls, there is no such need, or no such help."""

import ctypes
import gc
import re
from pathlib import Path

_M_ARENA_MAX = -8
_MADV_DONTNEED = 4
_MAPS = Path("/proc/self/maps")
#: Made once: each of these is a knot of objects and classes that only the garbage collector unties.
_LIBC = ctypes.CDLL(None)
#: Code of a library: mapped privately from a file, never to be written.
_CODE = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) r-xp \S+ \S+ [1-9]\d* +/", re.MULTILINE)


def limit() -> None:
    """One arena for all threads, to be called before they start. Else each gets its own and keeps what was freed
    there: 5 MB after an update. Threads that wait for one interpreter lock gain nothing from more."""
    if mallopt := getattr(_LIBC, "mallopt", None):
        mallopt(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Returns to the system what was freed."""
    if trim := getattr(_LIBC, "malloc_trim", None):
        trim(0)


def settle() -> None:
    """Turns the garbage collector on, for what comes from now on: what is there by then, modules and models, stays, and
    is not looked through again each time."""
    gc.collect()
    gc.freeze()
    gc.enable()


def collect() -> None:
    """Empties what Python keeps of freed objects for the next: of tuples of one length alone up to 2,000, 0.4 MB where
    they have 20 elements, as the histograms of a window's scores do. Only a full collection gives these back, and for a
    program that leaves few knots behind Python sees no reason for one. Takes a few milliseconds; before `settle` it
    would look through all there is, and does nothing."""
    if gc.isenabled():
        gc.collect()


def forget_code(maps: Path = _MAPS) -> None:
    """Unmaps the pages of code that only loading has needed: what runs comes back from the page cache by itself, at a
    tenth of a microsecond a page.

    A runtime that has loaded a model leaves 20 MB of optimizers and registries mapped that no inference touches. The
    kernel could take them back at any time; it does so only when memory is short everywhere, and counts them as the
    agent's until then.
    """
    if (madvise := getattr(_LIBC, "madvise", None)) is None:
        return
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    try:
        text = maps.read_text()
    except OSError:
        return
    for start, size in code_in(text):
        madvise(start, size, _MADV_DONTNEED)


def code_in(maps: str) -> list[tuple[int, int]]:
    """Where in memory a process with such /proc/<pid>/maps has code of files: address and bytes.

    Nothing else may be unmapped: what was written to a private mapping is nowhere else, and a library's data were
    written to by the loader also where they are read-only by now.
    """
    bounds = (tuple(int(bound, 16) for bound in found.groups()) for found in _CODE.finditer(maps))
    return [(start, end - start) for start, end in bounds]
