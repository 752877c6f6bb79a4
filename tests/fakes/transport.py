"""A transport that a test connects, breaks and listens to."""

from collections.abc import Callable

from edge_agent.transport.port import Listener
from fleet_contract.because import Because
from fleet_contract.encoding import MAX_MESSAGE_BYTES, decode
from fleet_contract.report import Report
from fleet_contract.telemetry import Batch, Lane, channel_of, decode_batch
from fleet_contract.topics import Channel


class FakeTransport:
    """What was sent while connected is in `reports`, `batches` (of windows), `events` and `samples`, and in `astray`
    what went over another lane's channel; `wills` has a last will for each connection."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.batches: list[Batch] = []
        self.sizes: list[int] = []
        self.telemetry_sizes: list[int] = []
        self.wills: list[Report] = []
        self.farewell: Report | None = None
        self.up = False
        self.events: list[Batch] = []
        self.samples: list[Batch] = []
        self.astray: list[Batch] = []
        self.max_message_bytes = MAX_MESSAGE_BYTES

    def start(self, listener: Listener, last_will: Callable[[], bytes]) -> None:
        self.listener, self._last_will = listener, last_will

    def send(self, channel: Channel, payload: bytes) -> bool:
        if not self.up:
            return False
        self.sizes.append(len(payload))
        if channel is Channel.REPORT:
            self.reports.append(decode(payload, Report))
        else:
            self.telemetry_sizes.append(len(payload))
            batch = decode_batch(payload)
            kept = {Lane.WINDOWS: self.batches, Lane.EVENTS: self.events, Lane.SAMPLES: self.samples}
            (kept[batch.lane] if channel is channel_of(batch.lane) else self.astray).append(batch)
        return True

    def close(self, farewell: bytes, timeout_seconds: float) -> None:
        self.farewell = decode(farewell, Report)
        self.up = False

    def connect(self) -> None:
        self.wills.append(decode(self._last_will(), Report))
        self.up = True
        self.listener.connected()

    def disconnect(self) -> None:
        self.up = False
        self.listener.disconnected(Because("broker-lost", "A test cut it."))
