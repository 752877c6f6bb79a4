"""`vedette-agent`: join a fleet, run, and look at what is on disk."""

import argparse
import gc
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec

from edge_agent import __version__
from edge_agent import config as configuration
from edge_agent.config import Config
from fleet_contract.errors import VedetteError

#: Where the unit has it.
DEFAULT_CONFIG = Path("/etc/vedette/agent.toml")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command. The exit code: 0, 1 when it failed (or the doctor found something), 2 when called wrongly."""
    options = _parser().parse_args(arguments)
    try:
        code: int | None = options.command(options)
    except VedetteError as error:
        sys.stderr.write(f"vedette-agent: {error.what} [{error.code}]\n")
        if error.remedy:
            sys.stderr.write(f"  {error.remedy}\n")
        return 1
    except KeyboardInterrupt:
        return 1
    return code or 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="vedette-agent", description="The device agent of Vedette.")
    parser.add_argument("--version", action="version", version=f"vedette-agent {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    join = commands.add_parser("join", help="join a fleet with a token from `vedette devices token`")
    join.add_argument("token")
    place = join.add_mutually_exclusive_group()
    place.add_argument("--config", type=Path, metavar="FILE", help="the agent's config, which names its state folder")
    place.add_argument("--state", type=Path, metavar="DIR", help="the state folder, when there is no config")
    join.add_argument("--target", help="the hardware target to ask artifacts for (default: detected)")
    join.set_defaults(command=_join)

    run = commands.add_parser("run", help="run the agent until it is stopped")
    run.add_argument("--config", type=Path, required=True, metavar="FILE")
    run.add_argument("--log-level", choices=("debug", "info", "warning", "error"), help="instead of the config's")
    run.set_defaults(command=_run)

    status = commands.add_parser("status", help="show what is on disk: identity, models, spool")
    status.add_argument("--config", type=Path, required=True, metavar="FILE")
    status.set_defaults(command=_status)

    doctor = commands.add_parser("doctor", help="say what is wrong with this device, and what to do about it")
    doctor.add_argument("--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="default: %(default)s")
    doctor.add_argument("--json", action="store_true", help="for programs: a list of findings")
    doctor.set_defaults(command=_doctor)
    return parser


class _Parser(argparse.ArgumentParser):
    """Lays out help as wide as the terminal. Left to itself, argparse asks how wide that is also where no help is
    wanted, and imports for it what copies files and unpacks archives: 3 ms of each start."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=_formatter, **options)


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.HelpFormatter(prog, width=_columns() - 2)


def _columns() -> int:
    if (told := os.environ.get("COLUMNS", "")).isdecimal() and int(told):
        return int(told)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (AttributeError, ValueError, OSError):
        return 80


# Each command imports what it needs when it runs: the running agent stays without what only joining needs.


def _join(options: argparse.Namespace) -> None:
    from edge_agent import identity, inventory
    from edge_agent.join import join
    from edge_agent.state import StateFolder
    from fleet_contract.join import parse_token

    token = parse_token(options.token)
    config = configuration.load(options.config) if options.config else Config()
    state = StateFolder((options.state or config.state_dir).absolute())
    state.lock()
    try:
        joined = join(state, token, options.target or config.target or inventory.detect_target())
        identity.save(state, joined)
    finally:
        state.unlock()
    file = options.config or "FILE"
    sys.stdout.write(
        f"Joined fleet {joined.fleet} as {joined.device}, target {joined.target}.\n"
        f"  hub     {joined.hub}\n"
        f"  broker  {joined.broker.host}:{joined.broker.port}{' (TLS)' if joined.broker.tls else ''}\n"
        f"  state   {state.path}\n"
        f"Next: vedette-agent run --config {file}\n"
    )
    if options.config is None:
        sys.stdout.write(f'  with at least this line in FILE: state_dir = "{state.path}"\n')


def _run(options: argparse.Namespace) -> None:
    # Before NumPy is imported: its BLAS takes memory for each thread that it may use, and nothing here needs two.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Nothing that starting makes is garbage. The agent resumes looking for it.
    gc.disable()
    # What reaches us before the agent can listen must not end it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})

    def load() -> Config:
        config = configuration.load(options.config)
        return msgspec.structs.replace(config, log_level=options.log_level or config.log_level)

    try:
        config = load()
        logging.basicConfig(
            stream=sys.stderr, level=config.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        from edge_agent.agent import run

        run(config, load)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        gc.unfreeze()
        gc.enable()


def _status(options: argparse.Namespace) -> None:
    from edge_agent.status import describe

    sys.stdout.write(describe(configuration.load(options.config)))


def _doctor(options: argparse.Namespace) -> int:
    from edge_agent.doctor.examination import become_owner, examine, healthy
    from edge_agent.doctor.finding import told

    findings = [*become_owner(options.config), *examine(options.config)]
    sys.stdout.write(msgspec.json.encode(findings).decode() + "\n" if options.json else told(findings))
    return 0 if healthy(findings) else 1
