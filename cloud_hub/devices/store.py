"""All SQL on devices but that of the report stream, which is in `reports.py`, and of selectors (`selector_sql.py`)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Delete, Select, and_, case, delete, exists, func, or_, select, update
from sqlmodel import Session, col

from cloud_hub.database import upsert
from cloud_hub.devices.selector_sql import selected
from cloud_hub.devices.selectors import EVERYONE, Selector
from cloud_hub.devices.tables import Device, DeviceEvent, DeviceLabel, DeviceModel, DeviceRun
from cloud_hub.page import PageRequest, Rows, fetch
from fleet_contract.desired import DEFAULT_SLOT

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


@dataclass(frozen=True)
class DeviceFilter:
    """Which devices; all that is set must hold. `q` is a part of the id, the host name or a label's value."""

    q: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    selector: Selector = EVERYONE
    target: str | None = None
    presence: str | None = None
    model: str | None = None
    version: int | None = None
    phase: str | None = None
    rollout: str | None = None
    troubled: bool = False
    """Only those that `count_troubled` counts."""


def presence_now(silent_before: datetime) -> ColumnElement[str]:
    """Presence as it is: a device that said it was online, and has not been heard since `silent_before`, is silent."""
    silent = and_(col(Device.presence) == "online", col(Device.last_heard_at) < silent_before)
    return case((silent, "silent"), else_=col(Device.presence))


def page_of_devices(session: Session, wanted: DeviceFilter, request: PageRequest, silent_before: datetime) -> Rows:
    """A page of `Device` rows."""
    presence = presence_now(silent_before)
    return fetch(
        session,
        _filtered(select(Device), wanted, presence),
        request,
        sorts={
            "id": col(Device.id),
            "hostname": col(Device.hostname),
            "target": col(Device.target),
            "presence": presence,
            "last_heard_at": func.coalesce(col(Device.last_heard_at), _EPOCH),
            "joined_at": col(Device.joined_at),
            "agent_version": col(Device.agent_version),
        },
        default_sort="id",
        key=col(Device.id),
    )


def _filtered(statement: Select[Any], wanted: DeviceFilter, presence: ColumnElement[str]) -> Select[Any]:
    if wanted.q:
        text = wanted.q.lower()
        statement = statement.where(
            or_(
                col(Device.id).contains(text, autoescape=True),
                func.lower(col(Device.hostname)).contains(text, autoescape=True),
                exists().where(
                    col(DeviceLabel.device) == col(Device.id),
                    func.lower(col(DeviceLabel.value)).contains(text, autoescape=True),
                ),
            )
        )
    for key, value in wanted.labels.items():
        label = exists().where(col(DeviceLabel.device) == col(Device.id))
        statement = statement.where(label.where(col(DeviceLabel.key) == key, col(DeviceLabel.value) == value))
    if wanted.selector != EVERYONE:
        statement = statement.where(selected(wanted.selector))
    if wanted.target:
        statement = statement.where(col(Device.target) == wanted.target)
    if wanted.presence:
        statement = statement.where(presence == wanted.presence)
    if wanted.troubled:
        statement = statement.where(_troubled())
    on_model = [
        column == value
        for column, value in (
            (col(DeviceModel.model), wanted.model),
            (col(DeviceModel.running_version), wanted.version),
            (col(DeviceModel.phase), wanted.phase),
            (col(DeviceModel.rollout), wanted.rollout),
        )
        if value is not None
    ]
    if on_model:
        statement = statement.where(exists().where(col(DeviceModel.device) == col(Device.id), *on_model))
    return statement


def find(session: Session, device: str) -> Device | None:
    return session.get(Device, device)


def labels_of(session: Session, devices: Sequence[str]) -> dict[str, dict[str, str]]:
    """Labels by device, sorted by key."""
    found: dict[str, dict[str, str]] = {}
    rows = select(DeviceLabel).where(col(DeviceLabel.device).in_(devices)).order_by(col(DeviceLabel.key))
    for row in session.execute(rows).scalars():
        found.setdefault(row.device, {})[row.key] = row.value
    return found


def models_of(session: Session, devices: Sequence[str]) -> dict[str, list[DeviceModel]]:
    """Reported models by device, sorted by name."""
    found: dict[str, list[DeviceModel]] = {}
    rows = (
        select(DeviceModel)
        .where(col(DeviceModel.device).in_(devices))
        .order_by(col(DeviceModel.model), col(DeviceModel.slot))
    )
    for row in session.execute(rows).scalars():
        found.setdefault(row.device, []).append(row)
    return found


def set_labels(session: Session, device: str, labels: Mapping[str, str | None]) -> None:
    """Sets those that have a value, takes away those that are None, leaves others."""
    gone = [key for key, value in labels.items() if value is None]
    session.execute(delete(DeviceLabel).where(col(DeviceLabel.device) == device, col(DeviceLabel.key).in_(gone)))
    rows = [{"device": device, "key": key, "value": value} for key, value in labels.items() if value is not None]
    if rows:
        insert = upsert(session, DeviceLabel).values(rows)
        session.execute(
            insert.on_conflict_do_update(index_elements=["device", "key"], set_={"value": insert.excluded.value})
        )


def page_of_events(session: Session, device: str, request: PageRequest) -> Rows:
    """A page of `DeviceEvent` rows, newest first."""
    number = col(DeviceEvent.id)
    statement = select(DeviceEvent).where(col(DeviceEvent.device) == device)
    return fetch(session, statement, request, sorts={"number": number}, default_sort="-number", key=number)


def delete_events_before(at: datetime, session: Session, limit: int) -> int:
    """Deletes what happened before `at`, the oldest `limit` at most. How many these were."""
    oldest = select(col(DeviceEvent.id)).where(col(DeviceEvent.at) < at).order_by(col(DeviceEvent.at)).limit(limit)
    return _delete(session, delete(DeviceEvent).where(col(DeviceEvent.id).in_(oldest)))


def runs_at(session: Session, device: str, at: datetime, model: str | None) -> list[DeviceRun]:
    """What `device` ran at `at`, by model and slot."""
    run = DeviceRun
    lasts = or_(col(run.until).is_(None), col(run.until) > at)
    statement = select(run).where(col(run.device) == device, col(run.since) <= at, lasts)
    if model is not None:
        statement = statement.where(col(run.model) == model)
    return list(session.execute(statement.order_by(col(run.model), col(run.slot), col(run.id))).scalars())


def versions_before(session: Session, devices: Collection[str], at: datetime, model: str) -> dict[str, int]:
    """The version of `model` that answered on each of `devices` until `at`, or through it, where one did."""
    run = DeviceRun
    statement = select(col(run.device), col(run.version)).where(
        col(run.device).in_(sorted(devices)),
        col(run.model) == model,
        col(run.slot) == DEFAULT_SLOT,
        col(run.since) < at,
        or_(col(run.until).is_(None), col(run.until) >= at),
    )
    return {row.device: row.version for row in session.execute(statement)}


def first_run_by(session: Session, rollout: str) -> datetime | None:
    """When the first device came to run what `rollout` put there."""
    statement = select(col(DeviceRun.since)).where(col(DeviceRun.rollout) == rollout)
    return session.execute(statement.order_by(col(DeviceRun.since)).limit(1)).scalar_one_or_none()


def put_there_by(session: Session, run: DeviceRun) -> str | None:
    """The rollout that put what ran in `run` there; if the device went back to it, then the one that did so before."""
    if run.rollout is not None:
        return run.rollout
    statement = select(col(DeviceRun.rollout)).where(
        col(DeviceRun.device) == run.device,
        col(DeviceRun.model) == run.model,
        col(DeviceRun.slot) == run.slot,
        col(DeviceRun.digest) == run.digest,
        col(DeviceRun.since) <= run.since,
        col(DeviceRun.rollout).is_not(None),
    )
    return session.execute(statement.order_by(col(DeviceRun.id).desc()).limit(1)).scalar_one_or_none()


def end_runs(session: Session, device: str, at: datetime) -> None:
    """From `at` on nothing is known of what `device` runs."""
    of = (col(DeviceRun.device) == device, col(DeviceRun.until).is_(None))
    session.execute(update(DeviceRun).where(*of).values(until=at).execution_options(synchronize_session=False))


def delete_runs_before(at: datetime, session: Session, limit: int) -> int:
    """Deletes what ended before `at`, the oldest `limit` at most. How many these were."""
    oldest = select(col(DeviceRun.id)).where(col(DeviceRun.until) < at).order_by(col(DeviceRun.until)).limit(limit)
    return _delete(session, delete(DeviceRun).where(col(DeviceRun.id).in_(oldest)))


def _delete(session: Session, statement: Delete) -> int:
    done = session.execute(statement.execution_options(synchronize_session=False))
    return int(done.rowcount)  # type: ignore[attr-defined]


def count_by_presence(session: Session, silent_before: datetime) -> dict[str, int]:
    presence = presence_now(silent_before)
    return dict(session.execute(select(presence, func.count()).group_by(presence)).all())


def count_by_target(session: Session) -> dict[str, int]:
    target = col(Device.target)
    return dict(session.execute(select(target, func.count()).group_by(target).order_by(target)).all())


def targets(session: Session, devices: Collection[str]) -> dict[str, str]:
    """The hardware target of each of `devices` that is known."""
    statement = select(col(Device.id), col(Device.target)).where(col(Device.id).in_(devices))
    return dict(session.execute(statement).all())


def count_running(session: Session) -> Sequence[tuple[str, int, int]]:
    """Model, version and number of devices that answer with it, in order of the first two."""
    model, version = col(DeviceModel.model), col(DeviceModel.running_version)
    statement = select(model, version, func.count()).where(version.is_not(None), col(DeviceModel.slot) == DEFAULT_SLOT)
    return session.execute(statement.group_by(model, version).order_by(model, version)).all()


def count_troubled(session: Session) -> int:
    """Devices that say that something is wrong, refused a desired state, or rejected a model."""
    count: int = session.execute(select(func.count()).select_from(Device).where(_troubled())).scalar_one()
    return count


def _troubled() -> ColumnElement[bool]:
    rejected = exists().where(col(DeviceModel.device) == col(Device.id), col(DeviceModel.phase) == "rejected")
    return or_(col(Device.troubled), rejected)
