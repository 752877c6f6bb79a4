"""The SQL of the lake's ingest: what the hub knows of devices."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlmodel import Session, col

from cloud_hub.devices.store import labels_of
from cloud_hub.devices.tables import Device
from cloud_hub.lake.rows import Origin


def origins(session: Session, devices: Sequence[str]) -> dict[str, Origin]:
    """The target and labels, now, of those of `devices` that have joined."""
    labels = labels_of(session, devices)
    targets = session.execute(select(col(Device.id), col(Device.target)).where(col(Device.id).in_(devices)))
    return {device: Origin(target, labels.get(device, {})) for device, target in targets}
