"""The freeze: while it lasts, no device is ordered anything new. One switch for the whole fleet, with who and why."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select, update
from sqlmodel import Session, col

from cloud_hub.access.actor import OPERATOR
from cloud_hub.changes import Changes
from cloud_hub.database import Database
from cloud_hub.errors import Conflict, Invalid
from cloud_hub.revisions import AsSeen, check_seen
from cloud_hub.rollouts import turns
from cloud_hub.rollouts.tables import FreezeRow
from cloud_hub.rollouts.views import FreezeIn, FreezeView

logger = logging.getLogger(__name__)


class FleetFrozen(Conflict):
    """Something would move, and nothing may."""

    code = "fleet-frozen"


@dataclass(frozen=True)
class Freeze:
    """Why nothing moves, who said so, since when, and until when (None: until somebody ends it)."""

    reason: str
    by: str
    since: datetime
    until: datetime | None

    @property
    def sentence(self) -> str:
        until = f" until {self.until:%Y-%m-%d %H:%M} UTC" if self.until else ""
        return f"{self.by} froze the fleet at {self.since:%Y-%m-%d %H:%M} UTC{until}: {self.reason.rstrip('.')}."


def active(session: Session, now: datetime) -> Freeze | None:
    """The freeze that lasts `now`, if any does; one that ends now is over."""
    lasts = or_(col(FreezeRow.until).is_(None), col(FreezeRow.until) > now)
    statement = select(FreezeRow).where(col(FreezeRow.ended_at).is_(None), lasts)
    row = session.execute(statement.order_by(col(FreezeRow.id).desc()).limit(1)).scalar_one_or_none()
    return None if row is None else Freeze(row.reason, row.by, row.since, row.until)


def newest(session: Session) -> int:
    """The number of the newest freeze, over or not: another than before, and there was one meanwhile. 0 without any."""
    return session.execute(select(func.max(FreezeRow.id))).scalar_one() or 0


def refuse_if_frozen(session: Session, now: datetime) -> None:
    """Raises `FleetFrozen`."""
    if found := active(session, now):
        raise FleetFrozen(found.sentence, "`vedette freeze off` lets the fleet move again.")


class FreezeService:
    """Thread-safe. `woken`, when set, is called whenever it begins or ends."""

    def __init__(self, database: Database, changes: Changes, now: Callable[[], datetime]) -> None:
        self._database = database
        self._changes = changes
        self._now = now
        self.woken: Callable[[], None] = lambda: None

    def show(self) -> FreezeView:
        with self._database.reading() as session:
            found, revision = active(session, self._now()), _revision(session, self._now())
        if found is None:
            return FreezeView(frozen=False, revision=revision)
        return FreezeView(
            frozen=True, revision=revision, reason=found.reason, by=found.by, since=found.since, until=found.until
        )

    def begin(self, asked: FreezeIn, by: str = OPERATOR, seen: AsSeen = None) -> FreezeView:
        """From now on nothing moves; instead of a freeze that lasts, this one does. Raises `Invalid`, `Stale`."""
        now = self._now()
        if asked.until is not None and asked.until <= now:
            raise Invalid(f"The freeze would end at {asked.until:%Y-%m-%d %H:%M:%S} UTC, which is over.",
                          "Give a later time, or none.", code="freeze-over")  # fmt: skip
        with self._database.session() as session:
            turns.saying(session)
            check_seen("The freeze", _revision(session, now), seen)
            _end(session, now, by)
            session.add(FreezeRow(reason=asked.reason, by=by, since=now, until=asked.until))
        logger.info("%s froze the fleet: %s", by, asked.reason)
        self._tell()
        return self.show()

    def end(self, by: str = OPERATOR, seen: AsSeen = None) -> FreezeView:
        """The fleet may move again; so it may already when it was not frozen. Raises `Stale`."""
        now = self._now()
        with self._database.session() as session:
            turns.saying(session)
            check_seen("The freeze", _revision(session, now), seen)
            _end(session, now, by)
        logger.info("%s ended the freeze", by)
        self._tell()
        return self.show()

    def _tell(self) -> None:
        self._changes.bump("rollouts", "devices")
        self.woken()


def _revision(session: Session, now: datetime) -> int:
    """Rises whenever a freeze begins or ends, by somebody or by itself."""
    return 2 * newest(session) - (active(session, now) is not None)


def _end(session: Session, now: datetime, by: str) -> None:
    lasting = update(FreezeRow).where(col(FreezeRow.ended_at).is_(None))
    session.execute(lasting.values(ended_at=now, ended_by=by).execution_options(synchronize_session=False))
