"""`vedette freeze ...`."""

from datetime import UTC, datetime, timedelta

import click

from fleet_client.cli.hub_options import Session, Span, hub_command, seen_option
from fleet_client.cli.lazy import HELP, WordyGroup
from fleet_client.views import Freeze


@click.group(cls=WordyGroup, context_settings=HELP)
def freeze() -> None:
    """Let nothing move in the whole fleet, and let it move again."""


@freeze.command()
@click.argument("reason")
@click.option("--hours", type=Span(0, 87_600, min_open=True), help="End by itself after so long.")
@seen_option
@hub_command
def on(session: Session, reason: str, hours: float | None, seen: int | None) -> None:
    """Freeze the fleet: no device is ordered anything new, not even by a revert."""
    until = datetime.now(UTC) + timedelta(hours=hours) if hours else None
    _show(session, session.client.freeze.on(reason, until, seen=seen))


@freeze.command()
@seen_option
@hub_command
def off(session: Session, seen: int | None) -> None:
    """End the freeze: what was decided meanwhile is carried out."""
    _show(session, session.client.freeze.off(seen=seen))


@freeze.command()
@hub_command
def show(session: Session) -> None:
    """Say whether the fleet is frozen, by whom, why and until when."""
    _show(session, session.client.freeze.show())


def _show(session: Session, now: Freeze) -> None:
    if session.output.json:
        session.output.document(now)
    elif not now.frozen:
        session.output.line("The fleet is not frozen.")
    else:
        until = f"{now.until:%Y-%m-%d %H:%M} UTC" if now.until else "somebody ends it: vedette freeze off"
        since = f"{now.since:%Y-%m-%d %H:%M} UTC" if now.since else ""
        session.output.facts([("frozen by", now.by), ("because", now.reason), ("since", since), ("until", until)])
