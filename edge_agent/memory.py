"""What glibc's allocator keeps for itself, kept small. Other C libraries have no such calls, and no such need."""

import ctypes

_M_ARENA_MAX = -8


def limit() -> None:
    """One arena for all threads, to be called before they start. Else each gets its own and keeps what was freed
    there: 5 MB after an update. Threads that wait for one interpreter lock gain nothing from more."""
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Returns to the system what was freed."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
