"""A simulation told to a person: what happened, when and why, and what came of all runs."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from cloud_hub.simulation import chart
from cloud_hub.simulation.player import Moment, Played
from cloud_hub.simulation.report import Spread, Summary, worst_target

#: Of the decisions of one run, so many are told.
_MOMENTS = 14


def tell(console: Console, first: Played, summary: Summary) -> None:
    """The first run with its chart, and, of several, the summary."""
    console.print(chart.text(first), soft_wrap=True)
    console.print()
    for line in _story(first):
        console.print(line, markup=False, soft_wrap=True)
    console.print()
    for line in _outcome(first) if summary.runs == 1 else ():
        console.print(line, markup=False, soft_wrap=True)
    if summary.runs > 1:
        _distribution(console, summary)
    for line in _judgement(summary):
        console.print(line, markup=False, soft_wrap=True, style="bold")


def _story(played: Played) -> Iterator[str]:
    moments = [one for one in played.moments if one.because.code not in ("soaking", "devices-pending")]
    left_out = max(0, len(moments) - _MOMENTS)
    shown: list[Moment | None] = [*moments]
    if left_out:
        shown = [*moments[: _MOMENTS // 2], None, *moments[-_MOMENTS // 2 :]]
    for one in shown:
        yield f"  ... {left_out} more" if one is None else f"  {_clock(one.seconds):>8}  {one.because.sentence}"


def _outcome(played: Played) -> Iterator[str]:
    share = f"{played.exposed:,} of {played.devices:,} devices ({100 * played.exposed_share:.3g} %)"
    if played.stopped_seconds is not None:
        yield f"Stopped after {_clock(played.stopped_seconds)} at {share}."
        if len(played.exposed_by_target) > 1:
            yield f"Of the hardware target that it had got furthest on: {100 * worst_target(played):.3g} %."
    elif played.completed_seconds is not None:
        yield f"Completed after {_clock(played.completed_seconds)}; offered to {share}."
        if played.arrived_seconds is not None and played.arrived_seconds > played.completed_seconds:
            yield f"95 % of the devices that ever come had it after {_clock(played.arrived_seconds)}."
    else:
        yield f"Not over after {_clock(played.seconds)}, at {share}: {played.because.sentence}"


def _distribution(console: Console, summary: Summary) -> None:
    table = Table(title=f"{summary.runs} runs", title_justify="left", box=None, pad_edge=False)
    for name in ("", "5 %", "median", "95 %"):
        table.add_column(name, justify="left" if not name else "right")
    rows: tuple[tuple[str, Spread | None, str], ...] = (
        ("devices exposed", summary.exposed_devices, ",.0f"),
        ("... % of the fleet", summary.exposed_percent, ".3g"),
        ("... % of the target where most", summary.worst_target_percent, ".3g"),
        ("hours to the stop", summary.hours_to_stop, ".3g"),
        ("hours to complete", summary.hours_to_complete, ".3g"),
        ("hours until 95 % of all that come have it", summary.hours_to_arrive, ".3g"),
    )
    for name, spread, form in rows:
        if spread is not None:
            table.add_row(name, *(format(value, form) for value in (spread.p5, spread.p50, spread.p95)))
    console.print(table)
    completed, stopped, went_on = map(_percent, (summary.completed, summary.stopped, summary.unfinished))
    ends = f"{completed} completed, {stopped} were stopped, {went_on} went on."
    console.print(ends, markup=False, soft_wrap=True)


def _judgement(summary: Summary) -> Iterator[str]:
    if summary.complaints:
        named = " and ".join(summary.complaints)
        yield (
            f"The policy does not tolerate this version ({named}): stopping it is right, and "
            f"{_percent(summary.missed)} of the runs missed it."
        )
    else:
        false = _percent(summary.false_stops)
        yield f"The policy tolerates this version: a stop is false, and {false} of the runs had one."


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
