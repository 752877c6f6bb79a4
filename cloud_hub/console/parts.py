"""What the console is made of: the subjects' services, and what every page needs."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cloud_hub.access.audit import AuditService
from cloud_hub.access.joining import JoinService
from cloud_hub.because import BecauseView
from cloud_hub.changes import Changes
from cloud_hub.devices.cohorts import CohortService
from cloud_hub.devices.service import DeviceService
from cloud_hub.lake.service import LakeService
from cloud_hub.manifests.service import ManifestService
from cloud_hub.monitoring.labels import LabelService
from cloud_hub.monitoring.service import MonitoringService
from cloud_hub.releases.service import ReleaseService
from cloud_hub.rollouts.freeze import FreezeService
from cloud_hub.rollouts.pins import PinService
from cloud_hub.rollouts.service import RolloutService


@dataclass(frozen=True)
class Parts:
    """`troubles` tells what is wrong with the hub itself, now; `now` is its clock."""

    devices: DeviceService
    joining: JoinService
    cohorts: CohortService
    releases: ReleaseService
    rollouts: RolloutService
    freeze: FreezeService
    pins: PinService
    manifests: ManifestService
    monitoring: MonitoringService
    labels: LabelService
    lake: LakeService
    audit: AuditService
    changes: Changes
    troubles: Callable[[], list[BecauseView]]
    now: Callable[[], datetime]
    fleet: str
    version: str
