"""A device's updater with a hub of a few lines behind it: keys, orders, and a thread that can be killed."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from edge_agent.core.steps import Trial
from edge_agent.update.intake import Trust
from edge_agent.update.updater import Updater, UpdaterState
from fleet_contract.desired import Assignment, Desired, sign_desired
from fleet_contract.encoding import encode
from fleet_contract.manifest import Manifest, sign_manifest
from fleet_contract.report import ModelReport, Phase
from fleet_contract.signing import PrivateKey, Signed
from fleet_contract.topics import Address
from fleet_contract.window import MaintenanceWindow
from tests.fakes.blob_server import BlobServer
from tests.fakes.releases import why
from tests.fakes.tiny_models import Build, images

HUB_KEY = PrivateKey(b"h" * 32)
RELEASE_KEY = PrivateKey(b"r" * 32)
ADDRESS = Address("default", "gw-1")
TRUST = Trust(ADDRESS, "cpu-vnni", (HUB_KEY.public,), (RELEASE_KEY.public,))


def an_assignment(
    manifest: Manifest, *, signed: Signed | None = None, query: str = "", window: MaintenanceWindow | None = None
) -> Assignment:
    digests = manifest.artifact.digest, manifest.golden.blob.digest
    return Assignment(
        model=manifest.model,
        version=manifest.version,
        manifest=signed or sign_manifest(manifest, RELEASE_KEY),
        artifact_url=f"/blobs/{digests[0]}{query}",
        golden_url=f"/blobs/{digests[1]}{query}",
        because=why(),
        rollout="r1",
        window=window,
    )


def a_desired(
    generation: int,
    *assignments: Assignment,
    key: PrivateKey = HUB_KEY,
    device: str = ADDRESS.device,
    expires_in: timedelta = timedelta(days=7),
) -> bytes:
    now = datetime.now(UTC)
    desired = Desired(ADDRESS.fleet, device, generation, now - timedelta(days=30), now + expires_in, assignments)
    return encode(sign_desired(desired, key))


@dataclass
class Device:
    """The updater of one device, and what it says."""

    updater: Updater
    server: BlobServer
    generation: int = 0
    states: list[UpdaterState] = field(default_factory=list)

    def order(self, *builds: Build, window: MaintenanceWindow | None = None) -> None:
        """A new generation that wants these."""
        for build in builds:
            self.server.blobs.update(build.blobs)
        self.generation += 1
        assignments = [an_assignment(build.manifest, window=window) for build in builds]
        self.updater.receive(a_desired(self.generation, *assignments))

    def model(self, name: str = "digits") -> ModelReport:
        return next(one for one in self.updater.state().models if one.model == name)

    def running(self, name: str = "digits") -> int | None:
        manifest = self.updater.slot(name).manifest
        return None if manifest is None else manifest.version

    def until(self, what: Callable[[], Any], seconds: float = 90.0) -> None:
        """Waits for something to come true, and says what is instead when it does not."""
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, self.updater.state()
            time.sleep(0.005)

    def until_settled(self, version: int, name: str = "digits") -> None:
        self.until(lambda: self.seen(name) == (Phase.SETTLED, version) and self.running(name) == version)

    def until_rejected(self, code: str, name: str = "digits") -> None:
        self.until(lambda: (Phase.REJECTED, code) in self.said(name))

    def until_because(self, code: str, name: str = "digits") -> None:
        self.until(lambda: code in {because for _, because in self.said(name)})

    def said(self, name: str) -> list[tuple[Phase, str]]:
        return [(one.phase, one.because.code) for one in self.updater.state().models if one.model == name]

    def seen(self, name: str = "digits") -> tuple[Phase, int | None] | None:
        for one in self.updater.state().models:
            if one.model == name:
                return one.phase, None if one.wanted is None else one.wanted.version
        return None

    def infer(self, name: str = "digits") -> np.ndarray | None:
        with self.updater.slot(name).lease() as loaded:
            return None if loaded is None else loaded.session.run({"image": images(1)})["scores"]


@contextmanager
def running(
    folder: Path,
    server: BlobServer,
    generation: int = 0,
    stop: threading.Event | None = None,
    trust: Trust = TRUST,
    **more: Any,
) -> Iterator[Device]:
    """A device whose updater runs on a thread until the block ends. Its trials end at once."""
    more.setdefault("trial", Trial(seconds=0.0))
    device = Device(Updater(folder, trust, server.url, **more), server, generation)
    device.updater.on_change = lambda: device.states.append(device.updater.state())
    stop = threading.Event() if stop is None else stop
    thread = threading.Thread(target=device.updater.run, args=(stop,))
    thread.start()
    try:
        yield device
    finally:
        stop.set()
        device.updater.wake()
        thread.join(60)
        assert not thread.is_alive()
