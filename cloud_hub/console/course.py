"""What a gate measured over time, as shapes: a line, the band that the truth lies in, and what is allowed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cloud_hub.console import words
from cloud_hub.rollouts.views import GateReadingsView, ReadingView

WIDTH, HEIGHT = 1000, 100
#: Room above and below what is drawn, as a share of its height. Bounds of little evidence reach far: they are cut off.
_MARGIN = 0.3


@dataclass(frozen=True)
class Mark:
    """A moment, as a place on the line from 0 to `WIDTH`."""

    x: float
    title: str


@dataclass(frozen=True)
class Course:
    """Points as SVG writes them; `threshold` and `zero` are heights from the top, `zero` None where it is not seen."""

    line: str
    band: str
    end_x: float
    end_y: float
    threshold: float
    zero: float | None
    marks: tuple[Mark, ...]
    verdict: str
    until: datetime
    seconds: float
    said: str
    width: int = WIDTH
    height: int = HEIGHT


def course(gate: GateReadingsView, moments: Iterable[tuple[datetime, str]] = ()) -> Course | None:
    """The drawing of `gate`, with those of `moments`, each with its name, that it covers. None below two readings."""
    readings = gate.readings
    if len(readings) < 2:
        return None
    since, until = readings[0].at, readings[-1].at
    seconds = (until - since).total_seconds() or 1.0
    low, high = _range(readings)

    def x(at: datetime) -> float:
        return round((at - since).total_seconds() / seconds * WIDTH, 1)

    def y(value: float) -> float:
        return round((high - min(max(value, low), high)) / (high - low) * HEIGHT, 1)

    line = [f"{x(one.at)},{y(one.value)}" for one in readings]
    upper = [f"{x(one.at)},{y(one.upper)}" for one in readings]
    lower = [f"{x(one.at)},{y(one.lower)}" for one in reversed(readings)]
    last = readings[-1]
    return Course(
        line=" ".join(line),
        band=" ".join([*upper, *lower]),
        end_x=x(last.at),
        end_y=y(last.value),
        threshold=y(last.threshold),
        zero=y(0) if low < 0 < high else None,
        marks=tuple(Mark(x(at), name) for at, name in moments if since <= at <= until),
        verdict=last.verdict,
        until=until,
        seconds=seconds,
        said=_said(gate),
    )


def _range(readings: Sequence[ReadingView]) -> tuple[float, float]:
    seen = [value for one in readings for value in (one.value, one.threshold)]
    low, high = min(seen), max(seen)
    margin = (high - low or abs(high) or 1.0) * _MARGIN
    return low - margin, high + margin


def _said(gate: GateReadingsView) -> str:
    first, last = gate.readings[0], gate.readings[-1]
    over = words.duration((last.at - first.at).total_seconds())
    return (
        f"From {words.percent(first.value)} to {words.percent(last.value)} in {over}; in the end between "
        f"{words.percent(last.lower)} and {words.percent(last.upper)}, allowed {words.percent(last.threshold)}"
    )
