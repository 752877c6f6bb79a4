"""What the device says of itself, put together."""

import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import msgspec

from edge_agent import __version__, inventory
from edge_agent.telemetry.spool import Spool
from edge_agent.update.updater import UpdaterState
from fleet_contract.because import Because
from fleet_contract.encoding import encode
from fleet_contract.report import CaptureReport, Inventory, Presence, Report
from fleet_contract.topics import Address

#: How many reports one connection may send before the numbers of the next begin.
_PER_CONNECTION = 1 << 20


class Origin(msgspec.Struct, frozen=True):
    """Who reports: the device, this start of its agent, and what it is."""

    address: Address
    boot: str
    target: str
    started_at: datetime


class Reporter:
    """Makes reports whose numbers rise. Safe for any number of threads.

    A last will is written before the connection that it speaks of, and the broker may send it when the next one is
    already up. So each connection has a range of numbers, and its will has the last of them: newer than all that the
    connection sent, older than all of the next.
    """

    def __init__(
        self,
        origin: Origin,
        updates: Callable[[], UpdaterState],
        spool: Spool,
        troubles: Callable[[], Iterable[Because]],
        captures: Callable[[], CaptureReport | None] = lambda: None,
    ) -> None:
        self._origin = origin
        self.updates = updates
        """What is known of models."""
        self._spool = spool
        self._troubles = troubles
        self._captures = captures
        # Wills are made on the transport's thread: a number must not fall back into the range of the last connection.
        self._lock = threading.Lock()
        self._connection = 0
        self._number = 0
        self._inventory: Inventory | None = None

    @property
    def started_at_ms(self) -> int:
        """When this start of the agent began (Unix time)."""
        return int(self._origin.started_at.timestamp() * 1000)

    def troubles(self) -> tuple[Because, ...]:
        """What is wrong on the device now."""
        return (*self.updates().troubles, *self._troubles())

    def report(self, presence: Presence) -> bytes:
        """The next report. It is complete: a reader needs no other."""
        with self._lock:
            self._number += 1
            number = self._number
        # With the first report and no sooner: models come first.
        taken = inventory.take() if self._inventory is None else inventory.renewed(self._inventory)
        self._inventory = taken
        updates = self.updates()
        return encode(
            Report(
                fleet=self._origin.address.fleet,
                device=self._origin.address.device,
                boot=self._origin.boot,
                number=number,
                presence=presence,
                sent_at=datetime.now(UTC),
                agent_version=__version__,
                target=self._origin.target,
                generation=updates.generation,
                started_at=self._origin.started_at,
                models=updates.models,
                refused=updates.refused,
                inventory=taken,
                spool=self._spool.report(),
                troubles=(*updates.troubles, *self._troubles()),
                captures=self._captures(),
            )
        )

    def last_will(self) -> bytes:
        """The report for the broker to send when the connection that is about to be made is lost."""
        with self._lock:
            self._connection += 1
            self._number = self._connection * _PER_CONNECTION
            last = self._number + _PER_CONNECTION - 1
        return encode(
            Report(
                fleet=self._origin.address.fleet,
                device=self._origin.address.device,
                boot=self._origin.boot,
                number=last,
                presence=Presence.LOST,
                sent_at=datetime.now(UTC),
                agent_version=__version__,
                target=self._origin.target,
                generation=self.updates().generation,
                started_at=self._origin.started_at,
            )
        )
