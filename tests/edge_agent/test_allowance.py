"""What models and requests may take of a device, where its owner has set nothing."""

import os
import socket
from pathlib import Path

import pytest

from edge_agent import config
from edge_agent.agent import _limits
from edge_agent.allotment import allotted_bytes, available_bytes, is_short, left_bytes
from edge_agent.config import Config
from tests.fakes.lonely_agent import lonely_agent
from tests.fakes.waiting import until
from tests.fakes.wire import Wire, request

MEBIBYTE = 1024 * 1024


def on_a_device_of(monkeypatch: pytest.MonkeyPatch, mebibytes: int) -> None:
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": mebibytes * 256}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)


def in_a_group(root: Path, path: str, **bounds: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(f"1:cpu:/other\n0::{path}\n")
    (root / "proc/meminfo").write_text("MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n")
    for group, bound in bounds.items():
        folder = root / "sys/fs/cgroup" / group.replace("_", "/")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(f"{bound}\n")
    return root


@pytest.mark.parametrize("mebibytes", [256, 512, 1024, 16_384])
def test_it_is_a_quarter_of_any_device(monkeypatch: pytest.MonkeyPatch, mebibytes: int) -> None:
    monkeypatch.setattr("edge_agent.agent.allotted_bytes", lambda: allotted_bytes(Path("/nowhere")))
    on_a_device_of(monkeypatch, mebibytes)
    assert _limits(Config()).growth_bytes == mebibytes * MEBIBYTE // 4


def test_who_sets_it_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_device_of(monkeypatch, 1024)
    assert _limits(Config(limits=config.Limits(growth_bytes=7 * MEBIBYTE))).growth_bytes == 7 * MEBIBYTE


@pytest.mark.parametrize(
    ("path", "bounds", "mebibytes"),
    [
        ("/a/b", {"a": "max", "a_b": "max"}, 8192),
        ("/a/b", {"a": "max", "a_b": str(512 * MEBIBYTE)}, 512),
        ("/a/b", {"a": str(256 * MEBIBYTE), "a_b": str(512 * MEBIBYTE)}, 256),
        ("/a/b", {"a": str(16_384 * MEBIBYTE)}, 8192),
        ("/a/b", {"other": str(MEBIBYTE)}, 8192),
        ("/", {".": str(512 * MEBIBYTE)}, 512),
        ("/../outside", {"a": str(MEBIBYTE)}, 8192),
    ],
)
def test_a_control_group_may_have_less_than_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, bounds: dict[str, str], mebibytes: int
) -> None:
    on_a_device_of(monkeypatch, 8192)
    assert allotted_bytes(in_a_group(tmp_path, path, **bounds)) == mebibytes * MEBIBYTE


@pytest.mark.parametrize(("own", "around", "mebibytes"), [(512, 1024, 512), (1024, 512, 512), (1 << 43, 1 << 43, 8192)])
def test_control_groups_of_version_1_are_read_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: int, around: int, mebibytes: int
) -> None:
    on_a_device_of(monkeypatch, 8192)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("5:cpu,cpuacct:/a\n4:memory:/a/b\n1:name=systemd:/:a\n0::/\n")
    for path, bound in (("a/b", own), ("a", around)):
        folder = tmp_path / "sys/fs/cgroup/memory" / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.limit_in_bytes").write_text(f"{bound * MEBIBYTE}\n")
    assert allotted_bytes(tmp_path) == mebibytes * MEBIBYTE


def test_an_agent_takes_no_larger_body_than_its_device_has_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.agent.allotted_bytes", lambda: 256 * MEBIBYTE)
    with lonely_agent(tmp_path) as agent:
        agent.start()
        path = tmp_path / "state" / "vedette.sock"
        until(path.exists)
        with socket.socket(socket.AF_UNIX) as connected:
            connected.settimeout(10)
            connected.connect(str(path))
            wire = Wire(connected)
            wire.send(request("POST", "/v2").replace(b"Length: 0", b"Length: %d" % (40 * MEBIBYTE)))
            assert f"{32 * MEBIBYTE} may be" in wire.reply().error


def test_memory_is_short_where_little_of_it_is_left_to_the_device_or_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_device_of(monkeypatch, 8192)
    root = in_a_group(tmp_path, "/a", a=str(512 * MEBIBYTE))
    assert left_bytes(440 * MEBIBYTE, root) == 72 * MEBIBYTE
    assert not is_short(440 * MEBIBYTE, root)
    assert is_short(450 * MEBIBYTE, root)
    (root / "sys/fs/cgroup/a/memory.max").write_text("max")
    assert not is_short(450 * MEBIBYTE, root)
    (root / "proc/meminfo").write_text(f"MemAvailable: {1000 * 1024} kB\n")
    assert is_short(0, root)
    assert left_bytes(0, root) == 1000 * MEBIBYTE
    (root / "proc/meminfo").unlink()
    assert available_bytes(root) is None
    assert not is_short(0, root)
