"""Gateways on paper, in front of a real database and the hub's real services: they obey orders when a test says so.

Reports and telemetry go in through the hub's own stores, as the link would bring them; orders come out of a
`RecordingLink`, and are opened as an agent opens them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from pydantic import BaseModel

from cloud_hub.access.store import put_device
from cloud_hub.blobs.capability import Capabilities
from cloud_hub.blobs.folder import FolderBlobs
from cloud_hub.changes import Changes
from cloud_hub.database import Database
from cloud_hub.devices.reports import take
from cloud_hub.devices.tables import Device
from cloud_hub.monitoring import store as monitoring
from cloud_hub.releases.service import ReleaseService
from cloud_hub.releases.views import ArtifactIn, VersionIn, VersionView
from cloud_hub.rollouts import store
from cloud_hub.rollouts.orders import Orders
from cloud_hub.rollouts.policy import Gates, Policy, Wave
from cloud_hub.rollouts.service import RolloutService
from cloud_hub.rollouts.views import RolloutIn
from fleet_contract.because import Because
from fleet_contract.desired import Assignment, Desired, open_desired
from fleet_contract.encoding import decode, encode
from fleet_contract.manifest import Blob, Golden, open_manifest
from fleet_contract.report import ModelReport, Phase, Presence, Release, Report
from fleet_contract.signing import PrivateKey, Signed
from fleet_contract.telemetry import Window
from fleet_contract.topics import Address, Channel
from tests.fakes.admission import FakeAdmission
from tests.fakes.clock import StoppedClock
from tests.fakes.link import RecordingLink
from tests.fakes.releases import a_manifest, blob_of

HUB_KEY, RELEASE_KEY = PrivateKey(b"h" * 32), PrivateKey(b"r" * 32)
_STARTED = datetime(2026, 11, 1, tzinfo=UTC)
TARGETS = ("cpu-vnni", "cpu-avx2")
_USUAL = {"0": 200, "1": 200, "2": 0}
#: A policy's gates, all of them off.
NO_GATES = {name: None for name, gate in Gates() if isinstance(gate, BaseModel)}


@dataclass
class Gateway:
    """What one gateway has done so far."""

    id: str
    target: str
    generation: int = 0
    number: int = 0
    sequence: int = 0
    models: dict[tuple[str, str], ModelReport] = field(default_factory=dict)


class PaperGateways:
    """Services as `app.py` wires them, with gateways to try them on."""

    def __init__(self, database: Database, folder: Path, clock: StoppedClock) -> None:
        self.database, self.clock = database, clock
        self.changes, self.link, self.admission = Changes(), RecordingLink(), FakeAdmission()
        self.blobs = FolderBlobs(folder, Capabilities(b"k" * 32), 1_000_000)
        self.releases = ReleaseService(database, self.blobs, self.admission, RELEASE_KEY, self.changes, clock)
        self.gateways: dict[str, Gateway] = {}
        self._newest: dict[str, bytes] = {}
        self._taken = self._told = 0
        self.start_hub()

    def start_hub(self) -> None:
        """The hub's deciding part, as after a start: nothing in memory."""
        self.orders = self.orders_of(self.database)
        self.rollouts = RolloutService(self.database, self.orders, self.changes, self.clock, silent_after_seconds=90)
        self.orders.sweep()

    def orders_of(self, database: Database) -> Orders:
        """As a hub on `database` has them."""
        return Orders(database, self.link, self.blobs, HUB_KEY, self.clock, silent_after=timedelta(seconds=90))

    def blob(self, content: str) -> Blob:
        data = content.encode()
        return self.blobs.put(blob_of(data).digest, [data])

    def register(self, model: str = "digits", *, targets: tuple[str, ...] = TARGETS, content: str = "") -> VersionView:
        """The next version of `model`, of made-up files."""
        artifacts = []
        for target in targets:
            artifact = self.blob(f"{model} {target} {content} {len(self.admission.seen)}")
            golden = Golden(self.blob(f"golden of {model}"), 8, 0.9, 0.5)
            manifest = a_manifest(0, model=model, target=target, artifact=artifact, golden=golden)
            artifacts.append(ArtifactIn(manifest=_document(manifest)))
        return self.releases.register(model, VersionIn(artifacts=artifacts))

    def join(self, *names: str, target: str = "cpu-vnni", **labels: str) -> None:
        for name in names:
            self.gateways[name] = Gateway(name, target)
            row = Device(id=name, fleet="default", target=target, key="k", joined_at=self.clock())
            with self.database.session() as session:
                put_device(session, row, labels, "It joined.")
            self.orders.touch(name)

    def desired(self, name: str) -> Desired | None:
        """The newest order that was published for `name`, opened as the gateway would."""
        for address, channel, payload in self.link.published[self._taken :]:
            if channel is Channel.DESIRED:
                self._newest[address.device] = payload
        self._taken = len(self.link.published)
        if name not in self._newest:
            return None
        address = Address("default", name)
        generation = self.gateways[name].generation
        return open_desired(self._newest[name], (HUB_KEY.public,), address, generation, self.clock())

    def generation_in(self, payload: bytes) -> int:
        """Of an order, as it was published."""
        return decode(decode(payload, Signed).signed, Desired).generation

    def published(self) -> list[str]:
        """The devices that orders were published for since this was last asked, each as often as there were."""
        names = [address.device for address, _, _ in self.link.published[self._told :]]
        self._told = len(self.link.published)
        return sorted(names)

    def assigned(self, name: str, model: str = "digits", slot: str = "default") -> Assignment | None:
        desired = self.desired(name)
        found = [one for one in desired.assignments if (one.model, one.slot) == (model, slot)] if desired else []
        return found[0] if found else None

    def version(self, name: str, model: str = "digits") -> int | None:
        """The version that `name` was last ordered to run."""
        found = self.assigned(name, model)
        return found.version if found else None

    def versions(self, model: str = "digits") -> dict[str, int | None]:
        return {name: self.version(name, model) for name in sorted(self.gateways)}

    def obey(self, *names: str, phase: Phase = Phase.SETTLED, code: str = "by-a-test") -> None:
        """Each of `names` (or all) follows its order, to success or to REJECTED, and reports."""
        names = names or tuple(self.gateways)
        for name in names:
            gateway, desired = self.gateways[name], self.desired(name)
            if desired is not None:
                gateway.generation = desired.generation
                gateway.models = {
                    (one.model, one.slot): self._after(gateway, one, phase, code) for one in desired.assignments
                }
        self.report(*names)

    def wait_for_window(self, *names: str) -> None:
        """Each of `names` has all ready, and its maintenance window is closed."""
        self.obey(*names, phase=Phase.PREFLIGHT, code="window-closed")

    def _after(self, gateway: Gateway, one: Assignment, phase: Phase, code: str) -> ModelReport:
        manifest = open_manifest(one.manifest, (RELEASE_KEY.public,))
        assert manifest.target == gateway.target
        release = Release(one.version, manifest.artifact.digest)
        before = gateway.models.get((one.model, one.slot))
        running = release if phase is Phase.SETTLED else before.running if before else None
        sentence = Because(code, "A test says so.")
        return ModelReport(
            one.model, phase, sentence, self.clock(), release, running, rollout=one.rollout, slot=one.slot
        )

    def report(self, *names: str, presence: Presence = Presence.ONLINE) -> None:
        """Each of `names` says how it is, and the hub hears it."""
        with self.database.session() as session:
            taken = take(session, [self._report(self.gateways[name], presence) for name in names], self.clock())
        for device, generation in taken.generations.items():
            self.orders.hear(device, generation)

    def _report(self, gateway: Gateway, presence: Presence) -> Report:
        gateway.number += 1
        return Report(
            fleet="default",
            device=gateway.id,
            boot="b1",
            number=gateway.number,
            presence=presence,
            sent_at=self.clock(),
            agent_version="0.1.0",
            target=gateway.target,
            generation=gateway.generation,
            started_at=_STARTED,
            models=tuple(gateway.models.values()),
        )

    def infer(self, *names: str, predictions: dict[str, int], errors: int = 0, agreed: int = 0) -> None:
        """Each of `names` (or all) answers that much with what it runs; `agreed` as a shadow."""
        at, count = int(self.clock().timestamp() * 1000), sum(predictions.values())
        arrived = []
        for name in names or tuple(self.gateways):
            gateway = self.gateways[name]
            for model in gateway.models.values():
                if model.running is None:
                    continue
                gateway.sequence += 1
                window = Window(
                    gateway.sequence,
                    model.model,
                    model.running.version,
                    model.running.digest,
                    at,
                    at,
                    count,
                    errors,
                    {10: count},
                    predictions,
                    (),
                    slot=model.slot,
                    compared=count if model.slot == "shadow" else 0,
                    agreed=agreed if model.slot == "shadow" else 0,
                )
                arrived.append(monitoring.Arrived(name, "b1", self.clock(), window))
        with self.database.session() as session:
            monitoring.insert(session, arrived)

    def run_version_1(self, model: str = "digits") -> None:
        """All gateways have run version 1 of `model`, which is registered here with a version 2, for some minutes."""
        self.register(model)
        self.register(model)
        at_once = Policy(waves=(Wave(percent=100),), rate=None, soak_seconds=0, gates=Gates.model_validate(NO_GATES))
        rollout = self.rollouts.create(RolloutIn(model=model, version=1, policy=at_once))
        self.play()
        assert self.rollouts.get(rollout.id).state == "completed"
        for _ in range(2):
            self.report(*self.gateways)
            self.infer(predictions=_USUAL)
            self.clock.pass_seconds(31)

    def play(self, ticks: int = 40, *, seconds: float = 31, each: Callable[[], None] = lambda: None) -> None:
        """So often, or until all rollouts are over: the hub decides, all gateways obey and infer well, `each`
        happens, and time passes."""
        for _ in range(ticks):
            self.rollouts.tick()
            self.obey()
            self.infer(predictions=_USUAL)
            each()
            self.clock.pass_seconds(seconds)
            with self.database.reading() as session:
                if not store.unfinished(session):
                    break
        self.rollouts.tick()


def _document(manifest: object) -> dict[str, object]:
    found: dict[str, object] = msgspec.json.decode(encode(manifest))
    return found
