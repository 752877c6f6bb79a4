"""What ran on a device at some time, put there by whom and on what evidence."""

from datetime import datetime

from sqlalchemy import select
from sqlmodel import Session, col

from cloud_hub.devices import store as devices
from cloud_hub.devices.selector_sql import selected
from cloud_hub.devices.selectors import loosened
from cloud_hub.devices.tables import Device, DeviceRun
from cloud_hub.rollouts import pins, store
from cloud_hub.rollouts.engine import WAVE_OPENED
from cloud_hub.rollouts.shown import decision_view
from cloud_hub.rollouts.tables import DecisionRow, PinRow, RolloutRow
from cloud_hub.rollouts.views import RanView
from cloud_hub.rollouts.waves import place


def ran(session: Session, device: Device, at: datetime, model: str | None = None) -> list[RanView]:
    """What `device` ran at `at`, by model and slot."""
    return [_view(session, device, run) for run in devices.runs_at(session, device.id, at, model)]


def _view(session: Session, device: Device, run: DeviceRun) -> RanView:
    name = devices.put_there_by(session, run)
    pin = None if name is None else session.get(PinRow, name)
    row = None if name is None else store.find(session, name)
    opened = None if row is None else _opened(session, row, device, run.since)
    approved = None if opened is None else _approved(session, opened)
    return RanView(
        model=run.model,
        slot=run.slot,
        version=run.version,
        digest=run.digest,
        since=run.since,
        until=run.until,
        rollout=name,
        asked_by=pin.by if pin is not None else None if row is None else row.created_by,
        approved_by=None if approved is None else approved.made_by,
        wave=None if opened is None else opened.wave,
        decision=None if opened is None else decision_view(opened),
        pin=None if pin is None else pins.view(pin),
    )


def _opened(session: Session, row: RolloutRow, device: Device, since: datetime) -> DecisionRow | None:
    """The decision that opened the wave in which `row` reached `device`."""
    statement = select(DecisionRow).where(
        col(DecisionRow.rollout) == row.id, col(DecisionRow.because_code) == WAVE_OPENED, col(DecisionRow.at) <= since
    )
    opened = list(session.execute(statement.order_by(col(DecisionRow.number))).scalars())
    lines, at = store.lines_of(row), place(row.salt, device.id, lab=_in_lab(session, row, device))
    covering = [one for one in opened if one.wave < len(lines) and lines[one.wave].covers(device.target, at)]
    return covering[0] if covering else opened[-1] if opened else None


def _in_lab(session: Session, row: RolloutRow, device: Device) -> bool:
    lab = store.lab_of(row)
    if lab is None:
        return False
    meant = select(col(Device.id)).where(col(Device.id) == device.id, selected(loosened(lab)))
    return session.execute(meant).first() is not None


def _approved(session: Session, opened: DecisionRow) -> DecisionRow | None:
    """The approval that `opened` waited for, if it did."""
    statement = select(DecisionRow).where(
        col(DecisionRow.rollout) == opened.rollout,
        col(DecisionRow.because_code) == "approved",
        col(DecisionRow.wave) == opened.wave - 1,
        col(DecisionRow.number) < opened.number,
    )
    return session.execute(statement.order_by(col(DecisionRow.number).desc()).limit(1)).scalar_one_or_none()
