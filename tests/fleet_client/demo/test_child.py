"""Child processes never outlive whoever started them, and say why they ended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fleet_client.demo.child import Child, ChildFailed, stop_all

ROOT = Path(__file__).parents[3]
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def soon(condition: object, seconds: float = 50.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_when_whoever_started_it_is_killed(tmp_path: Path, how: signal.Signals) -> None:
    script = (
        "import sys, time; from pathlib import Path; from fleet_client.demo.child import Child\n"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        f"child = Child('sleeper', sleep, Path({str(tmp_path)!r}, 'log'))\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert alive(pid)
    parent.send_signal(how)
    parent.wait()
    parent.stdout.close()
    assert soon(lambda: not alive(pid))


def test_one_that_does_not_listen_is_killed_with_its_own_children(tmp_path: Path) -> None:
    child = Child("deaf", [sys.executable, "-c", STUBBORN], tmp_path / "log")
    assert soon(lambda: "deaf" in child.tail())
    child.stop(0.2)
    assert child.returncode == -signal.SIGKILL


def test_all_are_asked_before_any_is_waited_for(tmp_path: Path) -> None:
    children = [Child(f"c{n}", SLEEP, tmp_path / f"{n}.log") for n in range(3)]
    deaf = Child("deaf", [sys.executable, "-c", STUBBORN], tmp_path / "deaf.log")
    assert soon(lambda: "deaf" in deaf.tail())
    started = time.monotonic()
    stop_all([deaf, *children], 0.5)
    assert time.monotonic() - started < 30
    assert [child.returncode for child in children] == [-signal.SIGTERM] * 3


def test_a_failure_brings_the_end_of_the_log(tmp_path: Path) -> None:
    code = "import sys; [print('line', n) for n in range(100)]; sys.exit('the disk is full')"
    child = Child("writer", [sys.executable, "-c", code], tmp_path / "logs" / "writer.log")
    with pytest.raises(ChildFailed, match="writer ended with code 1") as failed:
        child.finish(20)
    assert failed.value.tail.splitlines()[-1] == "the disk is full"
    assert len(failed.value.tail.splitlines()) == 15
    assert str(failed.value.log) in failed.value.remedy


def test_one_that_takes_too_long_is_stopped_and_said(tmp_path: Path) -> None:
    child = Child("sleeper", SLEEP, tmp_path / "log")
    with pytest.raises(ChildFailed, match=r"within 0\.2 s"):
        child.finish(0.2)
    assert child.returncode is not None


def test_what_the_caller_set_for_a_hub_of_their_own_does_not_reach_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VEDETTE_DATABASE_URL", "postgresql://production/hub")
    monkeypatch.setenv("UNTOUCHED", "yes")
    code = "import os; print(sorted(k for k in os.environ if k.startswith('VEDETTE_') or k == 'UNTOUCHED'))"
    child = Child("env", [sys.executable, "-c", code], tmp_path / "log")
    child.finish(20)
    assert child.tail() == "['UNTOUCHED']"
    assert os.environ["VEDETTE_DATABASE_URL"]
