"""A fault at one system call of an update, each alone: a sample; `benchmarks.update_faults` hits every one."""

import errno
import os
import platform
import signal
import threading
from pathlib import Path

import pytest

from tests.fakes.faults.programs import said, violations
from tests.fakes.faults.tracer import EIO, KILL, Point, trace

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the tracer knows the registers of x86-64")

FSYNC = 74


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_device_comes_through_a_fault_at_any_system_call_of_an_update(tmp_path: Path) -> None:
    answer = said("sweep", tmp_path, "--sample", "150", "--workers", "4")
    assert violations(answer) == ()
    assert answer["points"] > 500
    assert answer["ended"]["SIGKILL killed"] > 30, "the faults are real"
    assert answer["ended"]["EIO went on"] > 20, "most faults are taken without a restart"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_kill_between_unlink_and_rename_is_caught(tmp_path: Path) -> None:
    planted = ("--disk", "unlink before rename", "--stop-after", "1")
    assert violations(said("sweep", tmp_path, "--faults", "SIGKILL", "--changing", *planted))


def program(path: Path) -> None:
    """Two threads that sync two files; what came of the first is in its name."""

    def other() -> None:
        descriptor = os.open(path / "other", os.O_CREAT | os.O_WRONLY)
        os.fsync(descriptor)
        (path / "other").rename(path / "other-safe")

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    descriptor = os.open(path / "own", os.O_CREAT | os.O_WRONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        assert error.errno == errno.EIO
        (path / "own").rename(path / "own-failed")


def test_one_call_of_one_thread_is_hit_and_no_other(tmp_path: Path) -> None:
    points = trace(lambda: program(tmp_path)).points
    last = [one for one in points if one.number == FSYNC and one.thread == 0]
    assert len([one for one in points if one.number == FSYNC]) == 2
    for path in tmp_path.iterdir():
        path.unlink()
    traced = trace(lambda: program(tmp_path), last[0], EIO)
    assert (traced.hit, traced.status) == (True, 0)
    assert {path.name for path in tmp_path.iterdir()} == {"other-safe", "own-failed"}


def test_a_kill_is_before_the_call_that_it_hits(tmp_path: Path) -> None:
    fsync = next(one for one in trace(lambda: program(tmp_path)).points if one.number == FSYNC and one.thread == 1)
    for path in tmp_path.iterdir():
        path.unlink()
    traced = trace(lambda: program(tmp_path), fsync, KILL)
    assert os.WTERMSIG(traced.status) == signal.SIGKILL
    assert {path.name for path in tmp_path.iterdir()} == {"other"}


def test_a_point_that_is_not_met_hits_nothing(tmp_path: Path) -> None:
    traced = trace(lambda: program(tmp_path), Point(7, FSYNC, 1), KILL)
    assert (traced.hit, traced.status) == (False, 0)
