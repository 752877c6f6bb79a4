"""What `vedette-agent` can be told on its command line."""

import argparse
from pathlib import Path
from types import SimpleNamespace

from edge_agent import __version__

#: Where the unit has it.
DEFAULT_CONFIG = Path("/etc/vedette/agent.toml")


def parse(arguments: list[str]) -> SimpleNamespace:
    """The options, with `command` among them; ends the process where help was asked for, or the call is wrong."""
    return _parser().parse_args(arguments, SimpleNamespace())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vedette-agent", description="The device agent of Vedette.")
    parser.add_argument("--version", action="version", version=f"vedette-agent {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    join = commands.add_parser("join", help="join a fleet with a token from `vedette devices token`")
    join.add_argument("token")
    place = join.add_mutually_exclusive_group()
    place.add_argument("--config", type=Path, metavar="FILE", help="the agent's config, which names its state folder")
    place.add_argument("--state", type=Path, metavar="DIR", help="the state folder, when there is no config")
    join.add_argument("--target", help="the hardware target to ask artifacts for (default: detected)")

    run = commands.add_parser("run", help="run the agent until it is stopped")
    run.add_argument("--config", type=Path, required=True, metavar="FILE")
    run.add_argument("--log-level", choices=("debug", "info", "warning", "error"), help="instead of the config's")

    status = commands.add_parser("status", help="show what is on disk: identity, models, spool")
    status.add_argument("--config", type=Path, required=True, metavar="FILE")

    captures = commands.add_parser(
        "captures",
        help="list the inputs that this device has kept for the next version, or copy them off",
        description="List the inputs that this device has kept, the oldest first: what the model said of each, and why "
        "it was kept. The agent need not run.",
        epilog="Each is a file that numpy.load reads: the arrays inputs/NAME have one row each, as in a golden set, "
        "and about.json tells what the list does. They stay on this device until newer ones need their room "
        "([capture] max_bytes in the config); remove what you like, also while the agent runs.",
    )
    captures.add_argument("--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="default: %(default)s")
    captures.add_argument(
        "--copy", type=Path, metavar="FOLDER", help="copy them there instead; what is there already is not copied again"
    )

    doctor = commands.add_parser("doctor", help="say what is wrong with this device, and what to do about it")
    doctor.add_argument("--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="default: %(default)s")
    doctor.add_argument("--json", action="store_true", help="for programs: a list of findings")
    return parser
