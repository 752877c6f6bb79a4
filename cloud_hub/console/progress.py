"""How far a rollout is, for one line of a list: what its devices made of it, and where its waves end."""

from dataclasses import dataclass

from cloud_hub.console import words
from cloud_hub.console.drawing import Segment
from cloud_hub.rollouts.states import State
from cloud_hub.rollouts.views import CountsView, RolloutView

#: What was brought by a rollout in one of these was taken back, or is about to be.
BACK = frozenset({State.REVERTING, State.REVERTED, State.ABORTED})


@dataclass(frozen=True)
class Progress:
    """`segments` and the ends of `waves` lie on a line 100 wide, which stands for all eligible devices. `back`: what
    is drawn is what was taken back."""

    segments: tuple[Segment, ...]
    waves: tuple[float, ...]
    back: bool
    said: str


def following(rollout: RolloutView) -> int | None:
    """The next wave that adds somebody, from 0; None when there is none."""
    covered = rollout.waves[rollout.wave].covers if rollout.wave >= 0 else 0
    later = range(rollout.wave + 1, len(rollout.waves))
    return next((wave for wave in later if rollout.waves[wave].covers > covered), None)


def progress(rollout: RolloutView) -> Progress:
    """How far `rollout` is, or was when it was taken back."""
    counts, back = rollout.counts, State(rollout.state) in BACK
    said = f"{words.count(counts.succeeded)} of {words.plural(counts.eligible, 'device')} {'ran' if back else 'run'} it"
    if counts.failed:
        said += f", {words.count(counts.failed)} failed"
    ends = [100 * wave.covers / counts.eligible for wave in rollout.waves if counts.eligible]
    return Progress(_segments(counts), tuple(round(end, 2) for end in ends if end < 100), back, said)


def _segments(counts: CountsView) -> tuple[Segment, ...]:
    open_ones = counts.offered - counts.succeeded - counts.failed
    parts = (
        ("done", counts.succeeded, "succeeded"),
        ("failed", counts.failed, "failed"),
        ("pending", open_ones, "offered, and no verdict yet"),
    )
    segments, x = [], 0.0
    for css, number, said in parts:
        if number > 0 and counts.eligible:
            width = min(number * 100 / counts.eligible, 100 - x)
            segments.append(Segment(round(x, 2), round(width, 2), css, f"{words.plural(number, 'device')} {said}"))
            x += width
    return tuple(segments)
