"""What the devices that are weighed did before the rollout: what each is compared with, besides the control."""

import threading
from collections import OrderedDict
from collections.abc import Collection
from datetime import timedelta

from sqlmodel import Session

from cloud_hub.monitoring import store
from cloud_hub.monitoring.evidence import Evidence, Tally
from cloud_hub.rollouts.tables import RolloutRow

#: How far back a past goes: some hundred windows a device.
_BEFORE = timedelta(hours=1)
_ROLLOUTS = 32


class Pasts:
    """Each device's past is read once for each rollout: the hour before the rollout was created, when nobody could have
    its version from it. What a device sends late is not added. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, dict[str, Tally]] = OrderedDict()

    def of(self, session: Session, row: RolloutRow, wanted: Collection[str]) -> Evidence:
        """The pasts of the devices that are `wanted`."""
        with self._lock:
            known = self._known.setdefault(row.id, {})
            self._known.move_to_end(row.id)
            while len(self._known) > _ROLLOUTS:
                self._known.popitem(last=False)
            missing = set(wanted) - known.keys()
        if missing:
            since = row.created_at - _BEFORE
            found = store.past(session, missing, row.model, since, row.created_at, row.version).by_device
            with self._lock:
                known.update({device: found.get(device, Tally()) for device in missing})
        return Evidence({device: known[device] for device in wanted if known[device].windows})
