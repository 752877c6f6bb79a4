"""A link to no broker: it remembers what was published."""

import threading

import msgspec

from fleet_contract.encoding import decode
from fleet_contract.telemetry import Ack
from fleet_contract.topics import Address, Channel


class RecordingLink:
    """The port `Link`."""

    def __init__(self) -> None:
        self.published: list[tuple[Address, Channel, bytes]] = []
        self._changed = threading.Condition()

    def publish(self, address: Address, channel: Channel, payload: bytes, *, retain: bool = False) -> None:
        with self._changed:
            self.published.append((address, channel, payload))
            self._changed.notify_all()

    def acks(self) -> list[Ack]:
        """What was acked, oldest first."""
        return [one for one in self._answers() if not one.batch]

    def turned_down(self) -> list[Ack]:
        """The answers to batches that were refused, or put off, oldest first."""
        return [one for one in self._answers() if one.batch]

    def _answers(self) -> list[Ack]:
        acks = [decode(payload, Ack) for _, channel, payload in self.published if channel is Channel.ACK]
        assert all(one.sent_at is not None for one in acks)
        return [msgspec.structs.replace(one, sent_at=None) for one in acks]

    def wait_for_acks(self, count: int, timeout_seconds: float = 30.0) -> list[Ack]:
        """The acks, as soon as there are `count`."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self.acks()) >= count, timeout_seconds)
        assert arrived, f"{len(self.acks())} acks came, and not {count}"
        return self.acks()
