"""The programs of the demo, by their command lines: hub, agent, model toolchain."""

import socket
from pathlib import Path
from secrets import SystemRandom

from fleet_client.cli.program import command
from fleet_client.demo.child import Child

LOOPBACK = "127.0.0.1"


#: What its systemd unit sets for an agent.
OF_AN_AGENT = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}


def free_port(preferred: int = 0) -> int:
    """`preferred` when nobody listens there, else any that is free."""
    # Below those that systems give to outgoing connections, which could be gone before the program listens there.
    for port in (*((preferred,) if preferred else ()), *SystemRandom().sample(range(20_000, 32_768), 20), 0):
        with socket.socket() as probe:
            # As servers do: what is left of a connection that was closed a minute ago does not hold the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no port is free on this machine")


def start_hub(folder: Path, log: Path, port: int, mqtt_port: int, *options: str) -> Child:
    """A hub on the data folder `folder`."""
    ports = ("--port", str(port), "--mqtt-port", str(mqtt_port))
    return Child("the hub", command("cloud_hub", "--data", str(folder), *ports, *options), log)


def join(name: str, token: str, config: Path, log: Path) -> Child:
    """A device that joins, and then ends."""
    return Child(f"joining {name}", command("edge_agent", "join", token, "--config", str(config)), log)


def start_agent(name: str, config: Path, log: Path) -> Child:
    """The agent of a device that has joined."""
    return Child(f"agent {name}", command("edge_agent", "run", "--config", str(config)), log, OF_AN_AGENT)


def start_build(out: Path, log: Path, *options: str) -> Child:
    """A build of the catalogue's digits into `out`."""
    return Child(f"building {out.name}", command("models", "build", "digits", "--out", str(out), *options), log)


def start_replay(out: Path, log: Path) -> Child:
    """An export of the held-out digits, for agents to replay."""
    return Child("exporting held-out images", command("models", "replay", "digits", "--out", str(out)), log)
