"""Which accelerators a device has, by the nodes and libraries that their drivers make. Loads no runtime."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

_ROOT = Path("/")
#: Where a distribution or a vendor puts a delegate.
_LIBRARIES = ("usr/lib", "usr/lib/*-linux-gnu*", "usr/lib64", "usr/local/lib", "opt/*/lib")


class Accelerator(msgspec.Struct, frozen=True):
    """A kind of hardware: the device is seen to have it by any of `nodes` (# is a number) or `usb` (vendor:product).

    `providers` are ONNX Runtime's execution providers that use it, best first; `library` is its LiteRT delegate.
    """

    name: str
    nodes: tuple[str, ...]
    usb: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    library: str = ""


KNOWN = (
    # TensorRT builds an engine for minutes before its first answer: only for who asks for it.
    Accelerator("nvidia-gpu", ("dev/nvidia#", "dev/nvhost-gpu"), providers=("CUDAExecutionProvider",)),
    Accelerator("amd-gpu", ("dev/kfd",), providers=("MIGraphXExecutionProvider",)),
    Accelerator(
        "hexagon",
        ("dev/fastrpc-cdsp", "dev/fastrpc-cdsp-secure", "dev/adsprpc-smd"),
        providers=("QNNExecutionProvider",),
        library="libQnnTFLiteDelegate.so",
    ),
    Accelerator("edgetpu", ("dev/apex_#",), usb=("1a6e:089a", "18d1:9302"), library="libedgetpu.so.1"),
    Accelerator("vivante-npu", ("dev/galcore",), providers=("VSINPUExecutionProvider",), library="libvx_delegate.so"),
    Accelerator("rockchip-npu", ("dev/rknpu",), providers=("RknpuExecutionProvider",)),
    Accelerator("ethos-u", ("dev/ethosu#",), library="libethosu_delegate.so"),
    Accelerator("mali-gpu", ("dev/mali#",), library="libarmnnDelegate.so"),
    Accelerator("hailo", ("dev/hailo#",)),
    Accelerator("npu", ("dev/accel/accel#",), providers=("VitisAIExecutionProvider",)),
    Accelerator("gpu", ("dev/dri/renderD#",), providers=("WebGpuExecutionProvider",)),
)
#: They compute on the CPU, in another way than ONNX Runtime's own kernels.
_ON_THE_CPU = ("OpenVINOExecutionProvider", "DnnlExecutionProvider", "ACLExecutionProvider")


def found(root: Path = _ROOT, among: Sequence[Accelerator] = KNOWN) -> tuple[Accelerator, ...]:
    """The accelerators that the device below `root` has."""
    usb = frozenset(_usb(root)) if any(one.usb for one in among) else frozenset()
    return tuple(one for one in among if usb & set(one.usb) or nodes(one, root))


def providers(built: Sequence[str], root: Path = _ROOT) -> tuple[str, ...]:
    """Those of the `built` execution providers that have something to run on here, best first, without the CPU's own.

    A wheel names all that it was built with, also those that ask a cloud or another operating system.
    """
    # A plain wheel has none of them: models are loaded without a look around.
    served = [one for one in KNOWN if set(one.providers) & set(built)]
    usable = [provider for one in found(root, served) for provider in one.providers]
    return tuple(one for one in (*usable, *_ON_THE_CPU) if one in built)


def delegates(root: Path = _ROOT) -> Mapping[str, str]:
    """The delegates that are installed for the accelerators that are here: their libraries, by name."""
    installed = {}
    for one in found(root, [one for one in KNOWN if one.library]):
        folders = (folder for pattern in _LIBRARIES for folder in sorted(root.glob(pattern)))
        path = next((folder / one.library for folder in folders if (folder / one.library).is_file()), None)
        if path is not None:
            installed[one.name] = str(path)
    return installed


def nodes(accelerator: Accelerator, root: Path = _ROOT) -> list[Path]:
    """The device nodes of `accelerator` below `root`, in order."""
    return [node for pattern in accelerator.nodes for node in _nodes(root, pattern)]


def _nodes(root: Path, pattern: str) -> list[Path]:
    path = root / pattern
    if not pattern.endswith("#"):
        return [path] if path.exists() else []
    stem = path.name[:-1]
    try:
        return sorted(
            one for one in path.parent.iterdir() if one.name.startswith(stem) and one.name[len(stem) :].isdigit()
        )
    except OSError:
        return []


def _usb(root: Path) -> Iterator[str]:
    for vendor in root.glob("sys/bus/usb/devices/*/idVendor"):
        try:
            yield f"{vendor.read_text().strip()}:{vendor.with_name('idProduct').read_text().strip()}"
        except OSError:
            # Pulled out meanwhile.
            continue
