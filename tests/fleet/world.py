"""A real hub and real agents as processes, for tests: started, killed, started again, and always stopped."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import paho.mqtt.client as mqtt

from fleet_client import Client
from fleet_client.demo.gateway import Gateway
from fleet_client.demo.programs import free_port, join, start_agent, start_hub
from fleet_client.errors import HubUnreachable
from fleet_client.views import Device, Rollout

T = TypeVar("T")
NO_GATES = {"errors": None, "predictions": None}
#: What is waited for comes in seconds. A machine that does other things beside it, or whose disk stalls, may take
#: minutes, and that is no fault of what is tested.
PATIENCE_SECONDS = 240.0


def eventually(
    probe: Callable[[], T | None], what: str | Callable[[], str], seconds: float = PATIENCE_SECONDS, pause: float = 0.1
) -> T:
    """The first thing that `probe` gives that is true. Fails with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = probe()
        if found:
            return found
        assert time.monotonic() < deadline, f"After {seconds:g} s still not so: {what() if callable(what) else what}"
        time.sleep(pause)


def patient_client(url: str) -> Client:
    """A client that waits for an answer for as long as a test waits for anything."""
    return Client(url, timeout_seconds=PATIENCE_SECONDS)


class Hub:
    """A hub process with its broker, on ports that stay the same when it is started again."""

    def __init__(self, folder: Path, *options: str, data: Path | None = None) -> None:
        self.folder, self.data = folder, data or folder / "data"
        self.port, self.mqtt_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = patient_client(self.url)
        self._options = options
        self.start()

    def start(self) -> None:
        """Starts it, again after `stop` or `kill`, and waits until it answers."""
        self.child = start_hub(self.data, self.folder / "hub.log", self.port, self.mqtt_port, *self._options)

        def answers() -> bool:
            assert self.child.returncode is None, f"The hub ended:\n{self.child.tail(40)}"
            with suppress(HubUnreachable):
                return bool(self.client.health())
            return False

        eventually(answers, "the hub answers")

    def stop(self) -> None:
        self.child.stop()

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nobody is told."""
        self.child.kill()

    @property
    def log(self) -> str:
        return self.child.log.read_text(errors="replace")


class Agent:
    """An agent process with a state folder of its own, joined to a hub."""

    def __init__(self, hub: Hub, gateway: Gateway) -> None:
        self.name, self.gateway, self.hub = gateway.name, gateway, hub
        self._log = gateway.folder / "agent.log"
        token = hub.client.devices.token(gateway.name, labels=gateway.labels, target=gateway.target).token
        join(gateway.name, token, gateway.config, gateway.folder / "join.log").finish(PATIENCE_SECONDS)
        self.start()

    def start(self) -> None:
        """Starts it, again after `stop` or `kill`."""
        self.child = start_agent(self.name, self.gateway.config, self._log)

    def stop(self) -> None:
        self.child.stop()

    def kill(self) -> None:
        self.child.kill()

    @property
    def state(self) -> Path:
        return self.gateway.folder / "state"

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def spooled_bytes(self) -> int:
        """How much of its telemetry waits on its disk."""
        total = 0
        for file in (self.state / "spool").rglob("*"):
            # What is acked is deleted while we look.
            with suppress(FileNotFoundError):
                total += file.stat().st_size if file.is_file() else 0
        return total

    def seen(self) -> Device:
        """The device as the hub shows it."""
        return self.hub.client.devices.get(self.name)

    def online(self) -> Device:
        """Waits until the hub has heard from it."""

        def heard() -> Device | None:
            assert self.child.returncode is None, f"The agent ended:\n{self.child.tail(40)}"
            device = self.seen()
            return device if device.presence == "online" else None

        return eventually(heard, f"{self.name} is online")

    def runs(self, model: str, version: int, seconds: float = PATIENCE_SECONDS) -> Device:
        """Waits until it says that it has settled on `version`."""

        def settled() -> Device | None:
            assert self.child.returncode is None, f"The agent ended:\n{self.child.tail(40)}"
            device = self.seen()
            one = device.model(model)
            right = one is not None and one.running is not None and one.running.version == version
            return device if right and one is not None and one.phase == "settled" else None

        return eventually(
            settled, lambda: f"{self.name} runs {model} {version}; it is {self.seen().model(model)}", seconds
        )


AgentFactory = Callable[..., Agent]


def publish(hub: Hub, topic: str, payload: bytes) -> None:
    """Sends a message through the hub's broker, as anybody who reaches it could."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "a-stranger", protocol=mqtt.MQTTv5)
    client.connect("127.0.0.1", hub.mqtt_port)
    client.loop_start()
    try:
        client.publish(topic, payload, qos=1).wait_for_publish(PATIENCE_SECONDS)
    finally:
        client.disconnect()
        client.loop_stop()


def vedette(hub: Hub, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line, asking `hub`."""
    return subprocess.run(
        [sys.executable, "-m", "fleet_client", "--hub", hub.url, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


def rolled_out(hub: Hub, version: int, *agents: Agent, **policy: object) -> Rollout:
    """Rolls `version` of digits out to everybody at once, and waits until all `agents` run it."""
    at_once = {
        "waves": [{"percent": 100}],
        "soak_seconds": 0,
        "minimum_records": 0,
        "gates": NO_GATES,
        "rate": None,
        **policy,
    }
    made = hub.client.rollouts.create("digits", version, at_once)
    for agent in agents:
        agent.runs("digits", version)
    return made


def ended(hub: Hub, rollout: str) -> Rollout:
    """Waits until nothing more will happen to it."""

    def over() -> Rollout | None:
        found = hub.client.rollouts.get(rollout)
        return found if found.ended else None

    return eventually(over, f"rollout {rollout} has ended")


def make_agent(
    hub: Hub,
    folder: Path,
    replay: Path,
    name: str,
    labels: Mapping[str, str] | None = None,
    target: str = "cpu-vnni",
    rate_per_second: float = 50.0,
    more: str = "",
) -> Agent:
    """A joined agent that replays `replay` into digits, with `more` in its config."""
    gateway = Gateway(name, dict(labels or {}), target, folder / name)
    gateway.configure(replay, rate_per_second=rate_per_second)
    gateway.config.write_text(gateway.config.read_text() + more)
    return Agent(hub, gateway)
