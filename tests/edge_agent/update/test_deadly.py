"""Models that end the process, hang, leak or are too slow: gone by themselves, with no network."""

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge_agent.core.limits import Limits
from edge_agent.core.steps import Trial
from edge_agent.runtimes import open_session
from fleet_contract.report import Phase
from tests.fakes.blob_server import BlobServer
from tests.fakes.device import Device, a_desired, an_assignment, running
from tests.fakes.full_disk import FullDisk
from tests.fakes.tiny_models import Build, a_build, a_golden_set, scores_of

GIGABYTE = 1_000_000_000
ROOT = Path(__file__).parents[3]


class Large:
    """A session that is among the `loaded` until it is closed."""

    def __init__(self, runtime: str, path: Path, loaded: "list[Large]") -> None:
        self._session = open_session(runtime, path)
        self._loaded = loaded
        self.inputs, self.outputs, self.run = self._session.inputs, self._session.outputs, self._session.run
        loaded.append(self)

    def close(self) -> None:
        self._loaded.remove(self)
        self._session.close()


class Process:
    """An agent's updater in a process that ends, one way or another."""

    def __init__(self, popen: "subprocess.Popen[bytes]") -> None:
        self.popen = popen
        self.said: list[tuple[str, str, str, int | None]] = []

    def order(self, generation: int, *builds: Build) -> None:
        assert self.popen.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.popen.stdin.write(a_desired(generation, *(an_assignment(one.manifest) for one in builds)) + b"\n")
            self.popen.stdin.flush()

    def until(self, model: str, phase: str, running: int | None) -> str:
        """Waits until that is said, and gives the reason's code."""
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.said.append(tuple(json.loads(line)))
            if (model, phase, running) == (self.said[-1][0], self.said[-1][1], self.said[-1][3]):
                return self.said[-1][2]
        raise AssertionError(f"It ended, and had said {self.said}.")

    def ends(self) -> int:
        assert self.popen.stdout is not None
        self.said += [tuple(json.loads(line)) for line in self.popen.stdout]
        return self.popen.wait(120)


@contextmanager
def process(
    folder: Path, server: BlobServer, deadly: Build, when: str = "never", how: str = "never"
) -> Iterator[Process]:
    digest = deadly.manifest.artifact.digest
    with subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.deadly_process", str(folder), server.url, digest, when, how],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as popen:
        try:
            yield Process(popen)
            if how == "never":
                # To be killed while it answers, as it may be at any moment, would count against the release.
                assert popen.stdin is not None
                popen.stdin.close()
                popen.wait(120)
        finally:
            popen.kill()


@pytest.mark.parametrize(
    ("when", "how", "code"),
    [
        ("loading", "SIGSEGV", "crashed"),
        ("loading", "hangs", "load-hangs"),
        ("answering", "SIGABRT", "crashed"),
    ],
)
def test_a_new_release_that_ends_the_process_ends_it_once(
    tmp_path: Path, server: BlobServer, when: str, how: str, code: str
) -> None:
    good, deadly, other = a_build(1), a_build(2), a_build(1, model="noise")
    server.blobs.update(good.blobs | deadly.blobs | other.blobs)
    with process(tmp_path, server, deadly, when, how) as first:
        first.order(1, good, other)
        first.until("digits", "settled", 1)
        first.until("noise", "settled", 1)
        first.order(2, deadly, other)
        assert first.ends() != 0
    server.status = 503
    with process(tmp_path, server, deadly, when, how) as second:
        assert second.until("digits", "rejected", 1) == code
        time.sleep(0.5)
        assert second.popen.poll() is None
    assert {said[1] for said in second.said if said[0] == "noise"} == {"settled"}, "the other is not blamed"


@pytest.mark.parametrize(
    ("how", "code"),
    [("SIGSEGV", "crashed"), pytest.param("hangs", "inference-hangs", marks=pytest.mark.slow)],
)
def test_a_settled_release_that_ends_the_process_gives_way_to_the_one_before(
    tmp_path: Path, server: BlobServer, how: str, code: str
) -> None:
    good, deadly = a_build(1), a_build(2)
    server.blobs.update(good.blobs | deadly.blobs)
    with process(tmp_path, server, deadly) as tame:
        tame.order(1, good)
        tame.until("digits", "settled", 1)
        tame.order(2, deadly)
        tame.until("digits", "settled", 2)
    server.status = 503
    with process(tmp_path, server, deadly, "answering", how) as first:
        first.ends()
    with process(tmp_path, server, deadly, "answering", how) as second:
        assert second.until("digits", "rejected", 1) == code


@pytest.mark.slow
def test_a_settled_release_that_is_killed_at_work_gives_way_at_the_third_time(
    tmp_path: Path, server: BlobServer
) -> None:
    good, deadly = a_build(1), a_build(2)
    server.blobs.update(good.blobs | deadly.blobs)
    with process(tmp_path, server, deadly) as tame:
        tame.order(1, good)
        tame.until("digits", "settled", 1)
        tame.order(2, deadly)
        tame.until("digits", "settled", 2)
    for _ in range(3):
        with process(tmp_path, server, deadly, "answering", "SIGKILL") as one:
            one.ends()
            assert one.said[-1][1] == "settled"
    with process(tmp_path, server, deadly, "answering", "SIGKILL") as last:
        assert last.until("digits", "rejected", 1) == "process-ended"


@contextmanager
def second_on_trial(folder: Path, server: BlobServer, limits: Limits) -> Iterator[Device]:
    """Version 1 has settled, and version 2 is live and on a trial that would last for ever."""
    with running(folder, server) as device:
        device.order(a_build(1))
        device.until_settled(1)
    forever = Trial(records=10_000, seconds=600.0)
    with running(folder, server, generation=1, limits=limits, trial=forever) as device:
        device.order(a_build(2))
        device.until(lambda: device.running() == 2)
        yield device


def hold(device: Device, until: threading.Event) -> threading.Thread:
    """A record that does not come to its end."""

    def lease() -> None:
        with device.updater.slot("digits").lease():
            until.wait(30)

    thread = threading.Thread(target=lease)
    thread.start()
    return thread


class TestTooMuch:
    """Of a live model, in a process that goes on: the one before answers at once."""

    def test_time_for_one_record_means_that_it_hangs(self, tmp_path: Path, server: BlobServer) -> None:
        done = threading.Event()
        with second_on_trial(tmp_path, server, Limits(hang_seconds=0.3)) as device:
            assert device.updater.unwell() is None
            thread = hold(device, done)
            device.until_rejected("inference-hangs")
            device.until(lambda: device.running() == 1)
            spent = device.updater.unwell()
            assert spent is not None
            assert spent.code == "inference-hangs", "the thread is lost until the process ends"
            done.set()
            thread.join()

    def test_time_that_the_whole_process_stood_still_is_not_held_against_a_model(
        self, tmp_path: Path, server: BlobServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # As after SIGSTOP, or in a machine that was frozen: a record is an hour old, and so is the last look.
        monkeypatch.setattr("edge_agent.update.overview.PAUSE_SECONDS", 1.5)
        done = threading.Event()
        ahead = [0.0]
        with running(
            tmp_path,
            server,
            limits=Limits(hang_seconds=60.0),
            trial=Trial(seconds=0.0),
            monotonic=lambda: time.monotonic() + ahead[0],
        ) as device:
            device.order(a_build(1))
            device.until_settled(1)
            thread = hold(device, done)
            ahead[0] = 3600.0
            device.updater.wake()
            time.sleep(0.3)
            done.set()
            thread.join()
            assert device.updater.unwell() is None
            assert device.seen() == (Phase.SETTLED, 1)

    def test_memory_that_grows_and_grows_is_a_leak(
        self, tmp_path: Path, server: BlobServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("edge_agent.update.footprint.LASTING_SECONDS", 0.5)
        with second_on_trial(tmp_path, server, Limits(growth_bytes=64 * 1024 * 1024)) as device:
            leak = np.ones(128 * 1024 * 1024, dtype=np.uint8)
            device.until_rejected("memory-leaks")
            device.until(lambda: device.running() == 1)
            spent = device.updater.unwell()
            assert spent is not None
            assert spent.code == "memory-leaks"
            del leak

    @pytest.mark.parametrize("limits", [Limits(growth_bytes=GIGABYTE // 2), Limits(resident_bytes=GIGABYTE * 3 // 2)])
    def test_what_the_next_version_takes_beside_it_is_not_the_live_ones(
        self, tmp_path: Path, server: BlobServer, monkeypatch: pytest.MonkeyPatch, limits: Limits
    ) -> None:
        # Nobody waits for seconds here: a gateway of which little memory is left while both are loaded.
        monkeypatch.setattr("edge_agent.update.overview.is_short", lambda _: True)
        loaded: list[Large] = []
        monkeypatch.setattr("edge_agent.update.footprint.resident_bytes", lambda: GIGABYTE * len(loaded))
        with running(tmp_path, server, limits=limits, opener=lambda *what: Large(*what, loaded)) as device:
            for version in (1, 2, 3):
                device.order(a_build(version))
                device.until_settled(version)
            assert device.updater.unwell() is None
            assert device.model().because.code == "trial-passed"

    def test_time_for_most_records_is_too_slow_for_this_device(self, tmp_path: Path, server: BlobServer) -> None:
        with second_on_trial(tmp_path, server, Limits(latency_ms=40.0)) as device:
            for _ in range(10):
                with device.updater.slot("digits").lease():
                    time.sleep(0.05)
            device.until_rejected("latency-exceeded")
            device.until(lambda: device.running() == 1)
            assert device.updater.unwell() is None, "nothing is lost with it"
            assert "10 took longer than the 40.00 ms" in device.model().because.sentence

    def test_limits_that_change_hold_for_what_runs_already(self, tmp_path: Path, server: BlobServer) -> None:
        with second_on_trial(tmp_path, server, Limits()) as device:
            device.updater.limit(Limits(latency_ms=40.0))
            for _ in range(10):
                with device.updater.slot("digits").lease():
                    time.sleep(0.05)
            device.until_rejected("latency-exceeded")
            device.until(lambda: device.running() == 1)


def test_a_retry_clears_a_rejection_once(tmp_path: Path, server: BlobServer) -> None:
    build = a_build(2)
    bad = a_build(2, golden=a_golden_set(-scores_of(2)))
    with running(tmp_path, server) as device:

        def ask(number: int) -> None:
            device.generation += 1
            assignment = msgspec.structs.replace(an_assignment(build.manifest), retry=number)
            device.updater.receive(a_desired(device.generation, assignment))

        server.blobs.update(build.blobs)
        server.blobs[build.manifest.golden.blob.digest] = bad.golden
        ask(0)
        device.until_rejected("digest-wrong")
        server.blobs.update(build.blobs)
        ask(0)
        time.sleep(0.2)
        assert device.seen() == (Phase.REJECTED, 2), "the same number says nothing new"
        ask(1)
        device.until_settled(2)


def test_what_nothing_wants_is_evicted_and_told_of_once(
    tmp_path: Path, server: BlobServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.update.updater.EVICTED_SECONDS", 0.2)
    with running(tmp_path, server) as device:
        device.order(a_build(1), a_build(1, model="noise"))
        device.until_settled(1)
        device.until_settled(1, "noise")
        device.order(a_build(1, model="noise"))
        device.until_because("evicted")
        assert not list((tmp_path / "journals").glob("digits*"))
        kept = {path.name for path in (tmp_path / "artifacts").iterdir()}
        assert {f"sha256:{name}" for name in kept} == set(a_build(1, model="noise").blobs)
        device.until(lambda: device.seen() is None)
        device.order(a_build(1))
        device.until_settled(1)


def test_the_farewell_says_what_ran_until_then(tmp_path: Path, server: BlobServer) -> None:
    with running(tmp_path, server) as device:
        device.order(a_build(1))
        device.until_settled(1)
    assert device.running() is None
    assert device.model().running == device.model().wanted


def test_on_a_full_disk_a_revert_gets_on_disk_all_the_same(tmp_path: Path, server: BlobServer) -> None:
    disk = FullDisk()
    with second_on_trial(tmp_path, server, Limits(hang_seconds=0.3)) as device:
        device.updater._journals._disk = disk
        device.updater._journals._ballast._disk = disk
        disk.room_bytes = 0
        done = threading.Event()
        thread = hold(device, done)
        device.until_rejected("inference-hangs")
        journal = json.loads((tmp_path / "journals" / "digits.json").read_bytes())
        assert journal["phase"] == "rejected"
        assert not (tmp_path / "journals" / "ballast").exists()
        disk.room_bytes = None
        device.until((tmp_path / "journals" / "ballast").exists)
        done.set()
        thread.join()
