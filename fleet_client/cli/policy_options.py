"""The options that say how to roll out: one policy from all of them."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from fleet_client.policy import policy_of, read_policy
from fleet_client.policy_parts import parts_of

_SECONDS = click.FloatRange(0)
_PERCENT = click.FloatRange(0, 100)
_COUNT = click.IntRange(1)

_OPTIONS = (
    click.option("--wave", "waves", multiple=True, metavar="N|N%", help="A wave: so many devices, or a share of them. "
                 "[default: 1%, 5%, 25%, 100%]"),
    click.option("--select", metavar="EXPR", help="Only devices that this selector means: site = lyon and not "
                 "target in (tpu, cpu-vnni)"),
    click.option("--label", "-l", "labels", multiple=True, metavar="KEY=VALUE", help="Only devices with this label."),
    click.option("--target", "targets", multiple=True, help="Only devices of this hardware target."),
    click.option("--lab", metavar="EXPR", help="The first wave is exactly the devices that this selector means."),
    click.option("--soak", "soak_seconds", type=_SECONDS, metavar="SECONDS", help="How long half of each wave must "
                 "run it. [default: 60]"),
    click.option("--minimum-records", type=click.IntRange(0), help="How many records each wave must have answered. "
                 "[default: 200]"),
    click.option("--minimum-devices", type=_COUNT, help="How many devices of each wave must run it. [default: 1]"),
    click.option("--success", "success_percent", type=_PERCENT, metavar="PERCENT", help="Share of the devices heard "
                 "from that must run it. [default: 95]"),
    click.option("--heard", "heard_percent", type=_PERCENT, metavar="PERCENT", help="Share of each wave that must "
                 "have been heard from. [default: 50]"),
    click.option("--stop-failed", "stop_failed_percent", type=_PERCENT, metavar="PERCENT", help="Stop when more than "
                 "this share failed ... [default: 10]"),
    click.option("--stop-failed-after", type=_COUNT, metavar="N", help="... and so many devices are done with it. "
                 "[default: 20]"),
    click.option("--per-minute", type=click.FloatRange(0, min_open=True), metavar="N", help="At most so many devices "
                 "a minute ... [default: 20]"),
    click.option("--growth", type=click.FloatRange(1, 10), metavar="FACTOR", help="... growing by this as they "
                 "succeed ... [default: 2]"),
    click.option("--until-proven", is_flag=True, help="... and holding nobody while every gate is passed, "
                 "as the default rate does ..."),
    click.option("--jitter", type=_SECONDS, metavar="SECONDS", help="... each waiting up to so long of its own. "
                 "[default: 0]"),
    click.option("--max-in-flight", type=_COUNT, metavar="N", help="At most so many devices are under way at once."),
    click.option("--group", metavar="LABEL[=N]", help="Of devices with the same value of this label, at most N (1) "
                 "switch at once."),
    click.option("--approval", type=click.Choice(["none", "all", "after-first"]), help="Waves that a person approves. "
                 "[default: none]"),
    click.option("--second-person", is_flag=True, help="Who approves is not who created it."),
    click.option("--window", metavar="'DAYS HH:MM-HH:MM'", help="Devices switch only then, in their own time: "
                 "'mon-fri 22:00-04:00'"),
    click.option("--deadline", "deadline_seconds", type=click.FloatRange(0, min_open=True), metavar="SECONDS",
                 help="A device that is not done after so long has failed."),
    click.option("--retries", type=click.IntRange(0, 100), metavar="N", help="How often a device tries again what it "
                 "rejected. [default: 0]"),
    click.option("--on-stop", type=click.Choice(["revert", "pause"]), help="What becomes of it when a gate fails. "
                 "[default: revert]"),
    click.option("--policy", "file", type=click.Path(path_type=Path), metavar="FILE", help="A policy as JSON; the "
                 "options go over it."),
)  # fmt: skip


def policy_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options, and calls `function` with the `policy` that they make: only what was given."""

    @wraps(function)
    def command(
        *arguments: Any,
        file: Path | None,
        waves: tuple[str, ...],
        select: str | None,
        labels: tuple[str, ...],
        targets: tuple[str, ...],
        **options: Any,
    ) -> Any:
        plain = {name: options.pop(name) for name in _PLAIN}
        parts = {name: options.pop(name) for name in _PARTS}
        base = read_policy(file) if file else {}
        policy = policy_of(base, waves, labels, targets, plain, select) | parts_of(base, parts)
        return function(*arguments, policy=policy, **options)

    for option in reversed(_OPTIONS):
        command = option(command)
    return command


#: Fields of a policy, and what makes those that have fields themselves.
_PLAIN = (
    "lab",
    "soak_seconds",
    "minimum_records",
    "minimum_devices",
    "success_percent",
    "heard_percent",
    "stop_failed_percent",
    "stop_failed_after",
    "max_in_flight",
    "deadline_seconds",
    "retries",
    "on_stop",
)
_PARTS = ("per_minute", "growth", "until_proven", "jitter", "group", "approval", "second_person", "window")
