"""`vedette rollouts ...`."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from fleet_client.cli.hub_options import Session, hub_command, seen_option
from fleet_client.cli.lazy import HELP, WordyGroup
from fleet_client.cli.lists import first, tell_rest
from fleet_client.cli.manifests import apply, diff, files_option, manifests_of, mark_option, schema, show_applied
from fleet_client.cli.output import ago
from fleet_client.cli.policy_options import policy_options
from fleet_client.cli.program import PASSED_ON, become
from fleet_client.cli.rollout_screen import follow, show_explanation, show_preview, show_rollout
from fleet_client.views import Rollout


@click.group(cls=WordyGroup, context_settings=HELP)
def rollouts() -> None:
    """Roll a version out, watch it, hold it, take it back."""


@rollouts.command("list")
@click.option("--model", help="Of this model.")
@click.option("--state", help="In this state (running, paused, completed, reverted, ...).")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many at most.")
@click.option("--watch", "-w", is_flag=True, help="Show it again whenever it changes.")
@hub_command
def list_rollouts(session: Session, model: str | None, state: str | None, limit: int, watch: bool) -> None:
    """List rollouts, newest first."""
    for _ in session.follow(watch, ["rollouts"]):
        page = first(partial(session.client.rollouts.page, model=model, state=state), limit)
        if session.output.json:
            session.output.document(page.items)
            continue
        session.output.table(
            ["rollout", "model", "version", "state", "wave", "devices", "changed", "because"],
            [_row(rollout) for rollout in page.items],
            "No rollout yet. Start one: vedette rollouts create MODEL VERSION",
        )
        tell_rest(page, "rollouts")


@rollouts.command(
    epilog="""\b
Examples:
  vedette rollouts create digits 2 --watch
  vedette rollouts create digits 2 --wave 1 --wave 10% --wave 100% --soak 600 --minimum-records 5000
  vedette rollouts create digits 2 --label site=lyon --on-stop pause
  vedette rollouts create digits 2 --select "agent >= 0.2 and not (site in (lyon, oslo) or model.digits = 1)"
  vedette rollouts create digits 2 --lab "bench = yes" --per-minute 20 --growth 2 --window "mon-fri 22:00-04:00"
  vedette rollouts create digits 2 --group ha-pair --approval after-first --second-person
  vedette rollouts create digits 2 --policy careful.json
  vedette rollouts create digits 3 --shadow             compare it with what answers, before it may
  vedette rollouts create -f rollout.yaml               as the manifest says, also when it has not changed
"""
)
@click.argument("model", required=False)
@click.argument("version", type=int, required=False)
@files_option
@policy_options
@click.option(
    "--shadow", is_flag=True, help="Run it beside the version that answers, on the same inputs, answering nobody."
)
@click.option("--salt", metavar="HEX", help="Of a preview: what it showed is what happens.")
@mark_option
@click.option("--watch", "-w", is_flag=True, help="Follow it until it ends; exit 0 only when it completed.")
@hub_command
def create(
    session: Session,
    model: str | None,
    version: int | None,
    files: tuple[Path, ...],
    policy: dict[str, Any],
    shadow: bool,
    salt: str | None,
    seen: str | None,
    watch: bool,
) -> int:
    """Roll VERSION of MODEL out, wave by wave; each waits for its evidence."""
    if files:
        if model is not None or policy or shadow or salt:
            raise click.UsageError("With --file, the manifest says all: leave out MODEL, VERSION and other options.")
        return _create_from(session, files, seen, watch)
    if model is None or version is None:
        raise click.UsageError("Name MODEL and VERSION, or a manifest with --file FILE.")
    if seen is not None:
        raise click.UsageError("--seen goes with --file: `vedette rollouts diff --again` prints it.")
    made = session.client.rollouts.create(model, version, policy, slot=_slot(shadow), salt=salt)
    if watch:
        return follow(session.client, session.output, made.id)
    show_rollout(session.output, made)
    if session.output.terminal:
        session.output.line(f"\nNext: vedette rollouts watch {made.id}")
    return 0


def _slot(shadow: bool) -> str:
    return "shadow" if shadow else "default"


def _create_from(session: Session, files: tuple[Path, ...], seen: str | None, watch: bool) -> int:
    manifests = manifests_of(files)
    if watch and (several := len(session.client.manifests.diff(manifests).manifests)) > 1:
        raise click.UsageError(f"One rollout can be watched, and these are {several}: leave out --watch.")
    applied = session.client.manifests.apply(manifests, again=True, seen=seen)
    started = [one.rollout.id for one in applied if one.rollout is not None]
    if not watch or not started:
        show_applied(session.output, applied)
        return 0
    return follow(session.client, session.output, started[0])


@rollouts.command(**PASSED_ON)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def simulate(arguments: tuple[str, ...]) -> None:
    """Play a rollout before it happens, on a simulated fleet: how far would a bad version get, how long takes a good
    one?"""
    become("cloud_hub.simulation", arguments, needs="pydantic", extra="hub")


@rollouts.command()
@click.argument("rollout")
@hub_command
def explain(session: Session, rollout: str) -> None:
    """Say why a rollout is not moving, and what would move it."""
    show_explanation(session.output, session.client.rollouts.explain(rollout))


@rollouts.command(
    epilog="""\b
Examples:
  vedette rollouts preview digits 2
  vedette rollouts preview digits 2 --wave 1 --wave 100% --select "site = lyon" --show-wave 2
"""
)
@click.argument("model")
@click.argument("version", type=int)
@policy_options
@click.option("--shadow", is_flag=True, help="As a shadow.")
@click.option("--salt", metavar="HEX", help="Of another preview, to see its other waves.")
@click.option("--show-wave", type=click.IntRange(1), default=1, show_default=True, help="Whose devices are listed.")
@click.option("--limit", type=click.IntRange(0, 500), default=50, show_default=True, help="At most so many of them.")
@hub_command
def preview(
    session: Session,
    model: str,
    version: int,
    policy: dict[str, Any],
    shadow: bool,
    salt: str | None,
    show_wave: int,
    limit: int,
) -> None:
    """Show exactly which devices each wave would have, and start nothing."""
    found = session.client.rollouts.preview(
        model, version, policy, slot=_slot(shadow), salt=salt, wave=show_wave - 1, limit=limit
    )
    show_preview(session.output, found)
    if session.output.terminal:
        session.output.line(f"\nCreate it with the same options and --salt {found.salt}, and this is what happens.")


@rollouts.command()
@click.argument("rollout")
@hub_command
def show(session: Session, rollout: str) -> None:
    """Show one rollout: how far it is, on what evidence, and what holds it."""
    show_rollout(session.output, session.client.rollouts.get(rollout))


@rollouts.command()
@click.argument("rollout")
@hub_command
def watch(session: Session, rollout: str) -> int:
    """Follow a rollout until it ends; exit 0 when it completed, 1 when it was stopped, reverted or replaced."""
    return follow(session.client, session.output, rollout)


@rollouts.command()
@click.argument("rollout")
@click.option("--reason", default="", help="Why, for whoever reads its history.")
@seen_option
@hub_command
def pause(session: Session, rollout: str, reason: str, seen: int | None) -> None:
    """Hold a rollout: nobody new is offered the version, nobody loses it."""
    show_rollout(session.output, session.client.rollouts.pause(rollout, reason, seen=seen))


@rollouts.command()
@click.argument("rollout")
@click.option("--reason", default="", help="Why, for whoever reads its history.")
@seen_option
@hub_command
def resume(session: Session, rollout: str, reason: str, seen: int | None) -> None:
    """Let a rollout that was paused or stopped go on."""
    show_rollout(session.output, session.client.rollouts.resume(rollout, reason, seen=seen))


@rollouts.command()
@click.argument("rollout")
@click.option("--reason", default="", help="Why, for whoever reads its history.")
@seen_option
@hub_command
def abort(session: Session, rollout: str, reason: str, seen: int | None) -> None:
    """Take the version back from every device that it was offered to."""
    show_rollout(session.output, session.client.rollouts.abort(rollout, reason, seen=seen))


@rollouts.command()
@click.argument("rollout")
@click.option("--reason", default="", help="Why, for whoever reads its history.")
@seen_option
@hub_command
def approve(session: Session, rollout: str, reason: str, seen: int | None) -> None:
    """Let the wave open that waits for an approval, or let stay what no gate can tell any more."""
    show_rollout(session.output, session.client.rollouts.approve(rollout, reason, seen=seen))


@rollouts.command()
@click.argument("rollout")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many at most.")
@hub_command
def decisions(session: Session, rollout: str, limit: int) -> None:
    """List what the hub decided on a rollout, newest first, and why."""
    page = first(partial(session.client.rollouts.decisions, rollout), limit)
    if session.output.json:
        session.output.document(page.items)
        return
    session.output.table(
        ["number", "at (UTC)", "by", "state", "wave", "because"],
        [
            [
                str(one.number),
                f"{one.at:%Y-%m-%d %H:%M:%S}",
                one.by or "the hub",
                one.state,
                str(one.wave + 1),
                str(one.because),
            ]
            for one in page.items
        ],
    )
    tell_rest(page, "decisions")


@rollouts.command()
@click.argument("rollout")
@hub_command
def gates(session: Session, rollout: str) -> None:
    """List what each gate measured over the time of a rollout, against its threshold."""
    found = session.client.rollouts.gates(rollout)
    if session.output.json:
        session.output.document(found)
        return
    session.output.table(
        ["gate", "at (UTC)", "verdict", "value", "lower", "upper", "threshold"],
        [
            [
                gate.name,
                f"{one.at:%Y-%m-%d %H:%M:%S}",
                one.verdict,
                *(f"{figure:.4g}" for figure in (one.value, one.lower, one.upper, one.threshold)),
            ]
            for gate in found
            for one in gate.readings
        ],
        "No gate has measured anything yet.",
    )


for _command in (diff, apply, schema):
    rollouts.add_command(_command)


def _row(rollout: Rollout) -> list[str]:
    return [
        rollout.id,
        rollout.model,
        str(rollout.version),
        rollout.state,
        f"{rollout.wave + 1} of {len(rollout.waves)}",
        f"{rollout.counts.succeeded} of {rollout.counts.eligible}",
        ago(rollout.updated_at),
        str(rollout.because),
    ]
