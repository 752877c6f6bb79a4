"""Devices that have joined, and a service over them."""

from collections.abc import Callable

import pytest

from cloud_hub.access.store import put_device
from cloud_hub.changes import Changes
from cloud_hub.database import Database
from cloud_hub.devices.service import DeviceService
from cloud_hub.devices.tables import Device
from tests.fakes.clock import StoppedClock

Join = Callable[..., None]


@pytest.fixture
def changes() -> Changes:
    return Changes()


@pytest.fixture
def join(database: Database, clock: StoppedClock) -> Join:
    """`join("gw-1", target=..., site="lyon")` adds a device with labels."""

    def join(device: str, target: str = "cpu-avx2", **labels: str) -> None:
        row = Device(id=device, fleet="default", target=target, key="k", hostname=f"host-{device}", joined_at=clock())
        with database.session() as session:
            put_device(session, row, labels, "It joined.")

    return join


@pytest.fixture
def devices(database: Database, changes: Changes, clock: StoppedClock) -> DeviceService:
    return DeviceService(database, changes, clock, silent_after_seconds=90)
