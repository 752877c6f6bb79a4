"""What the kernel below these tests has, and tells of a process."""

import platform
import re
from pathlib import Path

_ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def has_huge_pages() -> bool:
    """Whether a process may have its memory put together to huge pages."""
    release = tuple(map(int, re.findall(r"\d+", platform.release())[:2]))
    return release >= (6, 1) and _ENABLED.exists() and "[never]" not in _ENABLED.read_text()


def huge_bytes(pid: int) -> int:
    """How much of a process's own memory lies in huge pages."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * int(rollup.partition("AnonHugePages:")[2].split()[0])
