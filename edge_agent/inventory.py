"""What the device is, read from /proc and the file system: no probing library, no import of a runtime."""

import os
import platform
import sys
from collections.abc import Iterable
from pathlib import Path

from fleet_contract.report import Inventory

#: The distributions that bring a runtime, and the module that knows its accelerators.
_RUNTIMES = ("onnxruntime", "ai_edge_litert", "tflite_runtime")


def take(proc: Path = Path("/proc")) -> Inventory:
    """The inventory of this device. What cannot be read is left empty or 0."""
    return Inventory(
        hostname=platform.node(),
        arch=platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=_memory_bytes(proc / "meminfo"),
        runtimes=_runtimes(map(Path, sys.path)),
        providers=_providers(),
    )


def detect_target(proc: Path = Path("/proc")) -> str:
    """The compile profile that fits this CPU: cpu-vnni where it adds 8-bit products exactly, else cpu-avx2."""
    features = set(_field(proc / "cpuinfo", "flags").split()) | set(_field(proc / "cpuinfo", "Features").split())
    return "cpu-vnni" if features & {"avx512_vnni", "avx_vnni", "asimddp"} else "cpu-avx2"


def _memory_bytes(meminfo: Path) -> int:
    kibibytes = _field(meminfo, "MemTotal").removesuffix(" kB")
    return int(kibibytes) * 1024 if kibibytes.isdigit() else 0


def _field(path: Path, name: str) -> str:
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _runtimes(folders: Iterable[Path]) -> dict[str, str]:
    # The names of the .dist-info folders say it; importlib.metadata would cost 3 MB of memory to say the same.
    found: dict[str, str] = {}
    for folder in folders:
        for name in _RUNTIMES:
            for info in folder.glob(f"{name}-*.dist-info"):
                found.setdefault(name, info.name.removeprefix(f"{name}-").removesuffix(".dist-info"))
    return found


def _providers() -> tuple[str, ...]:
    # Only once a model has loaded the runtime: an agent with no model stays small. While another thread is still
    # importing it, the module is there and its functions are not.
    ask = getattr(sys.modules.get("onnxruntime"), "get_available_providers", None)
    return tuple(ask()) if ask is not None else ()
