"""The inventory says what the device is, from files that are there on any Linux, and survives those that are not."""

import os
import platform
import sys
from pathlib import Path

import pytest

from edge_agent import inventory


def proc_of(folder: Path, cpuinfo: str = "", meminfo: str = "") -> Path:
    (folder / "cpuinfo").write_text(cpuinfo)
    (folder / "meminfo").write_text(meminfo)
    return folder


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
    assert inventory.detect_target(proc_of(tmp_path, cpuinfo)) == target


def test_this_device_is_described():
    one = inventory.take()
    assert one.hostname == platform.node()
    assert one.arch == platform.machine()
    assert one.cores == len(os.sched_getaffinity(0))
    assert one.memory_bytes > 2**26
    assert set(one.runtimes) >= {"onnxruntime"}


def test_memory_is_in_bytes(tmp_path):
    proc = proc_of(tmp_path, meminfo="MemFree:  1 kB\nMemTotal:       2048 kB\n")
    assert inventory.take(proc).memory_bytes == 2048 * 1024


def test_a_device_without_proc_is_described_as_far_as_it_goes(tmp_path):
    one = inventory.take(tmp_path / "none")
    assert one.memory_bytes == 0
    assert one.cores >= 1


def test_a_runtime_is_found_by_its_distribution_without_being_imported(tmp_path, monkeypatch):
    (tmp_path / "ai_edge_litert-2.0.1.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "none")])
    assert inventory.take().runtimes == {"ai_edge_litert": "2.0.1"}
