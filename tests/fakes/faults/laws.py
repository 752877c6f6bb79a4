"""What must hold of a device after any fault: it comes up, runs what it was proven to run, and gets where it should."""

import contextlib
import functools
import hashlib
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from edge_agent.core.steps import Trial
from edge_agent.runtimes import open_session
from edge_agent.runtimes.session import Session
from edge_agent.store.disk import Disk
from edge_agent.update.updater import Updater
from fleet_contract.report import Phase
from tests.fakes.blob_server import BlobServer
from tests.fakes.device import TRUST, a_desired, an_assignment
from tests.fakes.tiny_models import Build, a_build, a_linear_model, images, scores_of

MODEL = "digits"
ARTIFACT_BYTES = 150_000
#: How long a device may take to come up, and to get there: far more than it needs, on a busy machine too.
PATIENCE_SECONDS = 20.0


@functools.cache
def release(version: int) -> Build:
    """Version `version`, large enough to come in several pieces and to lie in several blocks."""
    model = onnx.load_from_string(a_linear_model(version))
    model.doc_string = random.Random(version).randbytes(ARTIFACT_BYTES // 2).hex()
    return a_build(version, artifact=model.SerializeToString())


@dataclass(frozen=True)
class Claims:
    """What a device had said and been told before the fault: the newest version `ordered` of it, the version that it
    said is `running`, 0 for none, and the `generation` that it said it follows and has on disk."""

    ordered: int = 0
    running: int = 0
    generation: int = 0

    def and_said(self, updater: Updater) -> "Claims":
        """These, and what `updater` says now."""
        state = updater.state()
        running = next((one.running.version for one in state.models if one.running is not None), 0)
        kept = any(one.code == "unsaved" or one.code.startswith("disk-") for one in state.troubles)
        return replace(self, running=running, generation=self.generation if kept else state.generation)


class Broken(AssertionError):
    """A law is broken."""


class Watched:
    """An updater that runs on a thread of its own, and tells when what it says has changed."""

    def __init__(self, folder: Path, server: BlobServer, disk: Disk | None = None) -> None:
        self.updater = Updater(
            folder, TRUST, server.url, trial=Trial(seconds=0.0), disk=disk, opener=_open_only_what_is_whole
        )
        self.changed = threading.Condition()
        self.updater.on_change = self._tell
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.updater.run, args=(self._stop,), daemon=True)

    def __enter__(self) -> "Watched":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.updater.wake()
        self._thread.join(PATIENCE_SECONDS)
        if self._thread.is_alive():
            raise Broken("the updater does not stop")

    def order(self, version: int, generation: int, query: str = "") -> None:
        self.updater.receive(a_desired(generation, an_assignment(release(version).manifest, query=query)))

    def running(self) -> int:
        """The version that answers, after it has answered as it should; 0 for none."""
        with self.updater.slot(MODEL).lease() as loaded:
            if loaded is None:
                return 0
            version = loaded.manifest.version
            scores = loaded.session.run({"image": images()})["scores"]
            if not np.allclose(scores, scores_of(version), atol=1e-4):
                raise Broken(f"version {version} answers what it should not")
            return version

    def phase(self) -> tuple[Phase, str] | None:
        return next(((one.phase, one.because.code) for one in self.updater.state().models if one.model == MODEL), None)

    def wait_until_running(self) -> int:
        with self.changed:
            self.changed.wait_for(lambda: self.updater.slot(MODEL).manifest is not None, PATIENCE_SECONDS)
        return self.running()

    def wait_until_settled(self, version: int) -> None:
        """Raises `Broken` when it rejects the version, or takes too long."""

        def over() -> bool:
            return self._has_settled(version) or (self.phase() or (None,))[0] is Phase.REJECTED

        with self.changed:
            self.changed.wait_for(over, PATIENCE_SECONDS)
        if not self._has_settled(version):
            raise Broken(f"version {version} is ordered, and it comes to {self.updater.state()}")

    def _has_settled(self, version: int) -> bool:
        found = next((one for one in self.updater.state().models if one.model == MODEL), None)
        return (
            found is not None
            and found.phase is Phase.SETTLED
            and found.wanted is not None
            and found.wanted.version == version
            and found.running == found.wanted
        )

    def _tell(self) -> None:
        with self.changed:
            self.changed.notify_all()


def examine(folder: Path, server: BlobServer, claims: Claims, target: int) -> str | None:
    """Starts a device on what a fault has left in `folder`, first without a network, then with one that orders version
    `target`. The law that is broken, in a sentence, or None."""
    try:
        _check_names(folder)
        with offline(server), Watched(folder, server) as device:
            _check_recalled(device, claims)
            server.status = None
            # Other URLs: what failed without a network is tried at once.
            generation = device.updater.state().generation + 1 + claims.ordered
            device.order(target, generation, query="?again")
            device.wait_until_settled(target)
            if device.running() != target:
                raise Broken(f"it says that version {target} runs, and it does not")
        _check_names(folder)
    except Exception as error:  # noqa: BLE001, whatever it is, the device did not come through
        return f"{type(error).__name__}: {error}"
    return None


@contextlib.contextmanager
def offline(server: BlobServer) -> Iterator[None]:
    """Nothing can be had from `server` in the block, until it says otherwise."""
    server.status = 503
    try:
        yield
    finally:
        server.status = None


def _check_recalled(device: Watched, claims: Claims) -> None:
    followed = device.updater.state().generation
    if followed < claims.generation:
        raise Broken(f"generation {claims.generation} was followed, and after the fault it is {followed}")
    if not claims.running:
        return
    version = device.wait_until_running()
    if not claims.running <= version <= claims.ordered:
        raise Broken(
            f"version {claims.running} ran and {claims.ordered} was ordered, and after the fault it is "
            f"{version or 'none'}: {device.updater.state()}"
        )


def _check_names(folder: Path) -> None:
    """A file under its final name is whole."""
    artifacts = folder / "artifacts"
    for path in artifacts.iterdir() if artifacts.exists() else ():
        if not path.suffix and (found := hashlib.sha256(path.read_bytes()).hexdigest()) != path.name:
            raise Broken(f"{path.name[:12]} has {path.stat().st_size} bytes, and the digest {found[:12]}")


def _open_only_what_is_whole(runtime: str, path: Path) -> Session:
    """The agent's own opener. Raises `Broken` when it is given what nobody has verified."""
    if hashlib.sha256(path.read_bytes()).hexdigest() != path.name:
        raise Broken(f"{path.name[:12]} is opened, and is not what it is named")
    return open_session(runtime, path)
