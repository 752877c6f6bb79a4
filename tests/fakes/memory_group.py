"""A control group whose processes may take so much memory together, as a unit or a container has it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")


@contextmanager
def memory_group(most_bytes: int) -> Iterator[Path]:
    """Its folder: a process that is written to `cgroup.procs` is in it. All must have ended at the end. Raises
    OSError where this kernel has no groups for memory, or not for who asks."""
    group, bound = _place()
    group.mkdir()
    try:
        (group / bound).write_text(str(most_bytes))
        yield group
    finally:
        # Who has just ended is in it for a moment.
        for _ in range(100):
            try:
                group.rmdir()
                break
            except OSError:
                time.sleep(0.05)


def _place() -> tuple[Path, str]:
    name = f"vedette-{os.getpid()}"
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return _GROUPS / "memory" / path.lstrip("/") / name, "memory.limit_in_bytes"
    return _GROUPS / name, "memory.max"
