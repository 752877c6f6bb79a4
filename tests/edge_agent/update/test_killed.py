"""SIGKILL, by a model and from outside, at any moment: the next start goes on from what is on disk."""

import contextlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fakes.blob_server import BlobServer
from tests.fakes.device import a_desired, an_assignment
from tests.fakes.tiny_models import Build, a_build
from tests.fakes.waiting import until

ROOT = Path(__file__).parents[3]


class Process:
    """An updater that can be killed, and its last words."""

    def __init__(self, popen: "subprocess.Popen[bytes]") -> None:
        self.popen = popen
        self.said: list[tuple[str, str, int | None]] = []

    def order(self, *builds: Build, generation: int) -> None:
        assert self.popen.stdin is not None
        # It may be dead already: that is what these tests are about.
        with contextlib.suppress(BrokenPipeError):
            self.popen.stdin.write(a_desired(generation, *(an_assignment(one.manifest) for one in builds)) + b"\n")
            self.popen.stdin.flush()

    def listen(self, until: tuple[str, int | None] | None = None) -> None:
        """Takes in what it says, until it says that phase with that version running, or ends."""
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            phase, code, version = json.loads(line)
            self.said.append((phase, code, version))
            if (phase, version) == until:
                return


@contextmanager
def process(folder: Path, server: BlobServer, deadly: str = "") -> Iterator[Process]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.updater_process", str(folder), server.url, deadly],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as popen:
        try:
            yield Process(popen)
        finally:
            popen.kill()


def test_a_model_that_kills_the_process_is_rejected_and_the_one_before_runs(tmp_path: Path, server: BlobServer) -> None:
    good, deadly = a_build(1), a_build(2)
    server.blobs.update(good.blobs | deadly.blobs)
    digest = deadly.manifest.artifact.digest
    with process(tmp_path, server, digest) as first:
        first.order(good, generation=1)
        first.listen(until=("settled", 1))
        first.order(deadly, generation=2)
        first.listen()
        assert first.said[-1][2] == 1, "it answered to the end"
    with process(tmp_path, server, digest) as second:
        second.listen()
        assert ("preflight", "loading", 1) in second.said, "what ran before runs before the second try"
    with process(tmp_path, server, digest) as third:
        third.listen(until=("rejected", 1))
        assert third.said[-1][1] == "process-ended"
        third.order(a_build(1), generation=3)
        third.listen(until=("settled", 1))


def test_a_download_in_the_middle_of_which_it_is_killed_goes_on_where_it_was(
    tmp_path: Path, server: BlobServer
) -> None:
    build = a_build(1)
    server.blobs.update(build.blobs)
    server.stall_after = half = len(build.artifact) // 2
    with process(tmp_path, server) as first:
        first.order(build, generation=1)
        until(lambda: [one.stat().st_size for one in (tmp_path / "artifacts").glob("*.part")] == [half])
    server.stall_after = None
    server.let_go.set()
    with process(tmp_path, server) as second:
        second.listen(until=("settled", 1))
    assert [one.range for one in server.served(build.manifest.artifact.digest)] == ["", f"bytes={half}-"]


def test_however_often_it_is_killed_it_gets_there(tmp_path: Path, server: BlobServer) -> None:
    dice = random.Random(7)
    server.blobs.update(a_build(1).blobs | a_build(2).blobs | a_build(3).blobs)
    generation, version = 0, 1
    for _ in range(12):
        with process(tmp_path, server) as device:
            generation, version = generation + 1, dice.randint(1, 3)
            device.order(a_build(version), generation=generation)
            # From within the import of NumPy to well after the switch.
            time.sleep(dice.uniform(0.1, 1.0))
    for _ in range(2):
        # A kill in the wrong moment counts against a version; another order wipes the slate.
        with process(tmp_path, server) as device:
            generation, version = generation + 1, version % 3 + 1
            device.order(a_build(version), generation=generation)
            device.listen(until=("settled", version))
    with process(tmp_path, server) as device:
        device.listen(until=("settled", version))
