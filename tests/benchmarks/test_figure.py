"""Figures say plainly whether a promise is kept."""

import math

import pytest

from benchmarks.figure import Figure, report


@pytest.mark.parametrize(
    ("ours", "reach", "at_least", "ok"),
    [(90, 90, False, True), (90.1, 90, False, False), (1000, 900, True, True), (899, 900, True, False)],
)
def test_a_figure_keeps_its_promise_up_to_and_including_its_reach(ours, reach, at_least, ok):
    assert Figure("x", ours, reach, "MB", at_least=at_least).ok is ok


def test_what_could_not_be_measured_falls_short():
    assert not Figure("x", math.nan, 1, "MB").ok
    assert not Figure("x", math.nan, 1, "MB", at_least=True).ok


def test_a_line_names_ours_the_anchor_their_ratio_the_reach_and_the_verdict():
    line = str(Figure("resident memory", 80, 90, "MB", anchor=64))
    assert line.startswith("resident memory ")
    assert line.endswith("| ours 80 MB | anchor 64 MB | ratio 1.25 | reach at most 90 MB | ok")


def test_a_report_prints_every_figure_and_fails_when_one_is_short(capsys):
    kept, short = Figure("kept", 1, 2, "s"), Figure("short", 3, 2, "s")
    assert report([kept]) == 0
    assert report([kept, short]) == 1
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["kept", "kept", "short"]


def test_a_benchmark_that_measured_nothing_fails():
    assert report([]) == 1
