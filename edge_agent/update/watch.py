"""What one live model takes of its device, as its slot and the clock tell."""

import msgspec

from edge_agent.core.limits import LEAST_LEASES, PACE_SECONDS, Load
from edge_agent.live import LiveModel


class Shared(msgspec.Struct, frozen=True):
    """What all models take together, and when, in monotonic seconds, somebody began to look without a pause."""

    resident_bytes: int = 0
    grown_bytes: int = 0
    suspect: str | None = None
    """The key of the model to blame for the memory."""
    awake_since: float = 0.0


class Watch:
    """Watches `slot`, whose key is `key`."""

    def __init__(self, key: str, slot: LiveModel) -> None:
        self._key = key
        self._slot = slot
        self._since = 0.0
        self._leases = 0
        self._slow = 0

    def begin(self, monotonic: float) -> None:
        """Another model is live now."""
        self._since, self._leases, self._slow = monotonic, 0, 0

    def load(self, shared: Shared, monotonic: float) -> Load:
        """What the slot takes now. A stretch that was long enough to judge by is judged once, and the next begins."""
        busy, pace = self._slot.busy(), self._slot.pace()
        load = Load(
            live=self._slot.manifest,
            busy=None if busy is None else busy.manifest,
            # While the whole process stands still, no model is at work.
            busy_seconds=0.0 if busy is None else monotonic - max(busy.since, shared.awake_since),
            over_seconds=monotonic - self._since,
            leases=pace.leases - self._leases,
            slow=pace.slow - self._slow,
            resident_bytes=shared.resident_bytes,
            grown_bytes=shared.grown_bytes,
            suspect=shared.suspect == self._key,
        )
        if load.over_seconds >= PACE_SECONDS and load.leases >= LEAST_LEASES:
            self._since, self._leases, self._slow = monotonic, pace.leases, pace.slow
        return load
