"""`vedette-agent`: join a fleet, run, and look at what is on disk."""

import gc
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import msgspec

from edge_agent import config as configuration
from edge_agent import lean_numpy
from edge_agent.config import Config
from fleet_contract.errors import VedetteError


def main(arguments: list[str] | None = None) -> int:
    """Runs one command. The exit code: 0, 1 when it failed (or the doctor found something), 2 when called wrongly."""
    options = _options(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _COMMANDS[options.command](options)
    except VedetteError as error:
        sys.stderr.write(f"vedette-agent: {error.what} [{error.code}]\n")
        if error.remedy:
            sys.stderr.write(f"  {error.remedy}\n")
        return 1
    except KeyboardInterrupt:
        return 1
    return code or 0


def _options(arguments: list[str]) -> SimpleNamespace:
    match arguments:
        case ["run", "--config", file] if not file.startswith("-"):
            # As the unit starts it. What understands all else takes 3 ms to import and to make.
            return SimpleNamespace(command="run", config=Path(file), log_level=None)
        case _:
            from edge_agent.arguments import parse

            return parse(arguments)


# Each command imports what it needs when it runs: the running agent stays without what only joining needs.


def _join(options: SimpleNamespace) -> None:
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


def _run(options: SimpleNamespace) -> None:
    lean_numpy.prepare()
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


def _status(options: SimpleNamespace) -> None:
    from edge_agent.status import describe

    sys.stdout.write(describe(configuration.load(options.config)))


def _captures(options: SimpleNamespace) -> None:
    from edge_agent.capture.copying import copy_all
    from edge_agent.capture.listing import look, told
    from edge_agent.state import StateFolder

    folder = StateFolder(configuration.load(options.config).state_dir).captures
    captures = look(folder)
    sys.stdout.write(str(copy_all(captures, options.copy)) if options.copy else told(folder, captures))


def _doctor(options: SimpleNamespace) -> int:
    from edge_agent.doctor.examination import become_owner, examine, healthy
    from edge_agent.doctor.finding import told

    findings = [*become_owner(options.config), *examine(options.config)]
    sys.stdout.write(msgspec.json.encode(findings).decode() + "\n" if options.json else told(findings))
    return 0 if healthy(findings) else 1


_COMMANDS: dict[str, Callable[[SimpleNamespace], int | None]] = {
    "join": _join,
    "run": _run,
    "status": _status,
    "captures": _captures,
    "doctor": _doctor,
}
