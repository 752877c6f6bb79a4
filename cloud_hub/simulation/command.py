"""`vedette rollouts simulate`: its options, its progress, and its answer."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cloud_hub.errors import Faulty, HubError, Invalid
from cloud_hub.rollouts.policy import Policy
from cloud_hub.simulation import chart, report
from cloud_hub.simulation.player import Played, Point, play
from cloud_hub.simulation.quantities import share
from cloud_hub.simulation.reading import read_policy
from cloud_hub.simulation.scenario import Scenario, complaints
from cloud_hub.simulation.told import tell

_EXAMPLES = """\b
Examples:
  vedette rollouts simulate --devices 1000000                   the default policy, a good version
  vedette rollouts simulate policy.yaml --error-rate 5%         how far does a version get that fails 5 %?
  vedette rollouts simulate policy.yaml --error-rate 5% --targets 6 --bad-target 2 --runs 50
  vedette rollouts simulate policy.yaml --drift 20% --runs 50   only the world changes: is it stopped falsely?
  vedette rollouts simulate policy.yaml --leak-hours 6 --svg leak.svg
  vedette rollouts simulate policy.yaml --failure-rate 2% --by-day 40% --flaky 10% --runs 20 -o json

Shares are written as 5% or 0.05. The same --seed gives the same answer.
"""


@click.command(
    epilog=_EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110, "show_default": True},
)
@click.argument("policy", required=False, type=click.Path(path_type=Path))
@click.option("--devices", default=10_000, metavar="N", help="The fleet: devices that the policy selects.")
@click.option("--targets", default=3, metavar="N", help="Hardware targets they are of.")
@click.option("--lab-devices", default=5, metavar="N", help="Of them: in the lab, where the policy names one.")
@click.option("--group-size", default=2, metavar="N", help="Devices of a group, where the policy names its label.")
@click.option("--absent", type=share, default=0.02, help="Of devices: never heard from.")
@click.option("--by-day", type=share, default=0.0, help="Of devices: connected from 8 to 18 of their local time only.")
@click.option("--zones-hours", default=0, metavar="N", help="Local times are spread over so many hours.")
@click.option("--flaky", type=share, default=0.0, help="Of devices: behind a link that fails now and again.")
@click.option(
    "--install-seconds",
    metavar="SECONDS",
    type=click.FloatRange(0),
    default=90.0,
    help="Median time from order to switch.",
)
@click.option(
    "--records-per-minute", metavar="N", type=click.FloatRange(0), default=60.0, help="Inferences of one device."
)
@click.option("--control-error-rate", type=share, default=0.001, help="Of inferences: fail with the version before.")
@click.option("--error-rate", type=share, default=None, help="Of inferences: fail with the new version.")
@click.option("--latency-ratio", metavar="N", type=click.FloatRange(1), default=1.0, help="How much slower it is.")
@click.option("--failure-rate", type=share, default=0.0, help="Of devices: cannot install the new version.")
@click.option("--prediction-shift", type=share, default=0.0, help="How far one label's share rises with it.")
@click.option(
    "--leak-hours",
    metavar="HOURS",
    type=click.FloatRange(0, min_open=True),
    help="Its memory is used up after so long.",
)
@click.option("--bad-target", type=int, metavar="N", help="All that is bad about it is so on target N only.")
@click.option("--drift", type=share, default=0.0, help="How far another label's share rises with every version.")
@click.option("--world-error-rate", type=share, default=0.0, help="Of inferences: fail with every version besides.")
@click.option(
    "--drift-hours",
    metavar="HOURS",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    help="How long the world takes.",
)
@click.option(
    "--start-hour", metavar="HOUR", type=click.FloatRange(0, 24), default=9.0, help="Local time when it starts."
)
@click.option(
    "--hours", metavar="HOURS", type=click.FloatRange(0, 24 * 31, min_open=True), default=168.0, help="When to give up."
)
@click.option(
    "--look-seconds", metavar="SECONDS", type=click.IntRange(1, 3600), default=10, help="How often the engine looks."
)
@click.option("--runs", type=click.IntRange(1, 10_000), default=1, metavar="N", help="How often to play it.")
@click.option("--seed", type=click.IntRange(0), default=1, metavar="N", help="Of the first run; then one more each.")
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), help="Draw the first run into this file.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="For people or programs.")
def simulate(
    policy: Path | None, runs: int, seed: int, svg: Path | None, output: str, look_seconds: int, **supposed: Any
) -> None:
    """Play a rollout before it happens: the hub's own engine and gates, on a simulated fleet.

    POLICY is a file in YAML, a policy alone or a Rollout manifest; without one, the default policy is played. The
    answer says how many devices had been exposed when a bad version was stopped, how long a good one takes, and what
    is stopped falsely.
    """
    asked = Policy() if policy is None else read_policy(policy)
    scenario = Scenario(look_seconds=float(look_seconds), **supposed)
    with _progress(runs, scenario.devices) as told:
        played = [play(asked, scenario, seed + number, told) for number in range(runs)]
    summary = report.summarise(played, complaints(scenario, asked))
    if svg is not None:
        _draw(svg, played[0])
    if output == "json":
        document = {
            "policy": asked.model_dump(mode="json"),
            "scenario": asdict(scenario),
            "summary": asdict(summary),
            "runs": [report.row(one) for one in played],
            "points": [asdict(point) for point in played[0].points],
            "moments": [
                {"seconds": one.seconds, "state": one.state.value, "because": {"code": one.because.code,
                 "sentence": one.because.sentence}} for one in played[0].moments
            ],
        }  # fmt: skip
        click.echo(json.dumps(document, indent=2))
        return
    tell(Console(highlight=False), played[0], summary)
    if svg is not None:
        click.echo(f"Drawn into {svg}.", err=True)


@contextmanager
def _progress(runs: int, devices: int) -> Iterator[Callable[[Point], None]]:
    """On a terminal, a bar that appears on stderr: runs that are over, or devices that have been reached."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _point: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task, done = bar.add_task("Building the fleet", total=runs), 0
        last = -1.0

        def told(point: Point) -> None:
            nonlocal done, last
            if point.seconds < last:
                done += 1
            last = point.seconds
            what = f"run {done + 1} of {runs}, {point.offered:,} of {devices:,} devices, {point.seconds / 3600:.1f} h"
            bar.update(task, completed=done + point.offered / devices, description=what)

        yield told


def _draw(path: Path, played: Played) -> None:
    try:
        exposed = f"{played.exposed:,} of {played.devices:,} devices ({100 * played.exposed_share:.3g} %)"
        path.write_text(chart.svg(played, f"{played.state.value.capitalize()}: {exposed} were offered it"))
    except OSError as error:
        raise Invalid(f"Cannot write {path}: {error.strerror}.", "Name another file.", code="svg-unwritable") from error


def main(arguments: list[str] | None = None) -> int:
    """Runs the command. The exit code: 0; 1 when the policy or scenario cannot be; 2 when it was called wrongly."""
    try:
        simulate.main(arguments, prog_name="vedette rollouts simulate", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Faulty as error:
        for fault in error.faults:
            number = str(fault.line)
            click.echo(f"{fault}\n  {number} | {fault.excerpt}", err=True)
            click.echo(f"  {' ' * len(number)} | {' ' * (fault.column - 1)}^", err=True)
        click.echo(f"Error: the policy cannot be used. [{error.code}]\n  {error.remedy}", err=True)
        return 1
    except HubError as error:
        remedy = f"\n  {error.remedy}" if error.remedy else ""
        click.echo(f"Error: {error.what} [{error.code}]{remedy}", err=True)
        return 1
    except (KeyboardInterrupt, click.Abort):
        return 130
    sys.stdout.flush()
    return 0
