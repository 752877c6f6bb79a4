"""Tells systemd that we are ready and alive (sd_notify), when it asks."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path


def notify(message: str, environment: Mapping[str, str] = os.environ) -> None:
    """Sends `message` ("READY=1") to the service manager; does nothing when there is none."""
    path = environment.get("NOTIFY_SOCKET")
    if not path:
        return
    # A leading @ is systemd's way to write an abstract socket.
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
        try:
            manager.connect(address)
            manager.send(message.encode())
        except OSError:
            # Nobody to tell, then; the manager's own timeout says so better than we could.
            return


def runtime_folder(otherwise: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """Where sockets for others belong, and what needs no disk: the unit's first RuntimeDirectory=, or `otherwise`."""
    first = environment.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(first) if first else otherwise


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """How often to say WATCHDOG=1, half of what the manager allows; None when it does not watch."""
    allowed = environment.get("WATCHDOG_USEC", "")
    return int(allowed) / 2_000_000 if allowed.isdigit() and int(allowed) else None
