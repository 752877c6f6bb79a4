"""The SQL that keeps the outcomes of offers: called by who takes reports in, in the same transaction."""

from collections.abc import Collection

from sqlalchemy import and_, bindparam, select, update
from sqlmodel import Session, SQLModel, col

from cloud_hub.devices.tables import Device, DeviceModel
from cloud_hub.rollouts.outcomes import Offered, Outcome, Said, outcome
from cloud_hub.rollouts.tables import Offer

_OFFERS = SQLModel.metadata.tables["offers"]
_KEY = ("device", "model", "slot")


def settle(session: Session, devices: Collection[str]) -> None:
    """Brings the outcomes of what `devices` were offered up to what they say now."""
    named = and_(
        col(DeviceModel.device) == col(Offer.device),
        col(DeviceModel.model) == col(Offer.model),
        col(DeviceModel.slot) == col(Offer.slot),
    )
    offer = (Offer.version, Offer.digest, Offer.generation, Offer.offered_at, Offer.outcome)
    said = (Device.generation, Device.last_heard_at, DeviceModel.phase, DeviceModel.because_code)
    releases = (
        DeviceModel.wanted_version,
        DeviceModel.wanted_digest,
        DeviceModel.running_version,
        DeviceModel.running_digest,
    )
    statement = (
        select(col(Offer.device), col(Offer.model), col(Offer.slot))
        .add_columns(*map(col, offer), *map(col, said), *map(col, releases))
        .join(Device, col(Device.id) == col(Offer.device))
        .outerjoin(DeviceModel, named)
        .where(col(Offer.device).in_(devices))
    )
    changed = []
    for device, model, slot, *rest in session.execute(statement):
        version, digest, generation, offered_at, before, follows, heard_at, phase, code, *of = rest
        offered = Offered(version, digest, generation, offered_at, Outcome(before))
        now = outcome(offered, Said(follows, heard_at, phase, code, (of[0], of[1]), (of[2], of[3])))
        if now != before:
            changed.append({"of_device": device, "of_model": model, "of_slot": slot, "now": now.value})
    if changed:
        mine = [_OFFERS.c[name] == bindparam(f"of_{name}") for name in _KEY]
        session.connection().execute(update(_OFFERS).where(*mine).values(outcome=bindparam("now")), changed)
