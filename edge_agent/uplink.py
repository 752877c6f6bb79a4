"""Says what is, and hands over what was: reports at once, windows until the hub has them."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from edge_agent.core.drain import Drain, Send, acked, disconnected, following, sent
from edge_agent.reporting import Reporter
from edge_agent.telemetry.spool import Spool
from edge_agent.telemetry.tally import wall_ms
from edge_agent.telemetry.window import Recorder
from edge_agent.transport.port import Transport
from fleet_contract.because import Because
from fleet_contract.encoding import decode
from fleet_contract.errors import Undecodable
from fleet_contract.report import Presence
from fleet_contract.telemetry import Ack, Batch, encode_batch
from fleet_contract.topics import Channel

_log = logging.getLogger(__name__)
#: Of windows as the spool holds them, row by row; in columns and compressed they are some four times smaller, and
#: never larger, so a message stays below 128 KiB whatever is in it.
BATCH_BYTES = 96 * 1024
#: A model that is being changed passes several phases in a moment: one report tells them all.
SETTLE_SECONDS = 0.1
#: The loop turns at least this often, so that a watchdog can tell a quiet loop from a stuck one.
LONGEST_WAIT_SECONDS = 5.0


class Uplink:
    """A `Listener`, and the loop that answers. `run` has a thread of its own; all else may be called on any."""

    def __init__(
        self,
        device: str,
        transport: Transport,
        reporter: Reporter,
        recorder: Recorder,
        spool: Spool,
        on_desired: Callable[[bytes], None],
        heartbeat_seconds: float,
    ) -> None:
        self._device = device
        self._transport = transport
        self._reporter = reporter
        self._recorder = recorder
        self._spool = spool
        self._on_desired = on_desired
        self.heartbeat_seconds = heartbeat_seconds
        """How long a device may go without a report. May be changed at any time."""
        recorder.on_due = self.wake
        self._news = threading.Event()
        self._inbox: deque[Ack | bool] = deque()
        self._connected = False
        self._drain = Drain()
        self._report_due: float | None = None
        self.turned_at = time.monotonic()
        """When the loop last turned (monotonic seconds)."""

    # What the transport tells, on its thread.

    def connected(self) -> None:
        self._inbox.append(True)
        self._news.set()

    def disconnected(self, because: Because) -> None:
        del because  # The transport has logged it, and nobody who could read a report can be reached.
        self._inbox.append(False)
        self._news.set()

    def received(self, channel: Channel, payload: bytes) -> None:
        if channel is Channel.DESIRED:
            # An empty retained message is how MQTT takes a retained one back: no order, and no fault.
            if payload:
                self._on_desired(payload)
        elif channel is Channel.ACK:
            try:
                ack = decode(payload, Ack)
            except Undecodable as error:
                _log.warning("ignoring an ack: %s", error)
                return
            if ack.device != self._device:
                _log.warning("ignoring an ack for %s", ack.device)
                return
            self._inbox.append(ack)
            self._news.set()

    # What the agent tells.

    def changed(self) -> None:
        """Something that reports tell has changed: one is sent soon, and not only at the next heartbeat."""
        due = time.monotonic() + SETTLE_SECONDS
        if self._report_due is None or self._report_due > due:
            self._report_due = due
        self._news.set()

    def run(self, stop: threading.Event) -> None:
        """Turns until `stop` is set; `wake` makes it look."""
        self._transport.start(self, self._reporter.last_will)
        while not stop.is_set():
            self._news.clear()
            self._news.wait(max(0.0, self._turn() - time.monotonic()))

    def wake(self) -> None:
        """Makes `run` turn at once, and look at `stop`."""
        self._news.set()

    def close(self, timeout_seconds: float) -> None:
        """After `run` has ended: keeps the windows that were still open, offers them to the hub, and says goodbye."""
        self._keep_windows(everything=True)
        self._read_inbox()
        if self._connected:
            self._send_windows(time.monotonic())
        self._transport.close(self._reporter.report(Presence.CLOSING), timeout_seconds)

    def _turn(self) -> float:
        """Does what is due, and says when to turn again (monotonic seconds)."""
        self.turned_at = now = time.monotonic()
        self._read_inbox()
        self._keep_windows()
        wake_at = now + LONGEST_WAIT_SECONDS
        if self._connected:
            if self._report_due is not None and self._report_due <= now:
                self._report_due = now + self.heartbeat_seconds
                self._transport.send(Channel.REPORT, self._reporter.report(Presence.ONLINE))
            wake_at = min(wake_at, self._send_windows(now), self._report_due or wake_at)
        if (due_ms := self._recorder.due_ms()) is not None:
            wake_at = min(wake_at, now + max(0, due_ms - wall_ms()) / 1000)
        return wake_at

    def _read_inbox(self) -> None:
        while self._inbox:
            match self._inbox.popleft():
                case True:
                    self._connected = True
                    self._report_due = time.monotonic()
                case False:
                    self._connected = False
                    self._drain = disconnected(self._drain)
                case Ack() as ack:
                    self._drain = acked(self._drain, ack, self._spool.mark(ack.boot))
                    self._spool.forget(ack.boot, ack.through)

    def _keep_windows(self, *, everything: bool = False) -> None:
        for window in self._recorder.collect(wall_ms(), everything=everything):
            trouble = self._spool.trouble
            self._spool.append(window)
            if self._spool.trouble != trouble:
                if self._spool.trouble is not None:
                    _log.error("%s", self._spool.trouble)
                self.changed()

    def _send_windows(self, now: float) -> float:
        """Sends what the hub does not have, as far as may be now, and says when to come again."""
        while isinstance(step := following(self._drain, self._spool.backlog(), now), Send):
            try:
                windows = self._spool.read(step.boot, step.since, BATCH_BYTES)
            except OSError as error:
                _log.error("cannot read the spool now: %s", error)
                return now + LONGEST_WAIT_SECONDS
            if not windows:
                # Damaged, and by now off the backlog.
                continue
            batch = Batch(self._device, step.boot, step.after, windows)
            if not self._transport.send(Channel.TELEMETRY, encode_batch(batch)):
                # The transport is about to say that it is disconnected.
                return now + LONGEST_WAIT_SECONDS
            self._drain = sent(self._drain, step, windows[-1].sequence, now)
        return now + LONGEST_WAIT_SECONDS if step.until is None else step.until
