"""All SQL on join tokens and the audit, and the row that joining makes or renews."""

from collections.abc import Mapping
from datetime import datetime
from itertools import takewhile

from sqlalchemy import delete
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, select

from cloud_hub.access.tables import AuditRow, JoinTokenRow
from cloud_hub.devices import store as devices
from cloud_hub.devices.tables import Device, DeviceEvent, DeviceModel
from cloud_hub.page import PageRequest, Rows, fetch


def add_token(session: Session, token: JoinTokenRow) -> None:
    session.add(token)


def take_token(session: Session, secret_hash: str) -> JoinTokenRow | None:
    """The token, held until the session ends, so that two devices cannot use it at once."""
    return session.exec(
        select(JoinTokenRow).where(col(JoinTokenRow.secret_hash) == secret_hash).with_for_update()
    ).first()


def delete_tokens_before(session: Session, expired: datetime) -> None:
    session.execute(delete(JoinTokenRow).where(col(JoinTokenRow.expires_at) < expired))


def add_audit(session: Session, row: AuditRow) -> None:
    session.add(row)


def page_of_audit(session: Session, request: PageRequest, by: str | None, q: str | None) -> Rows:
    """A page of `AuditRow`, the newest first."""
    number = col(AuditRow.number)
    statement = sql_select(AuditRow)
    if by is not None:
        statement = statement.where(col(AuditRow.by) == by)
    if q is not None:
        statement = statement.where(col(AuditRow.path).contains(q, autoescape=True))
    return fetch(session, statement, request, sorts={"number": number}, default_sort="-number", key=number)


def delete_audit_before(session: Session, at: datetime, limit: int) -> int:
    """Deletes what was written before `at`, the oldest `limit` at most. How many these were."""
    number = col(AuditRow.number)
    oldest = session.execute(sql_select(number, col(AuditRow.at)).order_by(number).limit(limit))
    # Numbers rise with the time, and it has no index of its own.
    gone = [found for found, _ in takewhile(lambda row: row[1] < at, oldest)]
    if gone:
        session.execute(delete(AuditRow).where(number <= gone[-1]))
    return len(gone)


def put_device(session: Session, device: Device, labels: Mapping[str, str], sentence: str) -> None:
    """Adds the device, or gives the known one of that id its new key, target and names; other labels stay.

    What was said with another key is no evidence for the device that has this one: it was never heard from.
    """
    known = devices.find(session, device.id)
    if known is None:
        session.add(device)
        session.flush()
    else:
        if known.key != device.key:
            devices.end_runs(session, device.id, device.joined_at)
            session.execute(delete(DeviceModel).where(col(DeviceModel.device) == device.id))
            known.presence, known.last_heard_at, known.generation = "never", None, 0
            known.boot, known.boot_before, known.boot_started_at, known.number = None, known.boot, None, 0
            known.refused, known.spool, known.captures = None, None, None
            known.troubles, known.troubled = [], False
        known.key, known.target, known.joined_at = device.key, device.target, device.joined_at
        known.hostname, known.inventory = device.hostname, device.inventory
        known.agent_version, known.agent_order = device.agent_version, device.agent_order
    devices.set_labels(session, device.id, labels)
    session.add(DeviceEvent(device=device.id, at=device.joined_at, kind="joined", code="joined", sentence=sentence))
