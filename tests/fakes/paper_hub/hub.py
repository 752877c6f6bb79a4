"""A fleet that exists only on paper, behind the services that the console asks: for its tests and its dev server."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from cloud_hub.because import BecauseView
from cloud_hub.changes import Changes
from cloud_hub.console.parts import Parts
from cloud_hub.manifests.service import ManifestService
from tests.fakes.paper_hub.access import FakeAudit, FakeRequests
from tests.fakes.paper_hub.cohorts import FakeCohorts
from tests.fakes.paper_hub.devices import FakeDevices
from tests.fakes.paper_hub.holds import FakeFreeze, FakePins
from tests.fakes.paper_hub.joining import FakeJoining
from tests.fakes.paper_hub.labels import FakeLabels
from tests.fakes.paper_hub.lake import FakeLake
from tests.fakes.paper_hub.monitoring import FakeMonitoring
from tests.fakes.paper_hub.releases import FakeReleases
from tests.fakes.paper_hub.rollouts import FakeRollouts


@dataclass
class FakeHub:
    """All of it; `parts` is what the console is made of."""

    now: Callable[[], datetime]
    changes: Changes
    devices: FakeDevices
    releases: FakeReleases
    rollouts: FakeRollouts
    monitoring: FakeMonitoring
    lake: FakeLake
    cohorts: FakeCohorts = field(init=False)
    freeze: FakeFreeze = field(default_factory=FakeFreeze)
    pins: FakePins = field(default_factory=FakePins)
    joining: FakeJoining = field(default_factory=FakeJoining)
    labels: FakeLabels = field(default_factory=FakeLabels)
    audit: FakeAudit = field(default_factory=FakeAudit)
    troubles: list[BecauseView] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cohorts = FakeCohorts(lambda selector: sum(self.rollouts.matching(selector).values()), self.now)
        self.rollouts.cohorts = self.cohorts.saved

    @property
    def parts(self) -> Parts:
        return Parts(
            devices=self.devices,
            joining=self.joining,
            cohorts=self.cohorts,
            releases=self.releases,
            rollouts=self.rollouts,
            freeze=self.freeze,
            pins=self.pins,
            manifests=ManifestService(self.rollouts, self.cohorts, FakeRequests()),
            monitoring=self.monitoring,
            labels=self.labels,
            lake=self.lake,
            audit=self.audit,
            changes=self.changes,
            troubles=lambda: self.troubles,
            now=self.now,
            fleet="default",
            version="0.1.0",
        )
