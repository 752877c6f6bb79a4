"""SIGKILL while inputs are captured, at any moment: nothing is damaged, nothing said to be kept is lost."""

import hashlib
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_agent.capture.files import is_unfinished, listed, on_disk_bytes
from edge_agent.capture.listing import look
from edge_agent.capture.store import Captures

ROOT = Path(__file__).parents[3]
MAX_BYTES = 40 * 4096


def killed_after(folder: Path, records: int, dice: random.Random) -> list[str]:
    """What a process said that it has kept, until some moment after so many records."""
    command = [sys.executable, "-m", "tests.fakes.capturing_process", str(folder), str(MAX_BYTES)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(records)]
        time.sleep(dice.random() * 0.005)
        process.kill()
        said += process.stdout.readlines()
    return [line.strip() for line in said if line.endswith("\n")]


@pytest.mark.parametrize("seed", range(4))
def test_wherever_it_is_killed_the_newest_are_whole_and_the_quota_holds(tmp_path: Path, seed: int) -> None:
    dice, folder = random.Random(seed), tmp_path / "captures"
    for records in (1, 5, 60):
        said = killed_after(folder, records, dice)
        taken = sum(on_disk_bytes(path.stat().st_size) for path in folder.iterdir())
        assert taken <= MAX_BYTES
        found = listed(folder)
        assert said[-1] in [name.capture for name, _ in found[-2:]]
        for name, path in found:
            assert hashlib.sha256(path.read_bytes()).hexdigest() == name.capture
        assert all(one.about is not None for one in look(folder))
        Captures(folder, MAX_BYTES, leave_bytes=0).report()
        assert not [path for path in folder.iterdir() if is_unfinished(path.name)]
