"""All the looks, in the order in which a person would take them."""

import os
import pwd
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from edge_agent import config as configuration
from edge_agent import identity
from edge_agent.config import Config
from edge_agent.doctor import hardware, network, storage, trust, work
from edge_agent.doctor.finding import Finding, Verdict, ok, unknown, wrong
from edge_agent.doctor.service import service
from edge_agent.doctor.serving import serving
from edge_agent.errors import ConfigWrong, NotJoined, StateUnusable
from edge_agent.state import StateFolder
from fleet_contract.join import Identity


def examine(path: Path) -> Iterator[Finding]:
    """Looks at the device whose config is at `path`. Each finding comes as soon as it is there."""
    config = Config()
    try:
        config = configuration.load(path)
        yield ok("config", f"{path} can be read.")
    except ConfigWrong as error:
        yield wrong("config", error.what, error.remedy or "Mend the config.")
    yield from service()
    state = StateFolder(config.state_dir)
    quotas = config.telemetry.spool_max_bytes, config.disk.artifacts_max_bytes, config.capture.max_bytes
    yield from storage.storage(state, *quotas)
    who = None
    try:
        who = identity.load(state)
        yield ok("identity", f"{who.device} of fleet {who.fleet}.")
    except NotJoined as error:
        yield wrong("identity", error.what, error.remedy)
    except StateUnusable as error:
        yield unknown("identity", error.what, "Run as root or as the agent's user; if that does not help, join again.")
    now = datetime.now(UTC)
    if who is None:
        yield trust.clock(None, now, None)
    else:
        yield from _fleet(who, state, now)
    findings, built = hardware.runtimes()
    yield from findings
    yield from hardware.hardware(built)
    yield from hardware.sources(config.sources)
    yield from work.models(state, now)
    yield from serving(config.serving, state)
    yield from work.artifacts(state)
    yield from work.refusals(state)
    yield from work.spool(state, config.telemetry.spool_max_bytes)


def become_owner(path: Path) -> list[Finding]:
    """Takes on the rights of whom the state folder belongs to: root's would hide what the agent may not do.

    For a process that only examines: it has no way back. Without root's rights, or a folder, nothing happens. Nor does
    it when that user cannot even read this Python, which is what is then found.
    """
    try:
        owner = configuration.load(path).state_dir.stat()
    except (ConfigWrong, OSError):
        return []
    if os.geteuid() != 0 or owner.st_uid == 0:
        return []
    try:
        name = pwd.getpwuid(owner.st_uid).pw_name
        groups = os.getgrouplist(name, owner.st_gid)
    except KeyError:
        name, groups = f"user {owner.st_uid}", []
    before = os.getgroups()
    os.setgroups(groups)
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    readable = os.access(os.__file__, os.R_OK, effective_ids=True)
    os.seteuid(0)
    os.setegid(0)
    if not readable:
        os.setgroups(before)
        place = Path(os.__file__).parent
        return [
            wrong(
                "python",
                f"{name}, whom the state folder belongs to, may not read {place}: the agent cannot run. All else is "
                "looked at with root's rights.",
                "Install Python and the agent where that user may read them, such as /opt/vedette.",
            )
        ]
    os.setgid(owner.st_gid)
    os.setuid(owner.st_uid)
    return []


def _fleet(who: Identity, state: StateFolder, now: datetime) -> Iterator[Finding]:
    hub = network.hub(who)
    yield trust.clock(who, now, hub.clock)
    yield from trust.certificate(who, state, now, hub.clock)
    yield hub.finding
    yield from network.broker(who, state)


def healthy(findings: list[Finding]) -> bool:
    """Whether nothing is wrong."""
    return all(one.verdict is not Verdict.WRONG for one in findings)
