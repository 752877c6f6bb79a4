"""The memory that this process may have: the device's, or less where a unit or a container bounds it."""

import os
from contextlib import suppress
from pathlib import Path

_ROOT = Path("/")
#: With less of it left, the kernel may end the agent before anybody has looked twice.
_SHORT = 1 / 8


def allotted_bytes(root: Path = _ROOT) -> int:
    """All of it. The bounds of control groups are read where the kernel has version 2 of them."""
    return min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *_bounds(root)])


def left_bytes(resident_bytes: int, root: Path = _ROOT) -> int:
    """What is left of it, with the agent itself taking `resident_bytes`."""
    left = allotted_bytes(root) - resident_bytes
    available = available_bytes(root)
    return left if available is None else min(left, available)


def is_short(resident_bytes: int, root: Path = _ROOT) -> bool:
    """Whether that is little."""
    return left_bytes(resident_bytes, root) < allotted_bytes(root) * _SHORT


def available_bytes(root: Path = _ROOT) -> int | None:
    """What may be allocated on the device without swapping, or None where the kernel does not tell."""
    try:
        fields = dict(line.split(":", 1) for line in (root / "proc/meminfo").read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def _bounds(root: Path) -> list[int]:
    """Of the control group that this process is in, and of those around it."""
    top = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    inner = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    group, found = top / inner, []
    while True:
        # The outermost has none, and "max" is no bound.
        with suppress(OSError, ValueError):
            found.append(int((group / "memory.max").read_text()))
        if group == top or top not in group.parents:
            return found
        group = group.parent
