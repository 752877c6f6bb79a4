"""The port of the hub's link to its devices."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fleet_contract.topics import Address, Channel

Handler = Callable[[Address, bytes], None]


class Link(Protocol):
    """Thread-safe."""

    def publish(self, address: Address, channel: Channel, payload: bytes, *, retain: bool = False) -> None:
        """Sends at least once, soon; kept while the broker is away, and never waits for it."""


@dataclass(frozen=True)
class Handlers:
    """Called on the link's thread with the device that the topic names, whose broker let it publish there.

    What a handler raises is logged and counted as a refused message, and harms no other message.
    """

    on_report: Handler
    on_telemetry: Handler
    on_samples: Handler
    on_connected: Callable[[], None] = lambda: None
    """The broker is (again) there, and may have forgotten everything: what was retained must be published again."""
