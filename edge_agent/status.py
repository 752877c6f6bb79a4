"""What is on disk, told to a person: no agent need run, and no hub be reached."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from edge_agent import identity, inventory
from edge_agent.config import Config
from edge_agent.core.journal import Journal, Order, current
from edge_agent.state import StateFolder
from edge_agent.telemetry.spool import look
from fleet_contract.manifest import Manifest


def describe(config: Config) -> str:
    """The text of `vedette-agent status`. Raises `NotJoined` or `StateUnusable`."""
    state = StateFolder(config.state_dir)
    who = identity.load(state)
    spool = look(state.spool)
    lines = [
        f"Device  {who.device} of fleet {who.fleet}, target {config.target or who.target} "
        f"(this CPU: {inventory.detect_target()})",
        f"Hub     {who.hub}",
        f"Broker  {who.broker.host}:{who.broker.port}{' (TLS)' if who.broker.tls else ''}",
        f"Agent   {'running' if state.locked() else 'not running'}",
        f"Spool   {spool.records} windows, {spool.lanes['events'].records} events and "
        f"{spool.lanes['samples'].records} samples wait for the hub, "
        f"{spool.dropped} windows dropped, {spool.size_bytes:,} bytes",
    ]
    models = list(_models(state.journals))
    return "\n".join([*lines, *(models or ["Models  none yet"])]) + "\n"


def _models(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*.json")):
        try:
            journal = msgspec.json.decode(path.read_bytes(), type=Journal)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            yield f"Model   {path.stem}: its journal {path} cannot be read: {error}"
            continue
        yield f"Model   {journal.key}: {journal.phase} since {journal.since:%Y-%m-%d %H:%M:%S} UTC"
        yield f"          {journal.because}"
        yield f"          runs {_version(current(journal))}, before that {_version(journal.previous)}"
        if isinstance(journal.wanted, Order):
            yield f"          wanted {_version(journal.wanted.manifest)}"
        elif journal.wanted is not None:
            yield f"          wanted version {journal.wanted.release.version}, refused: {journal.wanted.because}"


def _version(manifest: Manifest | None) -> str:
    return "nothing" if manifest is None else f"version {manifest.version} ({manifest.artifact.digest[:19]})"
