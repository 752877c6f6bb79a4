"""What is on disk, told to a person: no agent need run, and no hub be reached."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from edge_agent import identity, inventory
from edge_agent.capture.files import listed, on_disk_bytes
from edge_agent.config import Config
from edge_agent.core.journal import Journal, Order, current
from edge_agent.errors import StateUnusable
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
    lines += _captures(state.captures, config.capture.max_bytes)
    return "\n".join([*lines, *(models or ["Models  none yet"])]) + "\n"


def _captures(folder: Path, max_bytes: int) -> Iterator[str]:
    sizes = []
    try:
        for _, path in listed(folder):
            # A newer one may just have taken its room.
            with contextlib.suppress(FileNotFoundError):
                sizes.append(on_disk_bytes(path.stat().st_size))
    except OSError as error:
        raise StateUnusable(
            f"Cannot read the captures in {folder}: {error.strerror}.", "Run as the user who owns it."
        ) from error
    if max_bytes or sizes:
        bound = f" of {max_bytes:,}" if max_bytes else ""
        yield f"Inputs  {len(sizes)} kept for the next version, {sum(sizes):,}{bound} bytes"


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
