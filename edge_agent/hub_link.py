"""The agent's half that speaks to the hub: made on its own thread once the models answer, which applications wait for.

What it imports, and a spool that has grown over weeks without a network, would else come before the first answer.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from edge_agent.telemetry.tally import wall_ms
from edge_agent.update.updater import UpdaterState
from fleet_contract.because import Because

if TYPE_CHECKING:
    from edge_agent.telemetry.spool import Spool
    from edge_agent.uplink import Uplink
    from fleet_contract.telemetry import Sample

#: Of what is remembered until there is a link.
MOST_CHANGES = 1000
MOST_SAMPLES = 1000


class Change(msgspec.Struct, frozen=True):
    """What was known of models at `at_ms` (Unix time), when it had changed."""

    at_ms: int
    updates: UpdaterState


class Settings(msgspec.Struct, frozen=True):
    """What may change while the agent runs."""

    heartbeat_seconds: float
    spool_max_bytes: int


class HubLink:
    """`run` has a thread of its own and makes the link; all else may be called on any, also before that.

    `updates` gives what is known of models. `make` makes the spool and the uplink, which is then told of all that has
    changed before.
    """

    def __init__(
        self,
        updates: Callable[[], UpdaterState],
        make: "Callable[[Settings], tuple[Spool, Uplink]]",
        settings: Settings,
    ) -> None:
        self._updates = updates
        self._make = make
        self._settings = settings
        self._lock = threading.Lock()
        # Guarded by the lock, as is whether there is an uplink yet.
        self._changes: deque[Change] = deque(maxlen=MOST_CHANGES)
        self._samples: deque[Sample] = deque(maxlen=MOST_SAMPLES)
        self._spool: Spool | None = None
        self._uplink: Uplink | None = None
        self._began_at = time.monotonic()

    def changed(self) -> None:
        """Something that reports tell has changed."""
        with self._lock:
            uplink = self._uplink
            if uplink is None:
                self._remember(self._updates())
        if uplink is not None:
            uplink.changed()

    def tell(self, sample: "Sample") -> None:
        """A record was captured: the hub is to hear of it."""
        with self._lock:
            spool = self._spool
            if spool is None:
                self._samples.append(sample)
                return
        # In the uplink's next turn, with others: there is no hurry.
        spool.keep(sample)

    def run(self, stop: threading.Event) -> None:
        """Makes the link and turns until `stop` is set; `wake` makes it look."""
        # Outside the lock: a full spool takes its time, and who tells of a change has none.
        spool, uplink = self._make(self._settings)
        with self._lock:
            uplink.recall(self._changes)
            self._changes.clear()
            for sample in self._samples:
                spool.keep(sample)
            self._samples.clear()
            self._spool, self._uplink = spool, uplink
            # They may have changed meanwhile.
            self._apply()
        uplink.run(stop)

    def wake(self) -> None:
        """Makes `run` turn at once, and look at `stop`."""
        if self._uplink is not None:
            self._uplink.wake()

    def set(self, settings: Settings) -> None:
        """From now on these hold."""
        with self._lock:
            self._settings = settings
            self._apply()

    def troubles(self) -> list[Because]:
        """What is wrong with the spool, or on the way to the hub."""
        spool, uplink = self._spool, self._uplink
        if spool is None or uplink is None:
            return []
        return [*spool.troubles(), *(one for one in (uplink.trouble(),) if one is not None)]

    def turned_at(self) -> float:
        """When it last turned, or began to be made (monotonic seconds)."""
        return self._began_at if self._uplink is None else self._uplink.turned_at

    def close(self, timeout_seconds: float) -> None:
        """After `run` has ended: keeps what is still open, and says goodbye to the hub."""
        if self._spool is not None and self._uplink is not None:
            self._uplink.close(timeout_seconds)
            self._spool.close()

    def _remember(self, updates: UpdaterState) -> None:
        # Much is told that has changed nothing of models, and must not push out what has.
        if not self._changes or self._changes[-1].updates != updates:
            self._changes.append(Change(wall_ms(), updates))

    def _apply(self) -> None:
        if self._spool is not None and self._uplink is not None:
            self._uplink.heartbeat_seconds = self._settings.heartbeat_seconds
            self._spool.max_bytes = self._settings.spool_max_bytes
