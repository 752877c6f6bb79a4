"""A transport that is made late is the one that it makes, and before that none."""

from collections.abc import Callable

from edge_agent.transport.late import LateTransport
from edge_agent.transport.port import Listener
from fleet_contract.encoding import MAX_MESSAGE_BYTES
from fleet_contract.topics import Channel


class Recorded:
    """Takes small messages."""

    max_message_bytes = 100

    def __init__(self) -> None:
        self.heard: list[object] = []

    def start(self, listener: Listener, last_will: Callable[[], bytes]) -> None:
        self.heard.append(last_will())

    def send(self, channel: Channel, payload: bytes) -> bool:
        self.heard.append((channel, payload))
        return True

    def close(self, farewell: bytes, timeout_seconds: float) -> None:
        self.heard.append((farewell, timeout_seconds))


def test_before_it_is_started_nothing_is_made_nor_sent():
    def never():
        raise AssertionError

    late = LateTransport(never)
    assert not late.send(Channel.REPORT, b"x")
    assert late.max_message_bytes == MAX_MESSAGE_BYTES
    late.close(b"bye", 1.0)


def test_once_started_it_is_what_it_made():
    made = Recorded()
    late = LateTransport(lambda: made)
    late.start(None, lambda: b"will")
    assert late.max_message_bytes == 100
    assert late.send(Channel.REPORT, b"x")
    late.close(b"bye", 1.0)
    assert made.heard == [b"will", (Channel.REPORT, b"x"), (b"bye", 1.0)]
