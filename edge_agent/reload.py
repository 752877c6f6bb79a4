"""What a new config changes in an agent that runs, and what waits for its next start. No I/O."""

from collections.abc import Mapping
from typing import Any

import msgspec

from edge_agent.config import Config

#: What can be changed in an agent that runs, and all below it. The rest is woven into parts that live as long as it.
LIVE = (
    "heartbeat_seconds",
    "limits",
    "log_level",
    "sources",
    "timezone",
    "telemetry.window_seconds",
    "telemetry.spool_max_bytes",
    "disk",
    "capture",
)


class Changes(msgspec.Struct, frozen=True):
    """Dotted names of settings: those to be followed at once, and those that wait for a restart."""

    live: tuple[str, ...]
    waiting: tuple[str, ...]


def changes(running: Config, wanted: Config) -> Changes:
    """What differs between the config that the agent started with, or last followed, and a new one."""
    before, after = _leaves(running), _leaves(wanted)
    differing = [name for name in after if before[name] != after[name]]
    live = tuple(name for name in differing if _is_live(name))
    return Changes(live, tuple(name for name in differing if name not in live))


def followed(running: Config, wanted: Config) -> Config:
    """`running` with what can be changed at once taken from `wanted`."""
    mixed: Config = _mixed(running, wanted, "")
    return mixed


def _mixed(running: Any, wanted: Any, prefix: str) -> Any:
    taken: dict[str, Any] = {}
    for field in wanted.__struct_fields__:
        name, value = prefix + field, getattr(wanted, field)
        if _is_live(name):
            taken[field] = value
        elif isinstance(value, msgspec.Struct):
            taken[field] = _mixed(getattr(running, field), value, f"{name}.")
    return msgspec.structs.replace(running, **taken)


def _is_live(name: str) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in LIVE)


def _leaves(struct: Any, prefix: str = "") -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for field in struct.__struct_fields__:
        value = getattr(struct, field)
        if isinstance(value, msgspec.Struct):
            found |= _leaves(value, f"{prefix}{field}.")
        else:
            found[prefix + field] = value
    return found
