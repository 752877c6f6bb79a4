"""Pins: devices that rollouts do not move, with who, why and until when. They end by themselves."""

import logging
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, false, not_, or_, select, update
from sqlmodel import Session, col

from cloud_hub.access import once
from cloud_hub.access.actor import OPERATOR
from cloud_hub.access.once import RequestKey
from cloud_hub.changes import Changes
from cloud_hub.database import Database
from cloud_hub.devices import store as devices
from cloud_hub.devices.cohorts import resolved
from cloud_hub.devices.selector_sql import selected
from cloud_hub.devices.selector_text import parse
from cloud_hub.devices.selectors import text
from cloud_hub.devices.tables import Device
from cloud_hub.errors import Invalid, NotFound
from cloud_hub.releases import store as releases
from cloud_hub.revisions import AsSeen, check_seen
from cloud_hub.rollouts import turns
from cloud_hub.rollouts.pinned import PIN, Pin
from cloud_hub.rollouts.tables import PinRow
from cloud_hub.rollouts.views import PinIn, PinView

logger = logging.getLogger(__name__)

_TOGETHER = 50


def active(session: Session, now: datetime, devices: Sequence[str]) -> list[Pin]:
    """The pins that may hold one of `devices` `now`, the newest first; one that ends now is over."""
    theirs = or_(col(PinRow.device).is_(None), col(PinRow.device).in_(devices))
    return [_pin(session, row) for row in session.execute(_lasting(now).where(theirs)).scalars()]


def outside(session: Session, model: str, now: datetime) -> ColumnElement[bool]:
    """The condition on `Device` for those that a pin keeps from every rollout of `model`."""
    concerns = or_(col(PinRow.model).is_(None), col(PinRow.model) == model)
    rows = list(session.execute(_lasting(now).where(concerns)).scalars())
    by_selector = [selected(parse(row.selector)) for row in rows if row.selector is not None]
    if not any(row.device is not None for row in rows):
        # Nothing to look up for each of a million devices.
        return _any_of(by_selector)
    # A list that is made once, where EXISTS would be asked for each device.
    by_device = select(col(PinRow.device)).where(col(PinRow.device).is_not(None), concerns, *_lasts(now))
    return or_(col(Device.id).in_(by_device), _any_of(by_selector))


def _any_of(conditions: Sequence[ColumnElement[bool]]) -> ColumnElement[bool]:
    # SQLite takes an OR of many for as many levels of nesting, and 1,000 at the most: not (not any of some and ...).
    some = [or_(false(), *conditions[at : at + _TOGETHER]) for at in range(0, len(conditions), _TOGETHER)]
    return or_(false(), *some) if len(some) < 2 else not_(and_(*map(not_, some)))


def due(session: Session, now: datetime) -> list[PinRow]:
    """Those that began or ended, and whose devices have not been looked at since."""
    over = and_(col(PinRow.ended_at).is_(None), col(PinRow.until) <= now)
    return list(session.execute(select(PinRow).where(or_(col(PinRow.owed), over))).scalars())


def held_by(session: Session, row: PinRow) -> list[str]:
    """The devices that `row` is about."""
    if row.device is not None:
        return [row.device]
    return list(session.execute(select(col(Device.id)).where(selected(parse(row.selector or "")))).scalars())


def settle(session: Session, row: PinRow, now: datetime) -> None:
    """Notes that the devices of `row` have been looked at, and that it is over where it is."""
    values: dict[str, object] = {"owed": False}
    if row.ended_at is None and row.until <= now:
        values |= {"ended_at": row.until}
    # One that somebody ends meanwhile is looked at once more.
    same = col(PinRow.ended_at).is_(None) if row.ended_at is None else col(PinRow.ended_at) == row.ended_at
    seen = update(PinRow).where(col(PinRow.id) == row.id, same).values(**values)
    session.execute(seen.execution_options(synchronize_session=False))


class PinService:
    """Thread-safe. `woken`, when set, is called whenever pins change."""

    def __init__(self, database: Database, changes: Changes, now: Callable[[], datetime]) -> None:
        self._database = database
        self._changes = changes
        self._now = now
        self.woken: Callable[[], None] = lambda: None

    def list(self, device: str | None = None) -> list[PinView]:
        """The pins that hold now, the newest first; of `device`, those that hold it. Raises `NotFound`."""
        with self._database.reading() as session:
            rows = list(session.execute(_lasting(self._now())).scalars())
            if device is not None:
                _known(session, device)
                rows = [row for row in rows if _holds(session, row, device)]
        return [view(row) for row in rows]

    def pin(self, asked: PinIn, by: str = OPERATOR, request: RequestKey | None = None) -> PinView:
        """From now on rollouts leave it alone. A `request` that is sent again gets the pin that it made, also when that
        has ended. Raises `NotFound`, `Invalid`."""
        now = self._now()
        with self._database.session() as session:
            turns.saying(session)
            if (done := once.begin(session, request, now)) is not None:
                made = session.get(PinRow, done["pin"])
                return PinView.model_validate(done["view"]) if made is None else view(made)
            if asked.until <= now:
                raise Invalid(f"The pin would end at {asked.until:%Y-%m-%d %H:%M:%S} UTC, which is over.",
                              "Give a later time.", code="pin-over")  # fmt: skip
            if asked.device is not None:
                self._check(session, asked, _known(session, asked.device))
            elif asked.model is not None and asked.version is not None:
                releases.version(session, asked.model, asked.version)
            row = PinRow(
                id=f"{PIN}{secrets.token_hex(4)}",
                device=asked.device,
                selector=None if asked.selector is None else _written_out(session, asked.selector),
                model=asked.model,
                version=asked.version,
                reason=asked.reason,
                by=by,
                since=now,
                until=asked.until,
            )
            session.add(row)
            once.finish(session, request, {"pin": row.id, "view": view(row).model_dump(mode="json")})
        logger.info("%s: %s pinned %s: %s", row.id, by, asked.device or asked.selector, asked.reason)
        self._tell()
        return view(row)

    def unpin(self, pin: str, by: str = OPERATOR, seen: AsSeen = None) -> PinView:
        """Rollouts reach it again. Raises `NotFound` for one that does not hold (any more), `Stale`."""
        now = self._now()
        with self._database.session() as session:
            turns.saying(session)
            row = session.execute(_lasting(now).where(col(PinRow.id) == pin)).scalar_one_or_none()
            if row is None:
                raise NotFound(f"There is no pin {pin!r} that holds.", "`vedette devices pins` shows all.",
                               code="pin-unknown")  # fmt: skip
            check_seen(f"Pin {pin}", view(row).revision, seen)
            row.ended_at, row.ended_by, row.owed = now, by, True
        logger.info("%s ended %s", by, pin)
        self._tell()
        return view(row)

    def _check(self, session: Session, asked: PinIn, device: Device) -> None:
        if asked.model is not None and asked.version is not None:
            releases.version(session, asked.model, asked.version)
            releases.artifact(session, asked.model, asked.version, device.target)

    def _tell(self) -> None:
        self._changes.bump("rollouts", "devices")
        self.woken()


def _lasts(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return col(PinRow.ended_at).is_(None), col(PinRow.until) > now


def _lasting(now: datetime) -> Select[Any]:
    return select(PinRow).where(*_lasts(now)).order_by(col(PinRow.since).desc(), col(PinRow.id))


def _holds(session: Session, row: PinRow, device: str) -> bool:
    if row.device is not None:
        return row.device == device
    meant = select(col(Device.id)).where(col(Device.id) == device, selected(parse(row.selector or "")))
    return session.execute(meant).first() is not None


def _pin(session: Session, row: PinRow) -> Pin:
    artifacts = None
    if row.model is not None and row.version is not None:
        found = releases.artifacts(session, row.model, [row.version])[row.version]
        artifacts = {one.target: one.digest for one in found}
    selector = None if row.selector is None else parse(row.selector)
    return Pin(row.id, row.device, selector, row.model, row.version, artifacts)


def _written_out(session: Session, selector: str) -> str:
    """With its cohorts as they are now: what is pinned changes by no other hand. Raises `Invalid`."""
    said = text(resolved(session, parse(selector)))
    parse(said)
    return said


def _known(session: Session, device: str) -> Device:
    found = devices.find(session, device)
    if found is None:
        raise NotFound(f"There is no device {device!r}.", "`vedette devices list` shows all.", code="device-unknown")
    return found


def view(row: PinRow) -> PinView:
    """One pin as it is shown."""
    return PinView(
        id=row.id,
        device=row.device,
        selector=row.selector,
        model=row.model,
        version=row.version,
        reason=row.reason,
        by=row.by,
        since=row.since,
        until=row.until,
        ended_at=row.ended_at,
        # All that ever changes of it.
        revision=1 if row.ended_at is None else 2,
    )
