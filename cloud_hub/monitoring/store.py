"""All SQL over telemetry. A window counts once, however often it is written."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Row, delete, func, select, tuple_
from sqlmodel import Session, SQLModel, col

from cloud_hub.database import clock_ahead, upsert
from cloud_hub.devices.tables import Device
from cloud_hub.monitoring.evidence import Counted, Evidence, Tally, tally
from cloud_hub.monitoring.sampling import WITNESSES, Sample
from cloud_hub.monitoring.tables import LabelReport, TelemetrySlice, TelemetryWindow
from cloud_hub.monitoring.witnessed import Witnessed
from fleet_contract.desired import DEFAULT_SLOT
from fleet_contract.telemetry import Window

#: How long single windows and slices are kept; the lake keeps them for good.
KEPT = timedelta(hours=48)
#: How much longer than windows the keys of late labels are: who sends again after that is counted again.
KEYS_KEPT = timedelta(days=30)
SLICE_SECONDS = 10
_SLICE_MS = SLICE_SECONDS * 1000
_CHUNK = 500
#: So many windows are in memory at once, where a reading begins with all that there are.
_ROWS = 2_000
#: Among writers, one that took its numbers earlier may commit later, but never by as much as this, by the database's
#: clock.
SETTLED_AFTER = timedelta(seconds=30)
#: A device whose clock is further ahead has no place in a chart, and its slices would never grow old.
CLOCK_AHEAD = timedelta(hours=1)

_buckets = msgspec.json.Decoder(dict[int, int])
_counts = msgspec.json.Decoder(dict[str, int])
_dense = msgspec.json.Decoder(tuple[int, ...])
_features = msgspec.json.Decoder(dict[str, tuple[int, ...]])
_W = TelemetryWindow
_COUNTED: tuple[Any, ...] = (
    _W.device,
    _W.digest,
    _W.records,
    _W.errors,
    _W.latency,
    _W.predictions,
    _W.confidence,
    _W.error_codes,
    _W.compared,
    _W.agreed,
    _W.features,
    _W.labelled,
    _W.correct,
    _W.memory_bytes,
    _W.temperature_c,
)


@dataclass(frozen=True)
class Arrived:
    """A window, where it comes from, and when it came."""

    device: str
    boot: str
    ingested_at: datetime
    window: Window


@dataclass(frozen=True)
class Slice:
    """`tally` of one version in the `SLICE_SECONDS` from `started_at_ms` on."""

    version: int
    started_at_ms: int
    tally: Tally


def insert(session: Session, arrived: Sequence[Arrived]) -> int:
    """Keeps those windows that are not here yet, and adds them to the slices. Gives how many were new."""
    new: list[Arrived] = []
    # What has aged is settled, and what is ahead has no slice, whichever hub it came to: so they go by one clock.
    ahead = clock_ahead(session)
    # Through the connection: the session would make an ORM statement of it, at twice the time.
    connection, table = session.connection(), SQLModel.metadata.tables["windows"]
    key = (table.c.device, table.c.boot, table.c.sequence)
    statement = upsert(session, table).on_conflict_do_nothing(index_elements=key).returning(*key)
    # In order of the key, so that two writers of the same windows wait for each other and never in a ring.
    named = {(one.device, one.boot, one.window.sequence): one for one in arrived}
    for chunk in _chunks(sorted(named)):
        written = connection.execute(statement, [_row(named[name], ahead) for name in chunk])
        new.extend(named[device, boot, sequence] for device, boot, sequence in written)
    _add_to_slices(session, new, ahead)
    return len(new)


def _add_to_slices(session: Session, new: Iterable[Arrived], ahead: timedelta) -> None:
    added: dict[tuple[str, int, int], list[Counted]] = {}
    for one in new:
        window = one.window
        if window.slot != DEFAULT_SLOT or window.started_at_ms > _ms(one.ingested_at - ahead + CLOCK_AHEAD):
            continue
        start = window.started_at_ms - window.started_at_ms % _SLICE_MS
        added.setdefault((window.model, window.version, start), []).append(_counted(one))
    table = TelemetrySlice
    for chunk in _chunks(sorted(added)):
        nothing = {"records": 0, "errors": 0, "latency": "{}", "predictions": "{}"}
        keys = [dict(zip(("model", "version", "started_at_ms"), key, strict=True)) for key in chunk]
        session.execute(upsert(session, table).on_conflict_do_nothing(), [{**key, **nothing} for key in keys])
        rows = session.execute(
            select(table)
            .where(tuple_(col(table.model), col(table.version), col(table.started_at_ms)).in_(chunk))
            .order_by(col(table.model), col(table.version), col(table.started_at_ms))
            .with_for_update()
        ).scalars()
        for row in rows:
            total = tally(added[row.model, row.version, row.started_at_ms], _tally_of(row))
            row.records, row.errors = total.records, total.errors
            row.latency, row.predictions = _text(total.latency), _text(total.predictions)
    session.flush()


def evidence(
    session: Session,
    model: str,
    since: datetime,
    *,
    version: int | None = None,
    not_version: int | None = None,
    slot: str = DEFAULT_SLOT,
) -> Witnessed:
    """What devices have shown with `slot` of `model` in windows that started at `since` or later, by their clocks:
    with `version` only, or with all but `not_version`."""
    return read_evidence(session, nothing_read(), model, since, version, not_version, slot).evidence


def past(session: Session, versions: Mapping[str, int], model: str, since: datetime, until: datetime) -> Evidence:
    """What each device answered with its version of `model` in `versions`, in windows that started from `since` to
    before `until`, by its clock."""
    counted: list[Counted] = []
    for chunk in _chunks(sorted(versions)):
        rows = session.execute(
            select(*(_W.version, *_COUNTED)).where(
                col(_W.device).in_(chunk),
                col(_W.started_at_ms) >= _ms(since),
                col(_W.started_at_ms) < _ms(until),
                col(_W.model) == model,
                col(_W.slot) == DEFAULT_SLOT,
                col(_W.version).in_(set(versions.values())),
            )
        )
        counted.extend(_read(row) for row in rows if row.version == versions[row.device])
    return Evidence().plus(counted)


@dataclass(frozen=True)
class Reading:
    """Evidence as far as it was read: all windows up to `number`, and of those after it the `recent` ones."""

    evidence: Witnessed
    number: int = 0
    recent: frozenset[int] = frozenset()

    def narrowed(self, apart: int) -> "Reading":
        """With at most so many devices apart."""
        return replace(self, evidence=self.evidence.narrowed(apart))


def nothing_read(apart: int = WITNESSES) -> Reading:
    """Where reading begins; so many devices will be kept apart."""
    return Reading(Witnessed(sample=Sample(apart)))


def read_evidence(
    session: Session,
    known: Reading,
    model: str,
    since: datetime,
    version: int | None,
    not_version: int | None,
    slot: str = DEFAULT_SLOT,
    cut_from: datetime | None = None,
) -> Reading:
    """`known`, carried on with the windows that have come since: the same as reading all of them again. Where none has,
    its evidence is that of `known` itself. Periods are counted from `cut_from`, or from `since`."""
    number, settled = col(_W.number), _settled(session, known.number)
    where: list[ColumnElement[bool]] = [
        col(_W.model) == model,
        col(_W.slot) == slot,
        col(_W.started_at_ms) >= _ms(since),
    ]
    if version is not None:
        where.append(col(_W.version) == version)
    if not_version is not None:
        where.append(col(_W.version) != not_version)
    # One that was committed late has a lower number than others that were read before it: only numbers are looked at
    # again, for what a window counted is dear to read.
    numbers = session.execute(select(number).where(*where, number > known.number).order_by(number)).scalars()
    first = next((one for one in numbers if one not in known.recent), None)
    recent, evidence = set(known.recent), known.evidence
    if first is not None:
        columns = (_W.number, _W.ingested_at, _W.started_at_ms, Device.target, *_COUNTED)
        # Of a device that is gone by now the target is not known; what it showed counts all the same.
        of = select(*columns).outerjoin(Device, col(Device.id) == col(_W.device))
        found = session.execute(of.where(*where, number >= first).execution_options(yield_per=_ROWS))
        for part in found.partitions():
            rows = [row for row in part if row.number not in known.recent]
            recent.update(row.number for row in rows)
            aged = [(_age_seconds(row, cut_from or since), _read(row, row.target or "")) for row in rows]
            evidence = evidence.plus(aged)
    return Reading(evidence, settled, frozenset(one for one in recent if one > settled))


def _settled(session: Session, known: int) -> int:
    """How far all windows are here for certain, whoever they are of: who reads what hardly comes would else look
    through all others' each time. What has aged is settled as an unbroken run from the front: beside a younger one,
    another may still be missing."""
    number, came = col(_W.number), col(_W.ingested_at)
    newest = session.execute(select(func.max(came))).scalar()
    if newest is None:
        return known
    young = select(func.min(number)).where(number > known, came > newest - SETTLED_AFTER).scalar_subquery()
    return session.execute(select(func.max(number)).where(number > known, number < young)).scalar() or known


def _age_seconds(row: Row[Any], since: datetime) -> float:
    # By the device's clock, but for one that is ahead: nothing is sent before it was counted.
    started_at_ms: int = min(row.started_at_ms, _ms(row.ingested_at))
    return (started_at_ms - _ms(since)) / 1000


def slices(session: Session, model: str, since: datetime, until: datetime) -> list[Slice]:
    """The whole fleet's slices with `model` that start from `since` to before `until`, oldest first."""
    table = TelemetrySlice
    start = _ms(since) - _ms(since) % _SLICE_MS
    rows = session.execute(
        select(table)
        .where(col(table.model) == model, col(table.started_at_ms) >= start, col(table.started_at_ms) < _ms(until))
        .order_by(col(table.started_at_ms), col(table.version))
    ).scalars()
    return [Slice(row.version, row.started_at_ms, _tally_of(row)) for row in rows]


def device_slices(session: Session, device: str, model: str, since: datetime, until: datetime) -> list[Slice]:
    """One device's slices, as `slices`."""
    start = _ms(since) - _ms(since) % _SLICE_MS
    rows = session.execute(
        select(*(_W.version, _W.started_at_ms, *_COUNTED))
        .where(
            col(_W.device) == device,
            col(_W.model) == model,
            col(_W.slot) == DEFAULT_SLOT,
            col(_W.started_at_ms) >= start,
            col(_W.started_at_ms) < _ms(until),
        )
        .order_by(col(_W.started_at_ms))
    )
    found: dict[tuple[int, int], list[Counted]] = {}
    for row in rows:
        found.setdefault((row.started_at_ms - row.started_at_ms % _SLICE_MS, row.version), []).append(_read(row))
    return [Slice(version, start, tally(counted)) for (start, version), counted in sorted(found.items())]


def keep_report(session: Session, report: LabelReport) -> LabelReport | None:
    """Keeps `report`; or gives the one that has its key already, and keeps that."""
    row = {name: getattr(report, name) for name in ("key", "model", "digest", "rows", "by", "received_at")}
    statement = upsert(session, LabelReport).on_conflict_do_nothing().returning(col(LabelReport.key))
    if session.execute(statement, [row]).first() is not None:
        return None
    return session.get(LabelReport, report.key)


def forget(session: Session, before: datetime) -> int:
    """Drops what came, or claims to have happened, before `before`, but for the newest window. Gives how many windows
    went."""
    # The newest stays: SQLite would give its number again, and who reads on from there would miss who gets it.
    newest = select(func.max(col(_W.number))).scalar_subquery()
    gone = session.execute(delete(_W).where(col(_W.ingested_at) < before, col(_W.number) < newest))
    session.execute(delete(TelemetrySlice).where(col(TelemetrySlice.started_at_ms) < _ms(before)))
    session.execute(delete(LabelReport).where(col(LabelReport.received_at) < before - KEYS_KEPT))
    return int(gone.rowcount)  # type: ignore[attr-defined]  # a DELETE's result is a CursorResult


def _row(one: Arrived, ahead: timedelta) -> dict[str, Any]:
    window = one.window
    return {
        "device": one.device,
        "boot": one.boot,
        "sequence": window.sequence,
        "model": window.model,
        "slot": window.slot,
        "version": window.version,
        "digest": window.digest,
        "started_at_ms": window.started_at_ms,
        "ended_at_ms": window.ended_at_ms,
        "ingested_at": one.ingested_at - ahead,
        "records": window.count,
        "errors": window.errors,
        "latency": _text(window.latency),
        "predictions": _text(window.predictions),
        "confidence": _text(window.confidence),
        "error_codes": _text(window.error_codes),
        "compared": window.compared,
        "agreed": window.agreed,
        "features": _text(window.features),
        "labelled": window.labelled,
        "correct": window.correct,
        "memory_bytes": window.memory_bytes,
        "temperature_c": window.temperature_c,
    }


def _counted(one: Arrived) -> Counted:
    window = one.window
    return Counted(
        one.device,
        window.digest,
        window.count,
        window.errors,
        window.latency,
        window.predictions,
        window.confidence,
        window.error_codes,
        window.compared,
        window.agreed,
        window.features,
        window.labelled,
        window.correct,
        window.memory_bytes,
        window.temperature_c,
    )


def _read(row: Row[Any], target: str = "") -> Counted:
    return Counted(
        row.device,
        row.digest,
        row.records,
        row.errors,
        _buckets.decode(row.latency),
        _counts.decode(row.predictions),
        _dense.decode(row.confidence),
        _counts.decode(row.error_codes),
        row.compared,
        row.agreed,
        _features.decode(row.features),
        row.labelled,
        row.correct,
        row.memory_bytes,
        row.temperature_c,
        target,
    )


def _tally_of(row: TelemetrySlice) -> Tally:
    return Tally(
        records=row.records,
        errors=row.errors,
        latency=_buckets.decode(row.latency),
        predictions=_counts.decode(row.predictions),
    )


def _text(histogram: Mapping[Any, Any] | Sequence[int]) -> str:
    return msgspec.json.encode(histogram).decode()


def _ms(when: datetime) -> int:
    return int(when.timestamp() * 1000)


def _chunks(keys: Sequence[Any]) -> Iterator[list[Any]]:
    iterator = iter(keys)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
