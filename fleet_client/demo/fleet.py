"""The running parts of the demo: hub, agents, builds. All are watched while anything is waited for, and stopped."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from fleet_client import Client
from fleet_client.demo import programs
from fleet_client.demo.child import Child, stop_all
from fleet_client.demo.gateway import Gateway
from fleet_client.errors import ClientError, HubUnreachable

T = TypeVar("T")
_PAUSE_SECONDS = 0.15


class Stuck(ClientError):
    """The story did not go on within the time that it may take."""

    code = "demo-stuck"


class Fleet:
    """Everything below one folder: hub/, devices/, builds/, logs/."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.port = programs.free_port(port)
        # Beside the usual 8420 is the usual 8421.
        self.mqtt_port = programs.free_port(self.port + 1 if self.port < 65535 else 0)
        self.url = f"http://{programs.LOOPBACK}:{self.port}"
        self.client = Client(self.url)
        self._servants: list[Child] = []
        self._errands: list[Child] = []

    def start_hub(self) -> None:
        """Starts the hub; `hub_answers` tells when it is up."""
        self._keep(programs.start_hub(self.folder / "hub", self.logs / "hub.log", self.port, self.mqtt_port))

    def hub_answers(self) -> bool:
        with suppress(HubUnreachable):
            return bool(self.client.health())
        return False

    def start_build(self, name: str, *options: str) -> Child:
        """A build of digits into builds/`name`."""
        out = self.folder / "builds" / name
        return self._errand(programs.start_build(out, self.logs / f"build-{name}.log", *options))

    def start_replay(self) -> Child:
        """The export of the images that agents replay."""
        return self._errand(programs.start_replay(self.images, self.logs / "replay.log"))

    @property
    def images(self) -> Path:
        return self.folder / "builds" / "images.npz"

    def start_joining(self, gateway: Gateway, seed: int) -> Child:
        """A one-time token for `gateway`, and the device that uses it."""
        gateway.configure(self.images, seed=seed)
        token = self.client.devices.token(gateway.name, labels=gateway.labels, target=gateway.target).token
        log = self.logs / f"join-{gateway.name}.log"
        return self._errand(programs.join(gateway.name, token, gateway.config, log))

    def start_agent(self, gateway: Gateway) -> None:
        self._keep(programs.start_agent(gateway.name, gateway.config, self.logs / f"agent-{gateway.name}.log"))

    def wait(self, what: str, probe: Callable[[], T | None], seconds: float, failing: Callable[[], str]) -> T:
        """The first thing that `probe` gives that is true. `failing` says how things are when time runs out.

        Raises `ChildFailed` when a process ends that should not, `Stuck` after `seconds`.
        """
        deadline = time.monotonic() + seconds
        while True:
            self.check()
            if found := probe():
                return found
            if time.monotonic() > deadline:
                raise Stuck(f"After {seconds:g} s still not so: {what}. {failing()}".rstrip())
            time.sleep(_PAUSE_SECONDS)

    def finish(self, children: Sequence[Child], what: str, seconds: float) -> None:
        """Waits until all of `children` have ended well."""
        self.wait(
            what,
            lambda: all(child.returncode == 0 for child in children),
            seconds,
            lambda: ", ".join(child.name for child in children if child.returncode is None) + " still runs.",
        )

    def check(self) -> None:
        """Raises `ChildFailed` when a process has ended that should not have."""
        for child in self._servants:
            if child.returncode is not None:
                raise child.failed()
        for child in self._errands:
            if child.returncode not in (None, 0):
                raise child.failed()

    def revive(self) -> list[str]:
        """Starts hub and agents that have ended again, as systemd would. Gives what happened, a sentence each."""
        told = []
        for place, child in enumerate(self._servants):
            if child.returncode is not None:
                told.append(f"{child.name} ended with code {child.returncode}, and is started again.")
                self._servants[place] = child.again()
        return told

    def stop(self) -> None:
        """Agents first, so that they can say goodbye; the hub last."""
        self.client.close()
        stop_all([*self._errands, *self._servants[1:]])
        stop_all(self._servants[:1])

    def _keep(self, child: Child) -> None:
        self._servants.append(child)

    def _errand(self, child: Child) -> Child:
        self._errands.append(child)
        return child
