"""`vedette hub`: the hub in this very process, so that signals and exit codes are its own."""

import click

from fleet_client.cli.program import become


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def hub(arguments: tuple[str, ...]) -> None:
    """Run a hub: API, console, broker, lake. `vedette hub --help` lists its options."""
    become("cloud_hub", arguments, needs="uvicorn", extra="hub")
