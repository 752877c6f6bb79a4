"""A device whose word is taken down, and checked: what it says runs has to answer as it should."""

import functools
import hashlib
import random
import threading
from collections.abc import Callable
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
PATIENCE_SECONDS = 120.0


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
        self.on_change: Callable[[], None] = lambda: None
        """Called on the updater's thread after each change of what it says."""
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

    def wait_until_running(self) -> int:
        """The version that answers as soon as one does; 0 when none comes to."""
        with self.changed:
            self.changed.wait_for(lambda: self.updater.slot(MODEL).manifest is not None, PATIENCE_SECONDS)
        return self.running()

    def wait_until_following(self, generation: int) -> None:
        """Until it has that order on disk. Raises `Broken` when it takes too long."""

        def following() -> bool:
            claims = Claims().and_said(self.updater)
            return claims.generation == generation

        with self.changed:
            if not self.changed.wait_for(following, PATIENCE_SECONDS):
                raise Broken(f"generation {generation} is not followed: {self.updater.state()}")

    def wait_until_settled(self, version: int) -> None:
        """Raises `Broken` when it rejects the version, or takes too long."""
        if not self.settles(version):
            raise Broken(f"version {version} is ordered, and it comes to {self.updater.state()}")

    def settles(self, version: int, unless: Callable[[], bool] = lambda: False) -> bool:
        """Whether it comes to run the version, and has not rejected it, before `unless` holds."""
        with self.changed:
            self.changed.wait_for(
                lambda: self._has_settled(version) or self._phase() is Phase.REJECTED or unless(), PATIENCE_SECONDS
            )
        return self._has_settled(version)

    def versions(self) -> list[int]:
        """The version that runs and the one before it, as far as there are such."""
        model = next(one for one in self.updater.state().models if one.model == MODEL)
        return [one.version for one in (model.running, model.previous) if one is not None]

    def _phase(self) -> Phase | None:
        return next((one.phase for one in self.updater.state().models if one.model == MODEL), None)

    def _has_settled(self, version: int) -> bool:
        found = next((one for one in self.updater.state().models if one.model == MODEL), None)
        return (
            found is not None
            and found.phase is Phase.SETTLED
            and found.wanted is not None
            and found.wanted.version == version
            and found.running == found.wanted
        )

    def wake(self) -> None:
        """Makes who waits look again."""
        with self.changed:
            self.changed.notify_all()

    def _tell(self) -> None:
        self.on_change()
        self.wake()


class Witness:
    """Takes down what `device` claims, until `close`; each change goes to `note`."""

    def __init__(self, device: Watched, claims: Claims, note: Callable[[Claims], None] = lambda _: None) -> None:
        self.claims = claims
        self._device = device
        self._note = note
        self._lock = threading.RLock()
        self._closed = False
        device.on_change = self._heard

    def ordered(self, version: int) -> None:
        """From now on `version` may run, whatever was said before."""
        with self._lock:
            if not self._closed:
                self._take_down(replace(self.claims, ordered=version))

    def close(self, last: Callable[[], None]) -> None:
        """Does `last`; what is said from its beginning on counts no more."""
        with self._lock:
            self._closed = True
            last()

    def _heard(self) -> None:
        with self._lock:
            if not self._closed:
                self._take_down(self.claims)

    def _take_down(self, claims: Claims) -> None:
        self.claims = claims.and_said(self._device.updater)
        self._note(self.claims)


def _open_only_what_is_whole(runtime: str, path: Path) -> Session:
    """The agent's own opener. Raises `Broken` when it is given what nobody has verified."""
    if hashlib.sha256(path.read_bytes()).hexdigest() != path.name:
        raise Broken(f"{path.name[:12]} is opened, and is not what it is named")
    return open_session(runtime, path)
