"""A process under test that hangs ends the benchmark of swaps."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import swap
from benchmarks.nets import NETS


def test_a_process_that_hangs_is_waited_for_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = subprocess.Popen
    mute = [sys.executable, "-c", "import sys\nfor line in sys.stdin: pass"]
    monkeypatch.setattr(swap.subprocess, "Popen", lambda _, **more: real(mute, **more))
    monkeypatch.setattr(swap, "_HANGS_SECONDS", 0.2)
    host = swap.Host(tmp_path, NETS[0])
    with pytest.raises(AssertionError, match="hangs: told '1 2'"):
        host.order("1 2")
    host.stop()
    assert host._process.returncode is not None
