"""A real hub, killed again and again while agents send, has every record once."""

from pathlib import Path

import pytest

from benchmarks.exactness import Outcome, run


def assert_exact(outcome: Outcome) -> None:
    assert (outcome.lost, outcome.twice, outcome.foreign) == (0, 0, 0)
    assert outcome.database_wrong == 0


@pytest.mark.timeout(1200)
def test_every_record_is_there_once_after_three_kills(tmp_path: Path) -> None:
    outcome = run(tmp_path, agents=5, records=2_000, kills=3, seed=7)
    assert_exact(outcome)
    assert (outcome.expected, outcome.kills) == (2_000, 3)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_one_of_100000_records_is_there_once_after_twenty_kills(tmp_path: Path) -> None:
    outcome = run(tmp_path, agents=20, records=100_000, kills=20, seed=20)
    assert_exact(outcome)
    assert outcome.expected == 100_000
    assert outcome.kills >= 20
