"""The memory that this process may have: the device's, or less where a unit or a container bounds it."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_ROOT = Path("/")
#: With less of it left, the kernel may end the agent before anybody has looked twice.
_SHORT = 1 / 8


def allotted_bytes(root: Path = _ROOT) -> int:
    """All of it, by the device and the bounds of control groups, of either version."""
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


def _bounds(root: Path) -> Iterator[int]:
    """Of the control groups that this process is in, and of those around them."""
    top = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            yield from _bounds_above(top, path, "memory.max")
        elif "memory" in controllers.split(","):
            yield from _bounds_above(top / "memory", path, "memory.limit_in_bytes")


def _bounds_above(top: Path, path: str, file: str) -> Iterator[int]:
    group = top / path.lstrip("/")
    while True:
        # The outermost of version 2 has none, and "max" is no bound.
        with suppress(OSError, ValueError):
            yield int((group / file).read_text())
        if group == top or top not in group.parents:
            return
        group = group.parent
