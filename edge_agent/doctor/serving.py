"""Looks at what applications on the gateway get: asks the running agent, as they do, which models answer."""

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

from edge_agent.config import Serving
from edge_agent.doctor.finding import Finding, ok, unknown, warning, wrong
from edge_agent.state import StateFolder

_TIMEOUT_SECONDS = 5.0


def serving(config: Serving, state: StateFolder) -> Iterator[Finding]:
    """Whether each model answers; nothing when no agent runs, or none is to serve."""
    if not config.enabled or not state.locked():
        return
    path = _socket(config, state)
    if path is None:
        says = "An agent runs, and where applications find it is not known: its note of it is missing or damaged."
        yield unknown("serving", says, "See that its disk has room and restart it, or set `socket` below [serving].")
        return
    try:
        models = _index(path)
    except PermissionError as error:
        yield unknown("serving", f"{path} cannot be asked: {error.strerror}.", "Run as root or as the agent's user.")
        return
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        says = f"An agent runs, and at {path} applications get no answer: {error}."
        yield wrong("serving", says, "See what the agent's log says.")
        return
    if answering := [name for name, reason in models.items() if not reason]:
        yield ok("serving", f"{', '.join(answering)} can be asked at {path}.")
    for name, reason in models.items():
        if reason:
            yield warning("serving", f"{name} cannot be asked: {reason}", "The agent's log says more.")
    if not models:
        yield ok("serving", f"The agent listens at {path}, and has no model yet.")


def _socket(config: Serving, state: StateFolder) -> Path | None:
    if config.socket:
        return Path(config.socket)
    # Not where this process would have it: the agent may have been started by another unit, or by hand.
    runtime = state.runtime()
    return None if runtime is None else runtime / "vedette.sock"


def _index(path: Path) -> dict[str, str]:
    """Each model, and why it does not answer, "" when it does."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.settimeout(_TIMEOUT_SECONDS)
        connection.sock.connect(str(path))
        connection.request("POST", "/v2/repository/index", "{}")
        models = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return {one["name"]: "" if one["state"] == "READY" else one["reason"] or "it is not ready" for one in models}
