"""A transport that is made when it is started: what it imports comes after the models, which applications wait for."""

from collections.abc import Callable

from edge_agent.transport.port import Listener, Transport
from fleet_contract.encoding import MAX_MESSAGE_BYTES
from fleet_contract.topics import Channel


class LateTransport:
    """A `Transport` that `make` makes on the thread that starts it."""

    def __init__(self, make: Callable[[], Transport]) -> None:
        self._make = make
        self._made: Transport | None = None

    @property
    def max_message_bytes(self) -> int:
        return MAX_MESSAGE_BYTES if self._made is None else self._made.max_message_bytes

    def start(self, listener: Listener, last_will: Callable[[], bytes]) -> None:
        made = self._make()
        made.start(listener, last_will)
        self._made = made

    def send(self, channel: Channel, payload: bytes) -> bool:
        return self._made is not None and self._made.send(channel, payload)

    def close(self, farewell: bytes, timeout_seconds: float) -> None:
        if self._made is not None:
            self._made.close(farewell, timeout_seconds)
