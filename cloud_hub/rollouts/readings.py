"""What gates measured over the time of a rollout, for people to see; with all SQL on it.

A reading is kept at most every 10 seconds. Past 240 of them every other one is dropped, and they are kept half as
often: a rollout of a month has no more of them than one of an hour, evenly over its whole time.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select
from sqlmodel import Session, col

from cloud_hub.database import upsert
from cloud_hub.rollouts.tables import GateReading, RolloutRow

PERIOD_SECONDS = 10
MAX_READINGS = 240
_KEPT = ("name", "verdict", "value", "lower", "upper", "threshold")


def slot_of(age_seconds: float) -> tuple[int, int]:
    """Where a reading of a rollout of this age goes, and how many periods it stands for. Pure."""
    period, every = max(0, int(age_seconds // PERIOD_SECONDS)), 1
    while period // every >= MAX_READINGS:
        every *= 2
    return period // every * every, every


def keep(session: Session, row: RolloutRow, gates: Sequence[dict[str, Any]], at: datetime, *, final: bool) -> None:
    """Notes what `gates` say of `row`, if it is time to. A `final` look, after which there is perhaps no other, always
    counts: what a rollout was stopped for is the end of the line."""
    slot, every = slot_of((at - row.created_at).total_seconds())
    mine = col(GateReading.rollout) == row.id
    newest = session.execute(select(func.max(col(GateReading.slot))).where(mine)).scalar_one()
    if newest is not None and newest >= slot and not final:
        return
    insert = upsert(session, GateReading).values(
        rollout=row.id, slot=slot, at=at, gates=[{name: gate[name] for name in _KEPT} for gate in gates]
    )
    fresh = {"at": insert.excluded.at, "gates": insert.excluded.gates}
    session.execute(insert.on_conflict_do_update(index_elements=["rollout", "slot"], set_=fresh))
    if every > 1:
        session.execute(delete(GateReading).where(mine, col(GateReading.slot) % every != 0))


def of_rollout(session: Session, rollout: str) -> list[GateReading]:
    """All that is kept, the oldest first."""
    statement = select(GateReading).where(col(GateReading.rollout) == rollout).order_by(col(GateReading.slot))
    return list(session.execute(statement).scalars())
