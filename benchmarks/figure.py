"""One line a figure, and one exit code a benchmark: what `make bench` collects."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured promise.

    `ours` and `anchor` are in `unit` and come from the same run; `anchor` is what a reader compares ours with, or
    None where nothing is comparable. `reach` is the promise: `ours` may be at most that, or must be at least that
    where `at_least`.
    """

    name: str
    ours: float
    reach: float
    unit: str
    anchor: float | None = None
    at_least: bool = False

    @property
    def ok(self) -> bool:
        """Whether the promise is kept. NaN never keeps one."""
        return self.ours >= self.reach if self.at_least else self.ours <= self.reach

    def __str__(self) -> str:
        anchor = "-" if self.anchor is None else f"{self.anchor:,.4g} {self.unit}"
        ratio = "-" if not self.anchor else f"{self.ours / self.anchor:.2f}"
        bound = "at least" if self.at_least else "at most"
        return (
            f"{self.name:<44} | ours {self.ours:,.4g} {self.unit} | anchor {anchor} | ratio {ratio} "
            f"| reach {bound} {self.reach:,.4g} {self.unit} | {'ok' if self.ok else 'short'}"
        )


def report(figures: Sequence[Figure]) -> int:
    """Prints a line for each figure. The exit code: 0 when every promise is kept, 1 when one falls short or none was
    measured."""
    for figure in figures:
        print(figure)
    return 0 if figures and all(figure.ok for figure in figures) else 1
