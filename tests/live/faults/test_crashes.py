"""Power cuts, on a real ext4: a sample; `benchmarks.update_faults` takes 10,000."""

from pathlib import Path

import pytest

from tests.fakes.faults.programs import said, violations

pytestmark = [pytest.mark.live, pytest.mark.timeout(1800)]


def test_after_any_power_cut_a_device_runs_what_it_has_proven_and_gets_on(tmp_path: Path) -> None:
    # Of each way to mount it one, and one with a bad block.
    answer = said("crashes", tmp_path, "--recordings", "0", "1", "2", "3", "4", "5", "7", "--images", "60")
    assert violations(answer) == ()
    assert answer["images"] == 7 * 60


def test_a_file_system_that_is_cut_off_takes_nothing_with_it(tmp_path: Path) -> None:
    answer = said("crashes", tmp_path, "--cuts", *(str(seed) for seed in range(40)))
    assert violations(answer) == ()
    assert answer["cuts"] == 40


@pytest.mark.parametrize("bug", ["no fsync", "hash checked before fsync"])
def test_a_planted_bug_is_caught(tmp_path: Path, bug: str) -> None:
    seeds = [str(seed) for seed in range(12)]
    assert violations(
        said("crashes", tmp_path, "--recordings", *seeds, "--images", "100", "--disk", bug, "--stop-after", "1")
    )
