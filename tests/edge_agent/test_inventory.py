"""The inventory says what the device is, from files that are there on any Linux, and survives those that are not."""

import os
import platform
import sys
import types
from pathlib import Path

import pytest

from edge_agent import accelerators, inventory


def device_of(folder: Path, cpuinfo: str = "", meminfo: str = "") -> Path:
    """A root with these in its /proc."""
    (folder / "proc").mkdir()
    (folder / "proc" / "cpuinfo").write_text(cpuinfo)
    (folder / "proc" / "meminfo").write_text(meminfo)
    return folder


def with_file(root: Path, path: str, text: str = "") -> Path:
    """`root`, and in it `path`."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)
    return root


@pytest.mark.parametrize(
    ("cpuinfo", "target"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_vnni\n", "cpu-vnni"),
        ("flags\t\t: fpu avx2 avx_vnni\n", "cpu-vnni"),
        ("flags\t\t: fpu avx2\n", "cpu-avx2"),
        ("Features\t: fp asimd asimddp\n", "cpu-vnni"),
        ("Features\t: fp asimd\n", "cpu-avx2"),
        ("", "cpu-avx2"),
    ],
)
def test_the_target_follows_what_the_cpu_can_do(tmp_path, cpuinfo, target):
    assert inventory.detect_target(device_of(tmp_path, cpuinfo)) == target


def test_this_device_is_described():
    one = inventory.take()
    assert one.hostname == platform.node()
    assert one.arch == platform.machine()
    assert one.cores == len(os.sched_getaffinity(0))
    assert one.memory_bytes > 2**26
    assert set(one.runtimes) >= {"onnxruntime"}


def test_memory_is_in_bytes(tmp_path):
    root = device_of(tmp_path, meminfo="MemFree:  1 kB\nMemTotal:       2048 kB\n")
    assert inventory.take(root).memory_bytes == 2048 * 1024


def test_a_device_without_proc_is_described_as_far_as_it_goes(tmp_path):
    one = inventory.take(tmp_path / "none")
    assert one.memory_bytes == 0
    assert one.cores >= 1


def test_a_runtime_is_found_by_its_distribution_without_being_imported(tmp_path, monkeypatch):
    (tmp_path / "ai_edge_litert-2.0.1.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "none")])
    assert inventory.take().runtimes == {"ai_edge_litert": "2.0.1"}


def test_what_a_cpu_has_for_models_is_named(tmp_path):
    root = device_of(tmp_path, cpuinfo="flags\t: fpu avx2 avx512_vnni sse\n")
    assert inventory.take(root).features == ("avx2", "avx512_vnni")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("dev/nvidia0", "nvidia-gpu"),
        ("dev/apex_0", "edgetpu"),
        ("dev/dri/renderD128", "gpu"),
        ("dev/accel/accel0", "npu"),
        ("dev/hailo0", "hailo"),
    ],
)
def test_an_accelerator_is_seen_by_the_node_of_its_driver(tmp_path, path, name):
    assert inventory.take(with_file(tmp_path, path)).accelerators == (name,)


def test_one_on_a_usb_port_is_seen_by_its_maker(tmp_path):
    with_file(tmp_path, "sys/bus/usb/devices/1-1/idVendor", "18d1\n")
    with_file(tmp_path, "sys/bus/usb/devices/1-1/idProduct", "9302\n")
    with_file(tmp_path, "sys/bus/usb/devices/1-2/idVendor", "18d1\n")
    assert inventory.take(tmp_path).accelerators == ("edgetpu",)


def test_temperatures_are_in_degrees_by_sensor(tmp_path):
    for number, (name, value) in enumerate([("cpu", "51234"), ("cpu", "48000"), ("wifi", ""), ("soc", "-5000")]):
        with_file(tmp_path, f"sys/class/thermal/thermal_zone{number}/type", f"{name}\n")
        with_file(tmp_path, f"sys/class/thermal/thermal_zone{number}/temp", f"{value}\n")
    taken = inventory.take(tmp_path)
    assert taken.temperatures == {"cpu": 51.2, "cpu 1": 48.0, "soc": -5.0}
    with_file(tmp_path, "sys/class/thermal/thermal_zone0/temp", "60000\n")
    assert inventory.renewed(taken, tmp_path).temperatures["cpu"] == 60.0


def test_delegates_are_named_where_there_is_a_runtime_a_device_and_a_library(tmp_path, monkeypatch):
    with_file(tmp_path, "dev/apex_0")
    with_file(tmp_path, "usr/lib/aarch64-linux-gnu/libedgetpu.so.1")
    with_file(tmp_path, "usr/lib/libvx_delegate.so")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert inventory.take(tmp_path).delegates == ()
    (tmp_path / "tflite_runtime-2.14.0.dist-info").mkdir()
    assert inventory.take(tmp_path).delegates == ("XNNPACK", "edgetpu")


def test_a_provider_is_used_where_the_wheel_has_it_and_the_device_what_it_runs_on(tmp_path):
    built = ("CUDAExecutionProvider", "OpenVINOExecutionProvider", "AzureExecutionProvider", "CPUExecutionProvider")
    assert accelerators.providers(built, tmp_path) == ("OpenVINOExecutionProvider",)
    with_file(tmp_path, "dev/nvidia0")
    with_file(tmp_path, "dev/kfd")
    assert accelerators.providers(built, tmp_path) == ("CUDAExecutionProvider", "OpenVINOExecutionProvider")
    assert accelerators.providers(("AzureExecutionProvider", "CPUExecutionProvider"), tmp_path) == ()


def test_of_the_providers_in_a_wheel_those_are_named_that_could_compute_here(tmp_path, monkeypatch):
    built = ["CUDAExecutionProvider", "AzureExecutionProvider", "CPUExecutionProvider"]
    loaded = types.SimpleNamespace(get_available_providers=lambda: built)
    monkeypatch.setitem(sys.modules, "onnxruntime", loaded)
    taken = inventory.take(tmp_path)
    assert taken.providers == ("CPUExecutionProvider",)
    with_file(tmp_path, "dev/nvidia0")
    assert inventory.renewed(taken, tmp_path).providers == ("CUDAExecutionProvider", "CPUExecutionProvider")
    monkeypatch.delitem(sys.modules, "onnxruntime")
    assert inventory.renewed(taken, tmp_path).providers == ("CPUExecutionProvider",), "what was said before"
