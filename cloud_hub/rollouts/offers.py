"""All SQL on what devices are offered and ordered: candidates, offers, orders, and what became of them."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Table,
    and_,
    bindparam,
    case,
    delete,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlmodel import Session, SQLModel, col

from cloud_hub.database import upsert
from cloud_hub.devices.selector_sql import selected
from cloud_hub.devices.selectors import Selector, is_moved, loosened
from cloud_hub.devices.tables import Device, DeviceLabel, DeviceModel
from cloud_hub.rollouts.admission import MINUTE, NEVER, Flow
from cloud_hub.rollouts.engine import Counts, LeftOver
from cloud_hub.rollouts.holding import Pinned
from cloud_hub.rollouts.outcomes import IN_FLIGHT, Outcome, counted
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.tables import Offer, Order, PinRow, RolloutRow
from cloud_hub.rollouts.views import FailureView
from cloud_hub.rollouts.wanted import Candidate, Given, Place
from cloud_hub.rollouts.waves import Stander
from fleet_contract.desired import DEFAULT_SLOT

#: So many devices are read at once where all are.
_ROWS = 10_000
_NOBODY: ColumnElement[bool] = false()
#: Silence does not end a flight: who comes back may still take its order.
_FOR_EVER = timedelta(days=36_500)
_ORDERS, _OFFERS = (SQLModel.metadata.tables[name] for name in ("orders", "offers"))

#: So many reasons of failure are told apart, each with so many devices by name.
_REASONS, _EXAMPLES = 10, 5


@dataclass(frozen=True)
class Standing:
    """A device with its order, if it has one, and what it is offered. `reported` is the generation that it follows."""

    device: Candidate
    fleet: str
    reported: int
    order: Order | None
    offers: Mapping[Place, Offer]
    heard_at: datetime | None
    """When it last spoke, while it is connected."""

    def connected(self, silent_before: datetime) -> bool:
        return self.heard_at is not None and self.heard_at >= silent_before

    @property
    def in_flight(self) -> bool:
        """Whether it may be switching."""
        return any(Outcome(offer.outcome) in IN_FLIGHT for offer in self.offers.values())

    @property
    def given(self) -> dict[Place, Given]:
        return {
            place: Given(offer.rollout, offer.version, offer.digest, offer.wave) for place, offer in self.offers.items()
        }

    @property
    def followed(self) -> dict[Place, tuple[str, ...]]:
        """The rollouts that it follows or followed, the newest first."""
        return {place: (offer.rollout, *offer.before) for place, offer in self.offers.items()}


def eligible(selector: Selector, rollout: str = "") -> ColumnElement[bool]:
    """The condition on `Device` for those that `selector` means, and those that follow `rollout` and may go on."""
    means = selected(selector)
    if not (rollout and is_moved(selector)):
        return means
    return or_(means, and_(_offered(rollout), selected(loosened(selector))))


def count_by_target(
    session: Session, selector: Selector, rollout: str = "", *, but: ColumnElement[bool] = _NOBODY
) -> dict[str, int]:
    """How many devices are eligible, by hardware target, without those that are pinned (`but`)."""
    return count_eligible(session, selector, rollout, but)[0]


def count_eligible(
    session: Session, selector: Selector, rollout: str, but: ColumnElement[bool]
) -> tuple[dict[str, int], dict[str, Pinned]]:
    """How many devices are eligible, and how many would be, were they not pinned (`but`); both by hardware target."""
    target, meant = col(Device.target), eligible(selector, rollout)
    found: dict[str, int] = dict(session.execute(select(target, func.count()).where(meant).group_by(target)).all())
    # Taken away afterwards: few are pinned, and to ask it of each device would take longer than to count them all.
    counted = select(target, func.count(), func.count().filter(_offered(rollout))).where(meant, but).group_by(target)
    pinned = {of: Pinned(devices, offered) for of, devices, offered in session.execute(counted)}
    by_target = {of: count - pinned.get(of, Pinned()).devices for of, count in found.items()}
    return {of: count for of, count in by_target.items() if count}, pinned


def standing(
    session: Session,
    selector: Selector,
    targets: Iterable[str],
    lab: Selector | None = None,
    *,
    but: ColumnElement[bool],
    without: str = "",
) -> Iterator[Stander]:
    """The devices that are eligible for an artifact on one of `targets`, and which of them are in the `lab`; without
    those that are pinned (`but`), and those that the rollout of that name offers its version to."""
    meant = [selected(selector), col(Device.target).in_(list(targets)), ~but]
    if without:
        meant.append(~_offered(without))
    in_lab = false() if lab is None else selected(lab)
    statement = select(col(Device.id), col(Device.target), in_lab).where(*meant)
    for device, target, is_lab in session.execute(statement.execution_options(yield_per=_ROWS)):
        yield Stander(device, target, bool(is_lab))


def offered_ids(session: Session, rollout: str) -> list[str]:
    """The devices that `rollout` offers its version to."""
    return list(session.execute(select(col(Offer.device)).where(col(Offer.rollout) == rollout)).scalars())


def ids_after(session: Session, device: str, limit: int) -> list[str]:
    """The next devices after `device`, by id."""
    statement = select(col(Device.id)).where(col(Device.id) > device).order_by(col(Device.id)).limit(limit)
    return list(session.execute(statement).scalars())


def expiring_ids(session: Session, before: datetime, limit: int) -> list[str]:
    """Devices whose order expires before `before`, the soonest first."""
    expiry = col(Order.expires_at)
    statement = select(col(Order.device)).where(expiry < before).order_by(expiry).limit(limit)
    return list(session.execute(statement).scalars())


def standings(session: Session, devices: Sequence[str], *, lock: bool = False) -> list[Standing]:
    """Where `devices` stand, those that are known. `lock` keeps other hubs from ordering them until the commit."""
    statement = select(Device).where(col(Device.id).in_(devices)).order_by(col(Device.id))
    if lock:
        statement = statement.with_for_update()
    rows = list(session.execute(statement.execution_options(populate_existing=True)).scalars())
    labels: dict[str, dict[str, str]] = {}
    for label in session.execute(select(DeviceLabel).where(col(DeviceLabel.device).in_(devices))).scalars():
        labels.setdefault(label.device, {})[label.key] = label.value
    running = _running(session, devices)
    offers: dict[str, dict[Place, Offer]] = {}
    for offer in session.execute(select(Offer).where(col(Offer.device).in_(devices))).scalars():
        offers.setdefault(offer.device, {})[Place(offer.model, offer.slot)] = offer
    orders = {order.device: order for order in orders_of(session, devices)}
    return [
        Standing(
            Candidate(
                row.id,
                row.target,
                labels.get(row.id, {}),
                row.agent_version,
                running.get(row.id, {}),
            ),
            row.fleet,
            row.generation,
            orders.get(row.id),
            offers.get(row.id, {}),
            row.last_heard_at if row.presence == "online" else None,
        )
        for row in rows
    ]


def _running(session: Session, devices: Sequence[str]) -> dict[str, dict[str, int]]:
    model, version = col(DeviceModel.model), col(DeviceModel.running_version)
    statement = select(col(DeviceModel.device), model, version).where(
        col(DeviceModel.device).in_(devices), col(DeviceModel.slot) == DEFAULT_SLOT, version.is_not(None)
    )
    found: dict[str, dict[str, int]] = {}
    for device, name, running in session.execute(statement):
        found.setdefault(device, {})[name] = running
    return found


def orders_of(session: Session, devices: Sequence[str]) -> list[Order]:
    return list(session.execute(select(Order).where(col(Order.device).in_(devices))).scalars())


def generations_wanted(session: Session, devices: Sequence[str]) -> Mapping[str, int]:
    """The generation of the desired state of each of `devices`, for those that have one."""
    columns = select(col(Order.device), col(Order.generation)).where(col(Order.device).in_(devices))
    return dict(session.execute(columns).all())


@dataclass(frozen=True)
class Written:
    """What is written of one device: its new order, new offers, and the places where it is offered nothing more."""

    fleet: str
    order: Order
    offers: Sequence[Offer]
    gone: Collection[Place]


def save(session: Session, written: Sequence[Written]) -> None:
    """Replaces the orders and offers of devices: a few statements, whatever their number."""
    gone = [
        {"of_device": one.order.device, "of_model": place.model, "of_slot": place.slot}
        for one in written
        for place in one.gone
    ]
    if gone:
        mine = [_OFFERS.c[name] == bindparam(f"of_{name}") for name in ("device", "model", "slot")]
        session.connection().execute(delete(_OFFERS).where(*mine), gone)
    _put(session, _ORDERS, [one.order.model_dump() for one in written])
    _put(session, _OFFERS, [offer.model_dump() for one in written for offer in one.offers])


def _put(session: Session, table: Table, rows: list[dict[str, Any]]) -> None:
    # On the connection: the session would look through all its objects for each row.
    if rows:
        insert = upsert(session, table)
        fresh = {column.name: insert.excluded[column.name] for column in table.columns if not column.primary_key}
        keys = [column.name for column in table.primary_key]
        session.connection().execute(insert.on_conflict_do_update(index_elements=keys, set_=fresh), rows)


def counts(
    session: Session, rollout: str, silent_before: datetime, overdue_before: datetime | None, retries: int
) -> dict[int, Counts]:
    """What became of the devices that `rollout` offers its version to, by the wave that they were offered it in.

    Who was connected when it was offered it and has said nothing since `silent_before` is unheard; who is not done with
    what it was offered before `overdue_before` has failed, as has who rejected it after `retries` more tries.
    """
    exceptions = {Outcome.AWAITED: col(Offer.offered_at) < silent_before}
    if overdue_before is not None:
        exceptions[Outcome.UNDERWAY] = col(Offer.offered_at) < overdue_before
    if retries:
        exceptions[Outcome.REJECTED] = col(Offer.tries) < retries
    # One statement, so that all is of one moment; who is no exception is only counted, and read no closer.
    all_of_them, excepted = [
        select(col(Offer.outcome), col(Offer.wave), *sums)
        .where(col(Offer.rollout) == rollout)
        .group_by(col(Offer.outcome), col(Offer.wave))
        for sums in ((func.count(), literal(0)), (literal(0), func.count()))
    ]
    parts = [all_of_them, *(excepted.where(col(Offer.outcome) == of.value, so) for of, so in exceptions.items())]
    sums_of: dict[tuple[int, Outcome], tuple[int, int]] = {}
    for outcome, wave, count, except_for in session.execute(union_all(*parts)):
        before = sums_of.get((wave, Outcome(outcome)), (0, 0))
        sums_of[wave, Outcome(outcome)] = (before[0] + count, before[1] + except_for)
    found: dict[int, Counts] = {}
    for (wave, of), (count, except_for) in sums_of.items():
        found[wave] = found.get(wave, Counts()) + counted(of, count, except_for)
    return found


def lock_offers(session: Session, rollout: str) -> None:
    """Keeps other hubs from offering `rollout` to anybody until the commit."""
    session.execute(select(col(RolloutRow.id)).where(col(RolloutRow.id) == rollout).with_for_update()).all()


def flow(session: Session, rollout: str, policy: Policy, now: datetime, *, lock: bool = False) -> Flow:
    """How many devices `rollout` has on their way, for `admission`. `lock` keeps other hubs from offering it."""
    if lock:
        lock_offers(session, rollout)
    overdue = None if policy.deadline_seconds is None else now - timedelta(seconds=policy.deadline_seconds)
    by_wave = counts(session, rollout, now - _FOR_EVER, overdue, policy.retries).values()
    offered_at = col(Offer.offered_at)
    newest, lately = session.execute(
        select(func.max(offered_at), func.count().filter(offered_at > now - MINUTE)).where(
            col(Offer.rollout) == rollout
        )
    ).one()
    total = sum(by_wave, Counts())
    since = NEVER if newest is None else now - newest
    in_flight = total.offered - total.succeeded - total.failed
    lifted = select(col(RolloutRow.rate_lifted)).where(col(RolloutRow.id) == rollout)
    return Flow(in_flight, lately, since, total.succeeded, session.execute(lifted).scalar_one())


def groups(session: Session, label: str, devices: Sequence[str] | None = None) -> dict[str, str]:
    """The groups of `devices` (None: of all) by `label`."""
    named = select(col(DeviceLabel.device), col(DeviceLabel.value)).where(col(DeviceLabel.key) == label)
    if devices is not None:
        named = named.where(col(DeviceLabel.device).in_(devices))
    return dict(session.execute(named).all())


def busy(
    session: Session, label: str, groups: Collection[str], rollout: str, policy: Policy, now: datetime
) -> dict[str, int]:
    """How many devices of each of `groups` by `label` may be switching: to any rollout's version, or to `rollout`'s in
    a try to come."""
    counted = select(col(DeviceLabel.value), func.count(func.distinct(col(Offer.device))))
    of_them = counted.select_from(DeviceLabel).join(Offer, _switches(label, rollout, policy, now))
    statement = of_them.where(col(DeviceLabel.value).in_(groups)).group_by(col(DeviceLabel.value))
    return dict(session.execute(statement).all())


def switching(session: Session, label: str, rollout: str, policy: Policy, now: datetime) -> dict[str, str]:
    """All devices that `busy` counts, with their groups."""
    named = select(col(DeviceLabel.device), col(DeviceLabel.value)).select_from(DeviceLabel)
    return dict(session.execute(named.join(Offer, _switches(label, rollout, policy, now))).all())


def connected(session: Session, label: str, silent_before: datetime) -> set[str]:
    """The devices with `label` that are connected."""
    named = select(col(DeviceLabel.device)).join(Device, col(Device.id) == col(DeviceLabel.device))
    theirs = named.where(col(DeviceLabel.key) == label, _connected(silent_before))
    return set(session.execute(theirs).scalars())


def _switches(label: str, rollout: str, policy: Policy, now: datetime) -> ColumnElement[bool]:
    in_flight: ColumnElement[bool] = col(Offer.outcome).in_([one.value for one in IN_FLIGHT])
    if policy.deadline_seconds is not None:
        overdue = and_(
            col(Offer.rollout) == rollout,
            col(Offer.outcome) == Outcome.UNDERWAY.value,
            col(Offer.offered_at) < now - timedelta(seconds=policy.deadline_seconds),
        )
        in_flight = and_(in_flight, ~overdue)
    again = and_(
        col(Offer.rollout) == rollout,
        col(Offer.outcome) == Outcome.REJECTED.value,
        col(Offer.tries) < policy.retries,
    )
    mine = and_(col(Offer.device) == col(DeviceLabel.device), col(DeviceLabel.key) == label)
    return and_(mine, or_(in_flight, again))


def to_retry(session: Session, rollout: str, retries: int, limit: int) -> list[str]:
    """Devices that rejected what `rollout` offers, and have tries left."""
    statement = select(col(Offer.device)).where(
        col(Offer.rollout) == rollout,
        col(Offer.outcome) == Outcome.REJECTED.value,
        col(Offer.tries) < retries,
    )
    return list(session.execute(statement.limit(limit)).scalars())


def failures(session: Session, rollout: str, overdue_before: datetime | None, retries: int) -> list[FailureView]:
    """Why devices that `rollout` offers its version to failed, as `counts` has it, the most frequent reason first."""
    rejected = and_(col(Offer.outcome) == Outcome.REJECTED.value, col(Offer.tries) >= retries)
    of_old = col(Offer.offered_at) < overdue_before if overdue_before else false()
    overdue = and_(col(Offer.outcome) == Outcome.UNDERWAY.value, of_old)
    code: ColumnElement[str] = case((overdue, "deadline-passed"), else_=col(DeviceModel.because_code))
    reported = and_(
        col(DeviceModel.device) == col(Offer.device),
        col(DeviceModel.model) == col(Offer.model),
        col(DeviceModel.slot) == col(Offer.slot),
    )
    device = col(Offer.device)
    of_code: dict[str, Any] = {"partition_by": code}
    numbered = (
        select(
            code.label("code"),
            func.coalesce(col(DeviceModel.because_sentence), "It does not name the model.").label("sentence"),
            device.label("device"),
            func.count().over(**of_code).label("devices"),
            func.row_number().over(**of_code, order_by=device).label("place"),
        )
        .select_from(Offer)
        .outerjoin(DeviceModel, reported)
        .where(col(Offer.rollout) == rollout, or_(rejected, overdue))
        .subquery()
    )
    shown = select(numbered).where(numbered.c.place <= _EXAMPLES)
    by_code: dict[str, FailureView] = {}
    for row in session.execute(shown.order_by(numbered.c.devices.desc(), numbered.c.code, numbered.c.place)):
        new = FailureView(code=row.code, sentence=row.sentence, devices=row.devices, examples=[])
        by_code.setdefault(row.code, new).examples.append(row.device)
    return list(by_code.values())[:_REASONS]


def left_over(session: Session, rollout: str, place: Place, version: int, silent_before: datetime) -> LeftOver:
    """Of the devices that have `version`, or are about to, who must go back from what `rollout` gave them, and who
    need not."""
    theirs = and_(
        col(Offer.device) == col(DeviceModel.device),
        col(Offer.model) == place.model,
        col(Offer.slot) == place.slot,
        col(Offer.version) == version,
    )
    by_pin = or_(col(Offer.rollout) == rollout, col(Offer.rollout).in_(select(col(PinRow.id))))
    keeps = case((col(Offer.rollout).is_(None), "goes"), (by_pin, "pinned"), else_="elsewhere").label("keeps")
    heard_from = _connected(silent_before).label("heard_from")
    statement = (
        select(keeps, heard_from, func.count())
        .select_from(DeviceModel)
        .join(Device, col(Device.id) == col(DeviceModel.device))
        .outerjoin(Offer, theirs)
        .where(
            col(DeviceModel.model) == place.model,
            col(DeviceModel.slot) == place.slot,
            or_(col(DeviceModel.running_version) == version, col(DeviceModel.wanted_version) == version),
        )
        .group_by("keeps", "heard_from")
    )
    by = {(of, bool(heard)): count for of, heard, count in session.execute(statement)}
    pinned, elsewhere = (by.get((of, True), 0) + by.get((of, False), 0) for of in ("pinned", "elsewhere"))
    return LeftOver(by.get(("goes", True), 0), by.get(("goes", False), 0), pinned, elsewhere)


def phase_of(session: Session, device: str, place: Place) -> str | None:
    """The phase that `device` last reported; None when it never named that slot of that model."""
    found = session.get(DeviceModel, {"device": device, "model": place.model, "slot": place.slot})
    return None if found is None else found.phase


def others_run(session: Session, model: str, version: int) -> bool:
    """Whether any device answers with another version of `model`, and so can be a control."""
    running = col(DeviceModel.running_version)
    # Below and above, and not "other than": an index finds these at once, however many run the same.
    for other in (running < version, running > version):
        statement = select(col(DeviceModel.device)).where(
            col(DeviceModel.model) == model, other, col(DeviceModel.slot) == DEFAULT_SLOT
        )
        if session.execute(statement.limit(1)).first() is not None:
            return True
    return False


def _offered(rollout: str) -> ColumnElement[bool]:
    return exists().where(col(Offer.device) == col(Device.id), col(Offer.rollout) == rollout)


def _connected(silent_before: datetime) -> ColumnElement[bool]:
    return and_(col(Device.presence) == "online", func.coalesce(col(Device.last_heard_at) >= silent_before, False))
