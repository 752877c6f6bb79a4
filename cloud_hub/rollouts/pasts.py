"""What the devices that are weighed did before the rollout: what each is compared with, besides the control; with all
SQL on it.

Windows are kept for a while only, and a rollout may take longer, through restarts of the hub: what was read of them is
kept beside the rollout, for as long as that is not over.
"""

import threading
from collections.abc import Collection, Mapping
from datetime import timedelta

import msgspec
from sqlalchemy import delete, select
from sqlmodel import Session, col

from cloud_hub.database import upsert
from cloud_hub.devices.store import versions_before
from cloud_hub.monitoring import store
from cloud_hub.monitoring.evidence import Evidence, Tally
from cloud_hub.rollouts.states import UNFINISHED
from cloud_hub.rollouts.tables import DevicePast, RolloutRow

#: How far back a past goes: some hundred windows a device.
_BEFORE = timedelta(hours=1)
_tally = msgspec.msgpack.Decoder(Tally)


class Pasts:
    """Each device's past is read once for each rollout: what it did in the hour before the rollout was created with the
    version that it ran at that moment. What a device sends late is not added. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}

    def of(self, session: Session, row: RolloutRow, wanted: Collection[str]) -> Evidence:
        """The pasts of the devices that are `wanted`; the same object for as long as these are the same."""
        with self._lock:
            known = self._known.setdefault(row.id, _Known())
            missing = set(wanted) - known.tallies.keys()
            if not missing and known.wanted == set(wanted):
                return known.evidence
        kept = _kept(session, row.id, missing)
        since = row.created_at - _BEFORE
        unread = missing - kept.keys()
        ran = versions_before(session, unread, row.created_at, row.model) if unread else {}
        # What it did with others, one that was taken back perhaps, is not what it leaves now.
        ran = {device: version for device, version in ran.items() if version != row.version}
        found = store.past(session, ran, row.model, since, row.created_at).by_device if ran else {}
        with self._lock:
            known.tallies.update({device: kept.get(device) or found.get(device, Tally()) for device in missing})
            known.unkept.update(found)
            known.wanted = frozenset(wanted)
            known.evidence = Evidence(
                {device: known.tallies[device] for device in wanted if known.tallies[device].windows}
            )
            return known.evidence

    def keep_only(self, rollouts: Collection[str]) -> None:
        """Forgets what was read of all others."""
        with self._lock:
            self._known = {rollout: known for rollout, known in self._known.items() if rollout in rollouts}

    def unkept(self, rollout: str) -> Mapping[str, Tally]:
        """What has been read of `rollout` and not been kept yet."""
        with self._lock:
            known = self._known.get(rollout)
            return dict(known.unkept) if known else {}

    def keep(self, session: Session, rollout: str, pasts: Mapping[str, Tally]) -> None:
        """Keeps `pasts`, and forgets those of rollouts that are over."""
        unfinished = [state.value for state in UNFINISHED]
        over = select(col(RolloutRow.id)).where(col(RolloutRow.state).not_in(unfinished))
        session.execute(delete(DevicePast).where(col(DevicePast.rollout).in_(over)))
        rows = [
            {"rollout": rollout, "device": device, "tally": msgspec.msgpack.encode(tally)}
            for device, tally in sorted(pasts.items())
        ]
        if rows:
            session.execute(upsert(session, DevicePast).on_conflict_do_nothing(), rows)
        with self._lock:
            if known := self._known.get(rollout):
                known.unkept = {device: tally for device, tally in known.unkept.items() if device not in pasts}


class _Known:
    """Of one rollout."""

    def __init__(self) -> None:
        self.tallies: dict[str, Tally] = {}
        self.unkept: dict[str, Tally] = {}
        self.wanted: frozenset[str] = frozenset()
        self.evidence = Evidence()


def _kept(session: Session, rollout: str, devices: Collection[str]) -> dict[str, Tally]:
    if not devices:
        return {}
    rows = session.execute(
        select(col(DevicePast.device), col(DevicePast.tally)).where(
            col(DevicePast.rollout) == rollout, col(DevicePast.device).in_(sorted(devices))
        )
    )
    return {device: _tally.decode(tally) for device, tally in rows}
