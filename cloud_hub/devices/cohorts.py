"""Saved cohorts: selectors with a name, to be referred to as cohort:NAME."""

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col

from cloud_hub.access import once
from cloud_hub.access.once import RequestKey
from cloud_hub.changes import Changes
from cloud_hub.database import Database
from cloud_hub.devices.selector_sql import selected
from cloud_hub.devices.selector_text import parse
from cloud_hub.devices.selectors import Selector, SelectorTooLarge, cohorts_of, written_out
from cloud_hub.devices.tables import CohortRow, Device
from cloud_hub.devices.views import CohortIn, CohortView
from cloud_hub.errors import Conflict, Invalid, NotFound, Stale
from cloud_hub.revisions import AsSeen, check_seen
from fleet_contract.topics import check_id

logger = logging.getLogger(__name__)

#: Of all that lock something in a PostgreSQL that we may share, this number is ours.
_TURN = 0x76656465747467


def texts_of(session: Session, selectors: Iterable[Selector]) -> dict[str, str]:
    """What the cohorts that `selectors` refer to say now, and those that these refer to. Raises `Invalid`."""
    found: dict[str, str] = {}
    asked = {name for selector in selectors for name in cohorts_of(selector)}
    while asked:
        rows = session.execute(select(CohortRow).where(col(CohortRow.name).in_(asked))).scalars()
        fresh = {row.name: row.selector for row in rows}
        if missing := sorted(asked - fresh.keys()):
            raise Invalid(
                f"There is no cohort {missing[0]!r}.", "`vedette cohorts list` shows all.", code="cohort-unknown"
            )
        found |= fresh
        asked = {name for said in fresh.values() for name in cohorts_of(parse(said))} - found.keys()
    return found


def resolved(session: Session, selector: Selector) -> Selector:
    """`selector` with its cohorts as they are now. Raises `Invalid`."""
    return with_cohorts(selector, texts_of(session, [selector]))


def with_cohorts(selector: Selector, cohorts: Mapping[str, str]) -> Selector:
    """`selector` with its cohorts as `cohorts` has them. Raises `SelectorTooLarge`."""
    return written_out(selector, {name: parse(said) for name, said in cohorts.items()})


class CohortService:
    """Thread-safe."""

    def __init__(self, database: Database, changes: Changes, now: Callable[[], datetime]) -> None:
        self._database = database
        self._changes = changes
        self._now = now

    def all(self, *, counted: bool = False) -> list[CohortView]:
        """All cohorts by name; `counted`: each with how many devices it means now."""
        with self._database.reading() as session:
            rows = list(session.execute(select(CohortRow).order_by(col(CohortRow.name))).scalars())
            return [_view(row, _count(session, row) if counted else None) for row in rows]

    def get(self, name: str) -> CohortView:
        """With how many devices it means now. Raises `NotFound`."""
        with self._database.reading() as session:
            row = _known(session, name)
            return _view(row, _count(session, row))

    def create(self, asked: CohortIn, by: str, request: RequestKey | None = None) -> CohortView:
        """A `request` that is sent again gets the cohort that it saved, as it is now. Raises `Conflict` when there is
        one of that name, `Invalid`."""
        check_id(asked.name, "cohort")
        exists = Conflict(
            f"There is a cohort {asked.name!r} already.", "`vedette cohorts replace` changes it.", code="cohort-exists"
        )
        with self._database.session() as session:
            if once.begin(session, request, self._now()) is not None:
                return _view(_known(session, asked.name), None)
            _alone(session)
            _check(session, asked.name, asked.selector)
            if session.get(CohortRow, asked.name) is not None:
                raise exists
            session.add(CohortRow(name=asked.name, selector=asked.selector, changed_by=by, changed_at=self._now()))
            try:
                session.flush()
            except IntegrityError as error:
                # Somebody else saved one in the same moment.
                raise exists from error
            once.finish(session, request, {"cohort": asked.name})
        return self._told(asked.name, by)

    def replace(self, name: str, selector: str, by: str, seen: AsSeen = None) -> CohortView:
        """Has it mean `selector`, for what refers to it from now on. Raises `NotFound`, `Invalid`; `Stale` when it is
        no longer at the revision that was `seen`."""
        with self._database.session() as session:
            _alone(session)
            row = _known(session, name)
            check_seen(f"Cohort {name}", row.revision, seen)
            _check(session, name, selector)
            same = (col(CohortRow.name) == name, col(CohortRow.revision) == row.revision)
            values = {"selector": selector, "revision": row.revision + 1, "changed_by": by, "changed_at": self._now()}
            changed = update(CohortRow).where(*same).values(**values).execution_options(synchronize_session=False)
            if session.execute(changed).rowcount != 1:  # type: ignore[attr-defined]
                raise Stale(f"Cohort {name} was changed in the same moment.", "Look at what it is now.")
            _check_others(session, name)
        return self._told(name, by)

    def delete(self, name: str, by: str, seen: AsSeen = None) -> CohortView:
        """Gives what it was. Raises `NotFound`, `Stale`; `Conflict` while another cohort refers to it."""
        with self._database.session() as session:
            _alone(session)
            gone = _view(_known(session, name), None)
            check_seen(f"Cohort {name}", gone.revision, seen)
            others = session.execute(select(CohortRow).where(col(CohortRow.name) != name)).scalars()
            if referring := sorted(one.name for one in others if name in cohorts_of(parse(one.selector))):
                raise Conflict(
                    f"Cohort {name} is referred to by {', '.join(referring)}.", "Change these first.",
                    code="cohort-needed",
                )  # fmt: skip
            session.execute(delete(CohortRow).where(col(CohortRow.name) == name))
        logger.info("%s deleted cohort %s", by, name)
        self._changes.bump("devices")
        return gone

    def _told(self, name: str, by: str) -> CohortView:
        view = self.get(name)
        logger.info("%s saved cohort %s: %s", by, name, view.selector)
        self._changes.bump("devices")
        return view


def _count(session: Session, row: CohortRow) -> int:
    meant = selected(resolved(session, parse(row.selector)))
    count: int = session.execute(select(func.count()).select_from(Device).where(meant)).scalar_one()
    return count


def _known(session: Session, name: str) -> CohortRow:
    found = session.get(CohortRow, name)
    if found is None:
        raise NotFound(f"There is no cohort {name!r}.", "`vedette cohorts list` shows all.", code="cohort-unknown")
    return found


def _check(session: Session, name: str, selector: str) -> None:
    cohorts = texts_of(session, [parse(selector)])
    if name in cohorts:
        raise Invalid(f"Cohort {name} would refer to itself.", "Write out what you mean.", code="cohort-circular")
    with_cohorts(parse(selector), cohorts)


def _check_others(session: Session, name: str) -> None:
    """Those that refer to `name` must still be small enough to be asked for, with what it says now."""
    texts = dict(session.execute(select(col(CohortRow.name), col(CohortRow.selector))).all())
    said = {other: parse(saying) for other, saying in texts.items()}
    for other, selector in sorted(said.items()):
        try:
            written_out(selector, said)
        except SelectorTooLarge as error:
            raise Invalid(
                f"Cohort {other} refers to {name}, and would be too large: {error.what}", error.remedy, code=error.code
            ) from error


def _alone(session: Session) -> None:
    # Cohorts refer to each other: what is checked of some must still be so when one is saved. SQLite has one writer; of
    # PostgreSQL's rows the first that are saved could lock none.
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": _TURN})


def _view(row: CohortRow, devices: int | None) -> CohortView:
    return CohortView(
        name=row.name,
        selector=row.selector,
        devices=devices,
        revision=row.revision,
        changed_by=row.changed_by,
        changed_at=row.changed_at,
    )
