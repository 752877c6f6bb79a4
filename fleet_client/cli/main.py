"""`vedette`: its commands, and what becomes of their errors."""

import click

from fleet_client.cli.lazy import HELP, LazyGroup
from fleet_client.cli.output import complain
from fleet_contract.errors import VedetteError

_EXAMPLES = """\b
Start here:
  vedette demo                                       a whole fleet on this machine, in two minutes
  vedette hub --data ./hub                           a hub of your own
  vedette models build digits --out build/digits     train, compile, check
  vedette models register build/digits               upload, check again, sign, number
  vedette devices token --label site=lyon            a one-time token for `vedette-agent join`
  vedette rollouts create digits 1 --watch           in waves, each waiting for its evidence
  vedette lake query "SELECT version, sum(count) FROM windows GROUP BY version"
"""


@click.group(
    cls=LazyGroup,
    commands_at={
        "hub": ("fleet_client.cli.hub:hub", "Run a hub: API, console, broker, lake."),
        "demo": ("fleet_client.cli.demo:demo", "A hub, six agents, a good rollout and a bad one."),
        "devices": ("fleet_client.cli.devices:devices", "Find devices, label them, let new ones join."),
        "models": ("fleet_client.cli.models:models", "Build, register and look at models."),
        "rollouts": ("fleet_client.cli.rollouts:rollouts", "Roll a version out, watch it, hold it, take it back."),
        "cohorts": ("fleet_client.cli.cohorts:cohorts", "Save selectors under a name."),
        "freeze": ("fleet_client.cli.freeze:freeze", "Let nothing move in the whole fleet, and let it move again."),
        "lake": ("fleet_client.cli.lake:lake", "SQL over what the devices sent."),
        "audit": ("fleet_client.cli.audit:audit", "Who wrote what on the hub, and when."),
        "version": ("fleet_client.cli.version:version", "The release of this client and of the hub."),
    },
    epilog=_EXAMPLES,
    context_settings=HELP,
)
@click.version_option(package_name="vedette", message="%(version)s")
@click.option("--hub", "hub_url", metavar="URL", help="The hub's address. [env: VEDETTE_HUB; default: loopback:8420]")
@click.pass_context
def vedette(context: click.Context, hub_url: str | None) -> None:
    """Compile, roll out and watch quantized models on the gateways at the edge of a network."""
    context.obj = hub_url


def main(arguments: list[str] | None = None) -> int:
    """Runs one command. The exit code: 0; 1 when it failed; 2 when it was called wrongly; 128 + the signal when it was
    interrupted (130) or its reader went away (141), as a shell has it."""
    try:
        outcome = vedette.main(arguments, prog_name="vedette", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except VedetteError as error:
        complain(error)
        return 1
    except (KeyboardInterrupt, click.Abort):
        return 130
    return outcome if isinstance(outcome, int) else 0
