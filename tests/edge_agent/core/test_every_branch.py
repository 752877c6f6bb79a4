"""Deciding code is run whole: each branch of `edge_agent.core`, by its own tests alone."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_each_branch_of_the_core_is_taken_by_a_test(tmp_path: Path) -> None:
    def coverage(*arguments: str) -> "subprocess.CompletedProcess[str]":
        data = f"--data-file={tmp_path / 'coverage'}"
        command = [sys.executable, "-m", "coverage", arguments[0], data, *arguments[1:]]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    tests = "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", "tests/edge_agent/core"
    run = coverage("run", "--source=edge_agent/core", *tests)
    assert run.returncode == 0, run.stdout[-4000:]
    report = coverage("report", "--show-missing", "--fail-under=100")
    assert report.returncode == 0, report.stdout
