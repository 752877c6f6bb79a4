"""What a gate measured, as a line from the left to the right, with what is allowed where it should lie."""

from datetime import UTC, datetime, timedelta

from cloud_hub.console.course import HEIGHT, WIDTH, course
from cloud_hub.rollouts.views import GateReadingsView, ReadingView

START = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)


def reading(minute: float, value: float, *, reach: float = 0.01, threshold: float = 0.1) -> ReadingView:
    at = START + timedelta(minutes=minute)
    lower, upper = value - reach, value + reach
    verdict = "fail" if lower > threshold else "pass" if upper <= threshold else "not-enough-evidence"
    return ReadingView(at=at, verdict=verdict, value=value, lower=lower, upper=upper, threshold=threshold)


def gate(*readings: ReadingView) -> GateReadingsView:
    return GateReadingsView(name="predictions", readings=list(readings))


def points(text: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split(" "))]


def test_one_reading_is_no_line() -> None:
    assert course(gate()) is None
    assert course(gate(reading(0, 0.02))) is None


def test_the_line_goes_from_edge_to_edge_and_higher_is_more() -> None:
    drawn = course(gate(reading(0, 0.0), reading(1, 0.05), reading(4, 0.2)))
    assert drawn is not None
    line = points(drawn.line)
    assert [x for x, _ in line] == [0, WIDTH / 4, WIDTH]
    assert line[0][1] > line[1][1] > drawn.threshold > line[2][1]
    assert drawn.zero == line[0][1]
    assert drawn.verdict == "fail"
    assert drawn.seconds == 240


def test_bounds_of_little_evidence_stay_in_the_picture() -> None:
    drawn = course(gate(reading(0, 0.05, reach=40), reading(1, 0.05, reach=0.01)))
    assert drawn is not None
    heights = [y for _, y in points(drawn.band)]
    assert (min(heights), max(heights)) == (0, HEIGHT)


def test_a_gate_that_never_moved_is_drawn_too() -> None:
    drawn = course(gate(reading(0, 0.0, threshold=0.0), reading(1, 0.0, threshold=0.0)))
    assert drawn is not None
    assert drawn.threshold == HEIGHT / 2


def test_moments_outside_of_the_line_are_left_out() -> None:
    moments = [(START - timedelta(minutes=1), "wave 1 opened"), (START + timedelta(minutes=1), "wave 2 opened")]
    drawn = course(gate(reading(0, 0.0), reading(2, 0.0)), moments)
    assert drawn is not None
    assert [(mark.x, mark.title) for mark in drawn.marks] == [(WIDTH / 2, "wave 2 opened")]


def test_it_is_told_in_words() -> None:
    drawn = course(gate(reading(0, 0.0), reading(2, 0.05)))
    assert drawn is not None
    assert drawn.said == "From 0 % to 5 % in 2 min; in the end between 4 % and 6 %, allowed 10 %"
