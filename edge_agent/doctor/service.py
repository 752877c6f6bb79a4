"""Looks at the service: whether systemd runs the agent, and how that goes."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from edge_agent.doctor.finding import Finding, ok, unknown, warning, wrong

_UNIT = "vedette-agent.service"
_BOOTED = Path("/run/systemd/system")
#: So many restarts since the unit was started are no accident.
_MANY_RESTARTS = 3
_JOURNAL = f"`journalctl -u {_UNIT}` says why."


def service(booted: Path = _BOOTED) -> Iterator[Finding]:
    """The unit, where systemd is the manager."""
    if not booted.is_dir() or shutil.which("systemctl") is None:
        yield unknown("service", "systemd does not manage this device: something else must start the agent again.")
        return
    said = _properties()
    if said.get("LoadState") != "loaded":
        yield warning(
            "service",
            f"There is no {_UNIT}: nothing starts the agent with the device.",
            "Install provisioning/systemd/vedette-agent.service, then `systemctl enable --now vedette-agent`.",
        )
        return
    restarts = int(said.get("NRestarts") or 0)
    if said.get("ActiveState") != "active":
        yield wrong(
            "service",
            f"{_UNIT} is {said.get('ActiveState')}, after {said.get('Result')}.",
            f"`systemctl start vedette-agent`; {_JOURNAL}",
        )
    elif restarts > _MANY_RESTARTS:
        yield warning("service", f"{_UNIT} runs, and had to be started again {restarts} times.", _JOURNAL)
    else:
        yield ok("service", f"{_UNIT} runs as {said.get('User') or 'root'}.")
    if said.get("UnitFileState") not in ("enabled", "enabled-runtime"):
        yield warning("service", f"{_UNIT} is not started with the device.", "systemctl enable vedette-agent")


def _properties() -> dict[str, str]:
    names = "LoadState,ActiveState,UnitFileState,NRestarts,Result,User"
    done = subprocess.run(
        ["systemctl", "show", "--property", names, _UNIT], capture_output=True, text=True, timeout=10, check=False
    )
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
