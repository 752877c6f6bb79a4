"""A run beside the calls starts where none of them would have met it."""

import pytest

from edge_agent.serving.gaps import FAR, FEW_GAPS, GAPS, MARGIN_SECONDS, RUNS, Gaps


def heard(*lengths: float, run: float, call: float = 0.001) -> tuple[Gaps, float]:
    """Gaps of these lengths, over and over, and when the last of so many answers was given."""
    gaps, at = Gaps(), 1000.0
    gaps.answered(at, call)
    for number in range(GAPS):
        at += lengths[number % len(lengths)] + call
        gaps.answered(at, call)
    gaps.ran(run)
    return gaps, at


def test_of_calls_in_step_it_may_start_once_the_answer_was_taken_and_while_it_ends_before_the_next():
    gaps, at = heard(0.1, run=0.03)
    assert gaps.quiet_wanted(at) == pytest.approx(MARGIN_SECONDS), "its caller needs the processor"
    assert gaps.quiet_wanted(at + 0.003) == 0
    assert gaps.quiet_wanted(at + 0.067) == 0
    assert gaps.quiet_wanted(at + 0.069) == pytest.approx(0.061), "it might meet the next call"


def test_a_run_needs_little_more_than_its_own_time():
    gaps, at = heard(0.021, run=0.012)
    assert gaps.quiet_wanted(at + 0.003) == 0
    gaps, at = heard(0.021, run=0.019)
    assert gaps.quiet_wanted(at + 0.003) == pytest.approx(0.037)


def test_a_caller_that_asks_again_at_once_leaves_no_gap_until_he_stops():
    gaps, at = heard(0.0002, 0.0004, run=0.001)
    assert gaps.quiet_wanted(at) == pytest.approx(0.0014)
    assert gaps.quiet_wanted(at + 0.0005) == pytest.approx(0.0009)
    assert gaps.quiet_wanted(at + 0.0015) == 0, "he has never waited for so long"


def test_one_short_gap_of_the_last_hundred_is_enough_to_wait_for_longer():
    gaps, at = heard(*[0.2] * (GAPS - 1), 0.02, run=0.03)
    assert gaps.quiet_wanted(at) == pytest.approx(0.05)
    for _ in range(GAPS):
        assert gaps.quiet_wanted(at) > 0
        gaps.answered(at := at + 0.201, 0.001)
    assert gaps.quiet_wanted(at + 0.031) == 0


def test_it_may_start_between_two_bursts():
    gaps, at = heard(*[0.005] * 9, 2.0, run=0.03)
    assert gaps.quiet_wanted(at) == pytest.approx(0.035)
    assert gaps.quiet_wanted(at + 0.036) == 0
    assert gaps.quiet_wanted(at + 1.98) == pytest.approx(0.05)


def test_calls_that_overlap_leave_no_gap():
    gaps, at = heard(-0.05, 0.05, run=0.03, call=0.1)
    assert gaps.quiet_wanted(at) == pytest.approx(0.08), "after the longest of the gaps that there were"


def test_too_little_is_known_before_a_hundred_gaps_and_a_run():
    gaps = Gaps()
    assert gaps.quiet_wanted(0.0) is None
    for number in range(GAPS):
        gaps.answered(float(number), 0.0)
    gaps.ran(0.11)
    assert gaps.quiet_wanted(GAPS - 1.0) is None
    gaps.answered(float(GAPS), 0.0)
    assert gaps.quiet_wanted(GAPS + 0.12) == 0
    nothing_ran, at = Gaps(), 0.0
    for number in range(GAPS + 1):
        nothing_ran.answered(at := float(number), 0.0)
    assert nothing_ran.quiet_wanted(at) is None


def test_of_a_camera_that_gives_a_frame_a_second_ten_are_enough():
    gaps = Gaps()
    for number in range(FEW_GAPS):
        gaps.answered(float(number), 0.0)
    gaps.ran(0.012)
    assert gaps.quiet_wanted(FEW_GAPS - 1.0) is None, "nine gaps"
    gaps.answered(float(FEW_GAPS), 0.0)
    assert gaps.quiet_wanted(FEW_GAPS + 0.003) == 0
    gaps.answered(FEW_GAPS + FAR * 0.0139, 0.0)
    assert gaps.quiet_wanted(FEW_GAPS + 0.5) is None, "one was shorter than ten such runs"


def test_a_run_that_stalled_once_is_not_what_runs_take():
    gaps, at = heard(0.1, run=0.01)
    gaps.ran(0.01)
    gaps.ran(5.0)
    assert gaps.quiet_wanted(at + 0.011) == 0
    gaps.ran(5.0)
    assert gaps.quiet_wanted(at + 0.01) == pytest.approx(5.09)
    for _ in range(RUNS):
        gaps.ran(0.01)
    assert gaps.quiet_wanted(at + 0.011) == 0
