"""`vedette version`."""

import click

from fleet_client import __version__
from fleet_client.cli.hub_options import Session, hub_command
from fleet_client.errors import HubUnreachable


@click.command()
@hub_command
def version(session: Session) -> None:
    """Show the release of this client and of the hub."""
    try:
        health = session.client.health()
    except HubUnreachable:
        health = None
    if session.output.json:
        session.output.document({"client": __version__, "hub": health.version if health else None})
        return
    session.output.facts(
        [
            ("client", __version__),
            ("hub", f"{health.version} at {session.client.url}" if health else f"none at {session.client.url}"),
        ]
    )
