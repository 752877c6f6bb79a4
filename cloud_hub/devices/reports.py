"""The SQL that takes reports in: a batch in one transaction, a few statements whatever its size."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, cast

import msgspec
from sqlalchemy import Table, and_, bindparam, delete, insert, or_, select, update
from sqlmodel import Session, SQLModel, col

from cloud_hub.database import upsert
from cloud_hub.devices.freshness import Freshness, Known, freshness
from cloud_hub.devices.history import DeviceState, Event, ModelState, news_events, will_events
from cloud_hub.devices.runs import Run, running_of, runs_of
from cloud_hub.devices.tables import Device, DeviceEvent, DeviceModel, DeviceRun
from cloud_hub.devices.versions import order_of
from cloud_hub.rollouts.settling import settle
from fleet_contract.report import ModelReport, Presence, Report

_MODEL_KEY = ("device", "model", "slot")
#: How many slots of models one statement deletes.
_ROWS = 500


@dataclass
class Taken:
    """What came of a batch."""

    generations: dict[str, int] = field(default_factory=dict)
    """Of each device that said something new: the generation that it follows."""
    lost: set[str] = field(default_factory=set)
    """Devices whose last will came, and that have not spoken since."""
    unknown: list[Report] = field(default_factory=list)
    """Reports of devices that never joined."""


def take(session: Session, reports: Sequence[Report], now: datetime) -> Taken:
    """Stores what is news in `reports`, which are in the order in which they came.

    The topic of each has been checked against its device. Repeats, and what is older than what is stored, change
    nothing.
    """
    states = _states(session, {report.device for report in reports})
    stored_models = {device: set(state.models) for device, state in states.items()}
    taken = Taken()
    newest: dict[str, Report] = {}
    events: list[tuple[str, Event]] = []
    runs: list[tuple[str, Run]] = []
    for report in reports:
        device, state = report.device, states.get(report.device)
        if state is None:
            taken.unknown.append(report)
            continue
        match freshness(state.known, report):
            case Freshness.NEWS:
                events += [(device, event) for event in news_events(state, report)]
                runs += [(device, run) for run in runs_of(state.running, report, state.heard_at, now)]
                states[device] = _after(state, report, now)
                newest[device] = report
                taken.generations[device] = report.generation
                taken.lost.discard(device)
            case Freshness.WILL:
                events += [(device, event) for event in will_events(state)]
                state.presence = Presence.LOST.value
                taken.lost.add(device)
            case Freshness.STALE:
                pass
    _write_devices(session, states, newest, taken.lost, now)
    _write_models(session, newest, stored_models, now)
    settle(session, newest.keys())
    _write_runs(session, runs)
    if events:
        session.execute(insert(DeviceEvent), [_event_row(device, event, now) for device, event in events])
    return taken


def _states(session: Session, devices: Collection[str]) -> dict[str, DeviceState]:
    device = select(
        col(Device.id),
        col(Device.boot),
        col(Device.boot_before),
        col(Device.boot_started_at),
        col(Device.number),
        col(Device.presence),
        col(Device.refused),
        col(Device.last_heard_at),
    )
    states = {
        row.id: DeviceState(
            Known(row.boot, row.boot_before, row.boot_started_at, row.number),
            row.presence,
            row.refused["code"] if row.refused else None,
            heard_at=row.last_heard_at,
        )
        for row in session.execute(device.where(col(Device.id).in_(devices)))
    }
    model = select(
        col(DeviceModel.device),
        col(DeviceModel.model),
        col(DeviceModel.slot),
        col(DeviceModel.phase),
        col(DeviceModel.wanted_version),
        col(DeviceModel.running_version),
        col(DeviceModel.because_code),
        col(DeviceModel.running_digest),
    )
    for name, of, slot, *state, digest in session.execute(model.where(col(DeviceModel.device).in_(devices))):
        found = states[name].models[of, slot] = ModelState(*state)
        if found.running is not None:
            states[name].running[of, slot] = (found.running, digest or "")
    return states


def _after(state: DeviceState, report: Report, now: datetime) -> DeviceState:
    return DeviceState(
        state.known.after(report),
        report.presence.value,
        report.refused.code if report.refused else None,
        {(model.model, model.slot): ModelState.of(model) for model in report.models},
        running_of(report),
        now,
    )


def _write_devices(
    session: Session, states: dict[str, DeviceState], newest: dict[str, Report], lost: set[str], now: datetime
) -> None:
    rows = [_device_row(report, states[device].known, now) for device, report in newest.items()]
    for row in rows:
        if row["b_id"] in lost:
            row["presence"] = Presence.LOST.value
    rows += [{"b_id": device, "presence": Presence.LOST.value} for device in lost - newest.keys()]
    # One statement for many rows needs the same columns in each.
    for columns, group in groupby(sorted(rows, key=_columns), key=_columns):
        changes: dict[str, Any] = {name: bindparam(name) for name in columns if name != "b_id"}
        statement = update(_table(Device)).where(col(Device.id) == bindparam("b_id")).values(changes)
        session.connection().execute(statement, list(group))


def _columns(row: dict[str, Any]) -> list[str]:
    return sorted(row)


def _device_row(report: Report, known: Known, now: datetime) -> dict[str, Any]:
    row = {
        "b_id": report.device,
        "presence": report.presence.value,
        "last_heard_at": now,
        "boot": known.boot,
        "boot_before": known.boot_before,
        "boot_started_at": known.boot_started_at,
        "number": known.number,
        "generation": report.generation,
        "agent_version": report.agent_version,
        "agent_order": order_of(report.agent_version),
        "target": report.target,
        "refused": msgspec.to_builtins(report.refused),
        "spool": msgspec.to_builtins(report.spool),
        "captures": msgspec.to_builtins(report.captures),
        "troubles": msgspec.to_builtins(list(report.troubles)),
        "troubled": bool(report.refused or report.troubles),
    }
    if report.inventory is not None:
        row["hostname"] = report.inventory.hostname
        row["inventory"] = msgspec.to_builtins(report.inventory)
    return row


def _write_models(
    session: Session, newest: dict[str, Report], stored: dict[str, set[tuple[str, str]]], now: datetime
) -> None:
    rows = {
        (device, model.model, model.slot): _model_row(device, model, now)
        for device, report in newest.items()
        for model in report.models
    }
    gone = [(d, *place) for d in newest for place in stored[d] if (d, *place) not in rows]
    if rows:
        statement = upsert(session, DeviceModel)
        changed = {name: statement.excluded[name] for name in next(iter(rows.values())) if name not in _MODEL_KEY}
        statement = statement.on_conflict_do_update(index_elements=_MODEL_KEY, set_=changed)
        session.connection().execute(statement, list(rows.values()))
    for start in range(0, len(gone), _ROWS):
        slots = [
            and_(col(DeviceModel.device) == d, col(DeviceModel.model) == model, col(DeviceModel.slot) == slot)
            for d, model, slot in gone[start : start + _ROWS]
        ]
        session.execute(delete(DeviceModel).where(or_(*slots)))


def _model_row(device: str, model: ModelReport, now: datetime) -> dict[str, Any]:
    releases = {"wanted": model.wanted, "running": model.running, "previous": model.previous}
    return {
        "device": device,
        "model": model.model,
        "slot": model.slot,
        "phase": model.phase.value,
        "because_code": model.because.code,
        "because_sentence": model.because.sentence,
        "since": model.since,
        "rollout": model.rollout,
        "heard_at": now,
        **{f"{name}_version": release.version if release else None for name, release in releases.items()},
        **{f"{name}_digest": release.digest if release else None for name, release in releases.items()},
    }


def _write_runs(session: Session, runs: Sequence[tuple[str, Run]]) -> None:
    rows: list[dict[str, Any]] = []
    ends: dict[tuple[str, str, str], datetime] = {}
    newest: dict[tuple[str, str, str], dict[str, Any]] = {}
    for device, run in runs:
        place = (device, run.model, run.slot)
        if place in newest:
            newest.pop(place)["until"] = run.since
        else:
            ends.setdefault(place, run.since)
        if run.version is not None:
            newest[place] = {"device": device, **vars(run), "until": None}
            rows.append(newest[place])
    if ends:
        where = [getattr(_table(DeviceRun).c, name) == bindparam(f"of_{name}") for name in _MODEL_KEY]
        close = update(_table(DeviceRun)).where(*where, col(DeviceRun.until).is_(None)).values(until=bindparam("at"))
        of = [{"of_device": d, "of_model": m, "of_slot": slot, "at": at} for (d, m, slot), at in ends.items()]
        session.connection().execute(close, of)
    if rows:
        session.connection().execute(insert(_table(DeviceRun)), rows)


def _event_row(device: str, event: Event, now: datetime) -> dict[str, Any]:
    return {
        "device": device,
        "at": now,
        "kind": event.kind,
        "model": event.model,
        "slot": event.slot,
        "phase": event.phase,
        "version": event.version,
        "code": event.because.code,
        "sentence": event.because.sentence,
    }


def _table(kind: type[SQLModel]) -> Table:
    return cast("Table", kind.__table__)  # type: ignore[attr-defined]
