"""A simulated rollout drawn: what can be read off the picture, and off the terminal."""

import re
from collections.abc import Sequence
from xml.etree import ElementTree

import pytest

from cloud_hub.rollouts.states import State
from cloud_hub.simulation import chart
from cloud_hub.simulation.player import Played, Point
from fleet_contract.because import Because


def played(points: Sequence[Point], stopped: float | None = None) -> Played:
    most = max(point.offered for point in points)
    return Played(
        1, State.COMPLETED, Because("completed", "All done."), most, most, ((most, most),), points[-1].seconds,
        stopped, None, None, len(points), tuple(points), (),
    )  # fmt: skip


def growing(seconds: float, devices: int, waves: Sequence[float] = (0.0,), failed: int = 0) -> list[Point]:
    steps = 40
    return [
        Point(
            at := seconds * step / steps,
            devices * step // steps,
            devices * step // steps - failed,
            failed,
            sum(at >= opened for opened in waves) - 1,
        )
        for step in range(steps + 1)
    ]


def texts(drawn: str) -> list[tuple[float, str]]:
    """Each text of the picture, with where it is from the left."""
    root = ElementTree.fromstring(drawn)
    return [(float(one.attrib["x"]), one.text or "") for one in root.iter("{http://www.w3.org/2000/svg}text")]


def times(drawn: str) -> list[str]:
    return [text for _, text in texts(drawn) if re.fullmatch(r"\d+:\d\d|[\d.]+ (min|h|d)", text)]


@pytest.mark.parametrize("seconds", [40, 130, 480, 3_600, 4_124, 9_000, 90_000, 600_000, 2_600_000])
def test_no_two_marks_of_the_time_say_the_same(seconds: float) -> None:
    marks = times(chart.svg(played(growing(seconds, 50)), "x"))
    assert 2 <= len(marks) <= 9
    assert len(set(marks)) == len(marks)


@pytest.mark.parametrize(
    ("devices", "marks"),
    [
        (1, "0 1"),
        (7, "0 2 4 6 8"),
        (41, "0 10 20 30 40 50"),
        (198, "0 50 100 150 200"),
        (19_614, "0 5,000 10,000 15,000 20,000"),
        (1_000_000, "0 200,000 400,000 600,000 800,000 1,000,000"),
    ],
)
def test_devices_are_told_in_round_numbers(devices: int, marks: str) -> None:
    drawn = texts(chart.svg(played(growing(600, devices)), "x"))
    assert [text for at, text in drawn if at < 84 and text != "devices"] == marks.split()


def test_names_of_waves_that_open_one_upon_the_other_are_not_written_over_each_other() -> None:
    drawn = chart.svg(played(growing(4000, 900, (0, 100, 200, 2000, 3900))), "x")
    named = [(at, text) for at, text in texts(drawn) if text.startswith("wave ")]
    assert [text for _, text in named] == ["wave 1", "wave 4"]
    assert len(re.findall('stroke="#b8c2cc"', drawn)) == 5, "each has its line all the same"


def test_failures_are_drawn_where_there_are_any() -> None:
    assert "failed" not in chart.svg(played(growing(600, 50)), "x")
    assert "failed" in chart.svg(played(growing(600, 50, failed=1)), "x")


def test_a_stop_at_once_is_named_inside_the_picture() -> None:
    (at,) = [at for at, text in texts(chart.svg(played(growing(600, 50), stopped=1), "x")) if text == "stopped"]
    assert at > 84


def test_what_a_title_says_is_never_markup() -> None:
    assert "&lt;b&gt; &amp;" in chart.svg(played(growing(600, 50)), "<b> &")


def test_the_terminal_shows_when_waves_opened_and_when_it_stopped() -> None:
    lines = chart.text(played(growing(480, 900, (0, 120, 240), failed=9), stopped=360)).plain.splitlines()
    axis = next(place for place, line in enumerate(lines) if "└" in line)
    marks = lines[axis + 1]
    assert {mark: marks.index(mark) - 11 for mark in "123×"} == {"1": 0, "2": 17, "3": 34, "×": 50}
    assert lines[axis + 2].split() == ["0", "4", "min", "8", "min"]
    assert lines[axis + 2].endswith("8 min")
    assert "× stopped" in lines[-1]
    assert all(len(line) <= 80 for line in lines)
    assert "×" not in chart.text(played(growing(480, 900))).plain
