"""`vedette cohorts ...`."""

from collections.abc import Sequence

import click

from fleet_client.cli.hub_options import Session, hub_command, seen_option
from fleet_client.cli.lazy import HELP, WordyGroup
from fleet_client.views import SavedCohort


@click.group(cls=WordyGroup, context_settings=HELP)
def cohorts() -> None:
    """Save selectors under a name, and refer to them as cohort:NAME."""


@cohorts.command("list")
@hub_command
def list_cohorts(session: Session) -> None:
    """List saved cohorts, and how many devices each means now."""
    _show(session, session.client.cohorts.all(counted=True))


@cohorts.command()
@click.argument("name")
@hub_command
def show(session: Session, name: str) -> None:
    """Show what a cohort means, and how many devices that are now."""
    _show(session, [session.client.cohorts.get(name)])


@cohorts.command(
    epilog="""\b
Example:
  vedette cohorts create night "site in (lyon, oslo) and shift = night"
  vedette rollouts create digits 2 --select "cohort:night and not target = tpu"
"""
)
@click.argument("name")
@click.argument("selector")
@hub_command
def create(session: Session, name: str, selector: str) -> None:
    """Save SELECTOR as the cohort NAME."""
    _show(session, [session.client.cohorts.create(name, selector)])


@cohorts.command()
@click.argument("name")
@click.argument("selector")
@seen_option
@hub_command
def replace(session: Session, name: str, selector: str, seen: int | None) -> None:
    """Have NAME mean SELECTOR from now on; rollouts that exist keep what it said."""
    _show(session, [session.client.cohorts.replace(name, selector, seen=seen)])


@cohorts.command()
@click.argument("name")
@seen_option
@hub_command
def delete(session: Session, name: str, seen: int | None) -> None:
    """Delete the cohort NAME; refused while another refers to it."""
    _show(session, [session.client.cohorts.delete(name, seen=seen)])


def _show(session: Session, found: Sequence[SavedCohort]) -> None:
    if session.output.json:
        session.output.document(list(found))
        return
    session.output.table(
        ["cohort", "selector", "devices", "changed by", "at (UTC)"],
        [
            [
                one.name,
                one.selector or "all",
                "" if one.devices is None else str(one.devices),
                one.changed_by,
                f"{one.changed_at:%Y-%m-%d %H:%M}",
            ]
            for one in found
        ],
        'No cohort yet. Save one: vedette cohorts create NAME "site = lyon"',
    )
