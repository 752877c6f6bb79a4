"""The parts of the demo while it stays up."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_client.demo import programs
from fleet_client.demo.child import Child
from fleet_client.demo.fleet import Fleet


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """A fleet whose hub writes its pid and waits."""
    program = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"

    def start(folder: Path, log: Path, *_: object) -> Child:
        return Child("the hub", [sys.executable, "-c", program], log)

    monkeypatch.setattr(programs, "start_hub", start)
    one = Fleet(tmp_path, 0)
    one.start_hub()
    yield one
    one.stop()


def pids(fleet: Fleet, count: int) -> list[int]:
    log, deadline = fleet.logs / "hub.log", time.monotonic() + 50
    while len(found := log.read_text().split()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return [int(pid) for pid in found]


def test_what_somebody_kills_is_started_again_and_said(fleet: Fleet) -> None:
    assert fleet.revive() == []
    (first,) = pids(fleet, 1)
    os.kill(first, signal.SIGKILL)
    deadline = time.monotonic() + 50
    while not (told := fleet.revive()):
        assert time.monotonic() < deadline
        time.sleep(0.02)

    assert told == ["the hub ended with code -9, and is started again."]
    _, second = pids(fleet, 2)
    assert second != first
    assert fleet.revive() == []
    fleet.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)
