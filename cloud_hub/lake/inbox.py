"""Batches on their way to the lake: bounded, so that a slow lake never fills the memory."""

import threading
from collections import deque
from dataclasses import dataclass

from fleet_contract.telemetry import Batch
from fleet_contract.topics import Address


@dataclass(frozen=True)
class Delivery:
    """A batch, the device that it came from, and the `fingerprint` of the message that it came in."""

    address: Address
    batch: Batch
    fingerprint: str


class Inbox:
    """Filled by one thread, emptied by another."""

    def __init__(self, capacity: int, round_windows: int, linger_seconds: float) -> None:
        """`capacity` and `round_windows` are in records: what may wait, and about what one round takes at most."""
        self._capacity = capacity
        self._round_windows = round_windows
        self._linger_seconds = linger_seconds
        self._waiting: deque[Delivery] = deque()
        self._names: set[tuple[Address, str]] = set()
        self._windows = 0
        self._condition = threading.Condition()
        self._closed = False

    def knows(self, address: Address, fingerprint: str) -> bool:
        """Whether this batch waits already."""
        with self._condition:
            return (address, fingerprint) in self._names

    @property
    def full(self) -> bool:
        """Whether there is surely no room for another."""
        with self._condition:
            return self._windows >= self._capacity

    def put(self, delivery: Delivery) -> bool:
        """False when there is no room for it. Never blocks.

        A batch that waits already is taken only once: a device that has waited long for its ack sends it again.
        """
        name = (delivery.address, delivery.fingerprint)
        with self._condition:
            if name in self._names:
                return True
            # A batch that is larger than all the room there is must still be able to get through, alone.
            if self._waiting and self._windows + len(delivery.batch.records) > self._capacity:
                return False
            self._waiting.append(delivery)
            self._names.add(name)
            self._windows += len(delivery.batch.records)
            self._condition.notify()
            return True

    def take(self, timeout_seconds: float) -> list[Delivery]:
        """What one round should take, in order of arrival; nothing when nothing comes in time or the inbox is closed.

        After the first delivery it lingers for others, since a commit costs the same for one as for thousands.
        """
        with self._condition:
            self._condition.wait_for(lambda: bool(self._waiting) or self._closed, timeout_seconds)
            if not self._waiting or self._closed:
                return []
            self._condition.wait_for(lambda: self._closed or self._windows >= self._round_windows, self._linger_seconds)
            taken: list[Delivery] = []
            windows = 0
            while self._waiting and (not taken or windows < self._round_windows):
                taken.append(self._waiting.popleft())
                windows += len(taken[-1].batch.records)
            self._windows -= windows
            self._names.difference_update((one.address, one.fingerprint) for one in taken)
            return taken

    def close(self) -> None:
        """Ends every wait. What is left was never acked, and will be sent again."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    @property
    def windows(self) -> int:
        """How many records wait."""
        with self._condition:
            return self._windows
