"""What the agent needs of a broker: connect and stay connected, send, receive. Nothing here knows MQTT."""

from collections.abc import Callable
from typing import Protocol

from fleet_contract.because import Because
from fleet_contract.topics import Channel


class Listener(Protocol):
    """Whom a transport tells. Called on the transport's thread: return at once, and raise nothing."""

    def connected(self) -> None:
        """The broker took us, and we hear what it sends."""

    def disconnected(self, because: Because) -> None:
        """The connection, or the last try to make one, has ended. The transport tries again by itself."""

    def received(self, channel: Channel, payload: bytes) -> None:
        """A message came. It may have come before."""


class Transport(Protocol):
    """A connection that mends itself. Messages may be lost or repeated: the contract above it copes."""

    @property
    def max_message_bytes(self) -> int:
        """What the connection takes as one message's payload, and the contract allows."""

    def start(self, listener: Listener, last_will: Callable[[], bytes]) -> None:
        """Connects, now and whenever the connection is lost. `last_will` makes the report that the broker sends for
        us when we vanish; it is asked once for each try."""

    def send(self, channel: Channel, payload: bytes) -> bool:
        """Hands `payload` to the connection; False when there is none, and then nothing was sent."""

    def close(self, farewell: bytes, timeout_seconds: float) -> None:
        """Sends `farewell` as the last report, waits up to the timeout for the broker to take it, and disconnects.
        The broker then sends no last will."""
