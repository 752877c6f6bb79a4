"""Where the shapes of a chart go: geometry only, as numbers that templates write into SVG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

WIDTH, HEIGHT, BASE, TOP = 640, 190, 162, 10
#: Past so many groups, only some are named under the axis.
NAMED = 16


@dataclass(frozen=True)
class Bar:
    """A rectangle in the units of the view box; `title` is what a pointer or a screen reader is told."""

    x: float
    y: float
    width: float
    height: float
    series: str
    title: str


@dataclass(frozen=True)
class Tick:
    x: float
    text: str


@dataclass(frozen=True)
class Drawing:
    """Bars over a shared axis; `top` is the share, 0 to 1, that the highest place stands for."""

    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    top: float
    summary: str
    width: int = WIDTH
    height: int = HEIGHT
    base: int = BASE


@dataclass(frozen=True)
class Segment:
    """A part of a whole on a line 100 wide."""

    x: float
    width: float
    css: str
    title: str


@dataclass(frozen=True)
class Interval:
    """A measured value with its bounds, and a threshold, on a line 100 wide."""

    low: float
    value: float
    high: float
    threshold: float
    label: str


def interval(low: float, value: float, high: float, threshold: float, label: str) -> Interval:
    """Where these four lie on a line that has room for all of them and for 0."""
    start, end = min(0.0, low), max(high, threshold) * 1.1
    width = (end - start) or 1.0

    def place(number: float) -> float:
        return round((number - start) / width * 100, 2)

    return Interval(place(low), place(value), place(high), place(threshold), label)


def histogram(groups: Sequence[str], series: Mapping[str, Sequence[int]], names: Mapping[str, str]) -> Drawing | None:
    """Bars side by side for each group, every series as shares of its own total, so that cohorts of any size compare.

    `series` is a CSS class to its counts, one a group; `names` are what people call them. None when all is 0.
    """
    shares = {key: _shares(counts) for key, counts in series.items() if sum(counts)}
    if not shares or not groups:
        return None
    top = max(max(values) for values in shares.values()) * 1.05
    slot = WIDTH / len(groups)
    gap = min(slot * 0.25, 14)
    thick = (slot - gap) / len(shares)
    bars = []
    for place, (key, values) in enumerate(shares.items()):
        for group, (label, share) in enumerate(zip(groups, values, strict=True)):
            height = share / top * (BASE - TOP)
            title = f"{label}: {share * 100:.1f} % of {names[key]} ({series[key][group]:,} records)"
            x = group * slot + gap / 2 + place * thick
            bars.append(Bar(round(x, 2), round(BASE - height, 2), round(thick, 2), round(height, 2), key, title))
    step = -(-len(groups) // NAMED)
    ticks = tuple(Tick(round((i + 0.5) * slot, 2), label) for i, label in enumerate(groups) if i % step == 0)
    return Drawing(tuple(bars), ticks, top, _summary(groups, shares, names))


def bins(edges: Sequence[float]) -> list[str]:
    """What the bins of a histogram over `edges` are called: one more than there are edges."""
    if not edges:
        return ["all"]
    return [
        f"<{edges[0]:g}",
        *(f"{low:g}–{high:g}" for low, high in pairwise(edges)),
        f"≥{edges[-1]:g}",
    ]


def stack(parts: Sequence[tuple[str, int, str]]) -> tuple[Segment, ...]:
    """`parts`, each a title, a count and a CSS class, as shares of one line from the left."""
    total = sum(number for _, number, _ in parts)
    segments, x = [], 0.0
    for title, number, css in parts:
        if number:
            width = number * 100 / total
            segments.append(Segment(round(x, 3), round(width, 3), css, title))
            x += width
    return tuple(segments)


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts)
    return [number / total for number in counts]


def _summary(groups: Sequence[str], shares: Mapping[str, Sequence[float]], names: Mapping[str, str]) -> str:
    said = []
    for key, values in shares.items():
        peak = max(range(len(groups)), key=lambda i: values[i])
        said.append(f"{names[key]}: most often {groups[peak]} ({values[peak] * 100:.1f} %)")
    return "; ".join(said)
