"""What the device is, read from /proc, /sys and the file system: no probing library, no import of a runtime."""

import os
import platform
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from edge_agent import accelerators
from fleet_contract.report import Inventory

#: The distributions that bring a runtime, and the module that knows its accelerators.
_RUNTIMES = ("onnxruntime", "ai_edge_litert", "tflite_runtime")
_CPU = "CPUExecutionProvider"
_LITERT = frozenset(_RUNTIMES[1:])
#: What makes quantized or half precision models faster, as the kernel names it.
_FEATURES = (
    *(
        "avx2",
        "f16c",
        "fma",
        "avx_vnni",
        "avx512f",
        "avx512_vnni",
        "avx512_bf16",
        "avx512_fp16",
        "amx_int8",
        "amx_bf16",
    ),
    *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme"),
)
#: A board with more sensors than this does not tell of all of them.
_SENSORS = 16
_ROOT = Path("/")


def take(root: Path = _ROOT) -> Inventory:
    """The inventory of the device below `root`. What cannot be read is left empty or 0."""
    runtimes = _runtimes(map(Path, sys.path))
    # Of a wheel's own delegate only its name is known before it is loaded.
    delegates = ("XNNPACK", *accelerators.delegates(root)) if _LITERT & runtimes.keys() else ()
    inventory = Inventory(
        hostname=platform.node(),
        arch=platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=_memory_bytes(root / "proc/meminfo"),
        runtimes=runtimes,
        delegates=delegates,
        accelerators=tuple(one.name for one in accelerators.found(root)),
        features=tuple(one for one in _FEATURES if one in _features(root)),
    )
    return renewed(inventory, root)


def renewed(inventory: Inventory, root: Path = _ROOT) -> Inventory:
    """`inventory` with what changes while an agent runs: temperatures, and what a runtime says once it is loaded."""
    return msgspec.structs.replace(
        inventory, providers=_providers(root) or inventory.providers, temperatures=temperatures(root)
    )


def temperatures(root: Path = _ROOT) -> dict[str, float]:
    """In °C, by the sensor's name."""
    return dict(_temperatures(root))


def detect_target(root: Path = _ROOT) -> str:
    """The compile profile that fits this CPU: cpu-vnni where it adds 8-bit products exactly, else cpu-avx2."""
    return "cpu-vnni" if _features(root) & {"avx512_vnni", "avx_vnni", "asimddp"} else "cpu-avx2"


def _features(root: Path) -> set[str]:
    cpuinfo = root / "proc/cpuinfo"
    return set(_field(cpuinfo, "flags").split()) | set(_field(cpuinfo, "Features").split())


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


def _temperatures(root: Path) -> Iterator[tuple[str, float]]:
    seen: set[str] = set()
    for zone in sorted(root.glob("sys/class/thermal/thermal_zone*"))[:_SENSORS]:
        try:
            name = (zone / "type").read_text(errors="replace").strip()
            degrees = int((zone / "temp").read_text()) / 1000
        except (OSError, ValueError):
            # A sensor that sleeps answers with an error.
            continue
        # Several zones may have one name.
        unique = name if name not in seen else f"{name} {zone.name.removeprefix('thermal_zone')}"
        seen.add(unique)
        yield unique, round(degrees, 1)


def _runtimes(folders: Iterable[Path]) -> dict[str, str]:
    # The names of the .dist-info folders say it; importlib.metadata would cost 3 MB of memory to say the same.
    found: dict[str, str] = {}
    for folder in folders:
        for name in _RUNTIMES:
            for info in folder.glob(f"{name}-*.dist-info"):
                found.setdefault(name, info.name.removeprefix(f"{name}-").removesuffix(".dist-info"))
    return found


def _providers(root: Path) -> tuple[str, ...]:
    """ONNX Runtime's that have something to run on here, best first: a wheel also names what would ask a cloud."""
    # Only once a model has loaded the runtime: an agent with no model stays small. While another thread is still
    # importing it, the module is there and its functions are not.
    ask = getattr(sys.modules.get("onnxruntime"), "get_available_providers", None)
    if ask is None:
        return ()
    built = tuple(ask())
    return (*accelerators.providers(built, root), *(one for one in built if one == _CPU))
