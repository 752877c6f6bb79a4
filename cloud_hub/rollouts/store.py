"""All SQL on rollouts and decisions. Each write names the revision that it was decided on."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec.structs import asdict
from sqlalchemy import select, tuple_, update
from sqlmodel import Session, col

from cloud_hub.devices.cohorts import with_cohorts
from cloud_hub.devices.selector_text import parse
from cloud_hub.devices.selectors import Selector
from cloud_hub.page import PageRequest, Rows, fetch
from cloud_hub.releases.tables import Artifact
from cloud_hub.rollouts import turns
from cloud_hub.rollouts.engine import WAVE_OPENED, Rollout
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.states import TAKING, UNFINISHED, State
from cloud_hub.rollouts.tables import DecisionRow, RolloutRow
from cloud_hub.rollouts.wanted import Claim
from cloud_hub.rollouts.waves import Line
from fleet_contract.because import Because


def find(session: Session, rollout: str) -> RolloutRow | None:
    return session.execute(select(RolloutRow).where(col(RolloutRow.id) == rollout)).scalar_one_or_none()


def made_by_request(session: Session, key: str) -> RolloutRow | None:
    """The rollout that the request of this name started."""
    return session.execute(select(RolloutRow).where(col(RolloutRow.request_key) == key)).scalar_one_or_none()


def newest_of_manifest(session: Session, manifest: str) -> RolloutRow | None:
    """The newest rollout that was made from the manifest of this name."""
    statement = select(RolloutRow).where(col(RolloutRow.manifest) == manifest)
    newest = statement.order_by(col(RolloutRow.manifest_generation).desc()).limit(1)
    return session.execute(newest).scalar_one_or_none()


def page_of_rollouts(session: Session, request: PageRequest, model: str | None, state: str | None) -> Rows:
    """A page of `RolloutRow`, the newest first."""
    statement = select(RolloutRow)
    if model:
        statement = statement.where(col(RolloutRow.model) == model)
    if state:
        statement = statement.where(col(RolloutRow.state) == state)
    number = col(RolloutRow.number)
    return fetch(
        session,
        statement,
        request,
        sorts={
            "created_at": number,
            "updated_at": col(RolloutRow.updated_at),
            "model": col(RolloutRow.model),
            "state": col(RolloutRow.state),
        },
        default_sort="-created_at",
        key=col(RolloutRow.id),
    )


def unfinished(session: Session) -> list[RolloutRow]:
    """Those that something may still happen to, the oldest first."""
    statement = select(RolloutRow).where(col(RolloutRow.state).in_([state.value for state in UNFINISHED]))
    return list(session.execute(statement.order_by(col(RolloutRow.number))).scalars())


def owed(session: Session) -> list[RolloutRow]:
    """Those whose orders are perhaps not where their exposure is, the oldest first."""
    statement = select(RolloutRow).where(col(RolloutRow.owed))
    return list(session.execute(statement.order_by(col(RolloutRow.number))).scalars())


def newer(session: Session, row: RolloutRow) -> str | None:
    """The newest rollout of the same slot of the same model that is newer than `row`."""
    statement = (
        select(col(RolloutRow.id))
        .where(
            col(RolloutRow.model) == row.model,
            col(RolloutRow.slot) == row.slot,
            col(RolloutRow.number) > row.number,
        )
        .order_by(col(RolloutRow.number).desc())
        .limit(1)
    )
    return session.execute(statement).scalar_one_or_none()


def claims(session: Session) -> list[Claim]:
    """What the rollouts in force say, the newest first."""
    statement = select(RolloutRow).where(col(RolloutRow.in_force), col(RolloutRow.exposed) > 0)
    rows = list(session.execute(statement.order_by(col(RolloutRow.number).desc())).scalars())
    artifacts: dict[tuple[str, int], dict[str, str]] = {}
    columns = select(col(Artifact.model), col(Artifact.version), col(Artifact.target), col(Artifact.digest))
    versions = {(row.model, row.version) for row in rows}
    of_them = tuple_(col(Artifact.model), col(Artifact.version)).in_(versions)
    for model, version, target, digest in session.execute(columns.where(of_them)):
        artifacts.setdefault((model, version), {})[target] = digest
    return [
        Claim(
            rollout=row.id,
            number=row.number or 0,
            model=row.model,
            slot=row.slot,
            version=row.version,
            salt=row.salt,
            line=lines_of(row)[row.exposed - 1],
            wave=row.wave,
            taking=State(row.state) in TAKING,
            running=State(row.state) is State.RUNNING,
            selector=selector_of(row),
            lab=lab_of(row),
            artifacts=artifacts.get((row.model, row.version), {}),
            policy=policy_of(row),
            wave_started_at=row.wave_started_at,
        )
        for row in rows
    ]


def create(session: Session, row: RolloutRow) -> None:
    """Adds a rollout with its first decision."""
    session.add(row)
    session.flush()
    session.add(_decision(row.id, row.revision, rollout_of(row), row.seen, row.created_at, row.created_by))


def same(row: RolloutRow, rollout: Rollout, seen: dict[str, Any]) -> bool:
    """Whether there is nothing to save."""
    return rollout_of(row) == rollout and row.seen == seen


def save(
    session: Session,
    row: RolloutRow,
    rollout: Rollout,
    seen: dict[str, Any],
    now: datetime,
    by: str | None = None,
    lines: Sequence[Line] | None = None,
) -> bool:
    """Makes `row` what was decided on it, `by` whom, or by the hub itself. False when another has changed it since it
    was read: decide again.

    `lines` are those that were drawn for it, where it had none.

    Whatever changes more than the numbers in the reason's sentence is a decision, and is kept with what it rested on.
    """
    before = rollout_of(row)
    decided = before.because.code != rollout.because.code or any(
        getattr(before, name) != getattr(rollout, name) for name in _DECIDED
    )
    if decided:
        turns.saying(session)
    values: dict[str, Any] = {
        "because_code": rollout.because.code,
        "because_sentence": rollout.because.sentence,
        "seen": seen,
    }
    if decided:
        values |= {
            "state": rollout.state.value,
            "wave": rollout.wave,
            "exposed": rollout.exposed,
            "aborted": rollout.aborted,
            "approved": rollout.approved,
            "wave_started_at": rollout.wave_started_at,
            "soaking_since": rollout.soaking_since,
            "rate_lifted": rollout.rate_lifted,
            "asked": list(rollout.asked),
            "accepted": list(rollout.accepted),
            "cause": None if rollout.cause is None else asdict(rollout.cause),
            "updated_at": now,
            "revision": row.revision + 1,
        }
    if lines and not row.lines:
        values["lines"] = stored(lines)
    if rollout.exposed != before.exposed or (rollout.state in TAKING and before.state not in TAKING):
        values["owed"] = True
    if rollout.state in (State.REVERTED, State.ABORTED):
        values["in_force"] = False
    changed = session.execute(
        update(RolloutRow)
        .where(col(RolloutRow.id) == row.id, col(RolloutRow.revision) == row.revision)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    if changed.rowcount != 1:  # type: ignore[attr-defined]  # an UPDATE's result is a CursorResult
        return False
    if decided:
        session.add(_decision(row.id, row.revision + 1, rollout, seen, now, by))
    return True


_DECIDED = (
    "state",
    "wave",
    "exposed",
    "aborted",
    "approved",
    "wave_started_at",
    "soaking_since",
    "rate_lifted",
    "asked",
    "accepted",
    "cause",
)


def set_held(session: Session, rollout: str, held: Mapping[str, int]) -> None:
    """Notes what devices of `rollout` wait for."""
    session.execute(
        update(RolloutRow)
        .where(col(RolloutRow.id) == rollout)
        .values(held=dict(held))
        .execution_options(synchronize_session=False)
    )


def set_owed(session: Session, rollout: str) -> None:
    """Notes that a device of `rollout` waits for its order."""
    session.execute(
        update(RolloutRow)
        .where(col(RolloutRow.id) == rollout, ~col(RolloutRow.owed))
        .values(owed=True)
        .execution_options(synchronize_session=False)
    )


def set_held_owed(session: Session) -> None:
    """Notes that whatever devices of running rollouts wait for is to be found again."""
    running = select(RolloutRow).where(col(RolloutRow.state) == State.RUNNING.value, ~col(RolloutRow.owed))
    # In the order in which whoever orders locks them.
    for rollout in sorted(row.id for row in session.execute(running).scalars() if row.held):
        set_owed(session, rollout)


def set_ordered(session: Session, rollout: str, revision: int) -> None:
    """Notes that orders have been brought to where `rollout` is, if nothing was decided on it since `revision`."""
    session.execute(
        update(RolloutRow)
        .where(col(RolloutRow.id) == rollout, col(RolloutRow.revision) == revision)
        .values(owed=False)
        .execution_options(synchronize_session=False)
    )


def retire(session: Session, rollouts: list[str]) -> None:
    """Notes that nothing can depend on `rollouts` any more."""
    session.execute(
        update(RolloutRow)
        .where(col(RolloutRow.id).in_(rollouts))
        .values(in_force=False)
        .execution_options(synchronize_session=False)
    )


def page_of_decisions(session: Session, rollout: str, request: PageRequest) -> Rows:
    """A page of `DecisionRow` of one rollout, the newest first."""
    number = col(DecisionRow.number)
    statement = select(DecisionRow).where(col(DecisionRow.rollout) == rollout)
    return fetch(session, statement, request, sorts={"number": number}, default_sort="-number", key=number)


def openings(session: Session, rollout: str) -> list[tuple[int, datetime]]:
    """Each wave that was opened, from 0, and when, the first first."""
    statement = select(col(DecisionRow.wave), col(DecisionRow.at)).where(
        col(DecisionRow.rollout) == rollout, col(DecisionRow.because_code) == WAVE_OPENED
    )
    return [(wave, at) for wave, at in session.execute(statement.order_by(col(DecisionRow.number)))]


def latest_decisions(session: Session, limit: int) -> list[tuple[DecisionRow, RolloutRow]]:
    """The newest decisions of all rollouts, the newest first."""
    statement = (
        select(DecisionRow, RolloutRow)
        .join(RolloutRow, col(RolloutRow.id) == col(DecisionRow.rollout))
        .order_by(col(DecisionRow.at).desc(), col(DecisionRow.number).desc())
        .limit(limit)
    )
    return [(decision, rollout) for decision, rollout in session.execute(statement)]


def rollout_of(row: RolloutRow) -> Rollout:
    """What the engine needs of `row`."""
    return Rollout(
        id=row.id,
        model=row.model,
        version=row.version,
        state=State(row.state),
        because=Because(row.because_code, row.because_sentence),
        wave=row.wave,
        exposed=row.exposed,
        aborted=row.aborted,
        approved=row.approved,
        created_by=row.created_by,
        wave_started_at=row.wave_started_at,
        soaking_since=row.soaking_since,
        rate_lifted=row.rate_lifted,
        asked=tuple(row.asked),
        accepted=tuple(row.accepted),
        cause=None if row.cause is None else Because(**row.cause),
    )


def policy_of(row: RolloutRow) -> Policy:
    return Policy.model_validate(row.policy)


def selector_of(row: RolloutRow) -> Selector:
    """Whom `row` is for."""
    return with_cohorts(parse(row.policy["selector"]), row.cohorts)


def lab_of(row: RolloutRow) -> Selector | None:
    """Who is in its lab, where it has one."""
    lab = row.policy.get("lab")
    return with_cohorts(parse(lab), row.cohorts) if lab else None


def lines_of(row: RolloutRow) -> tuple[Line, ...]:
    return tuple(Line(**line) for line in row.lines)


def exposing(row: RolloutRow) -> bool:
    """Whether a wave that is not open yet adds a device to those of the open one."""
    lines = lines_of(row)
    return bool(lines) and lines[max(0, row.wave)].total < lines[-1].total


def stored(lines: Iterable[Line]) -> list[dict[str, Any]]:
    """`lines` as they are stored."""
    return [{"name": line.name, "below": dict(line.below), "devices": dict(line.devices)} for line in lines]


def _decision(
    rollout_id: str, number: int, rollout: Rollout, seen: dict[str, Any], at: datetime, by: str | None
) -> DecisionRow:
    return DecisionRow(
        rollout=rollout_id,
        number=number,
        at=at,
        state=rollout.state.value,
        wave=rollout.wave,
        because_code=rollout.because.code,
        because_sentence=rollout.because.sentence,
        made_by=by,
        evidence=seen,
    )
