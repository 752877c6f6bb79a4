"""Says what is, and hands over what was: reports at once, windows, events and samples until the hub has them."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from enum import Enum, auto
from typing import Any

from edge_agent import __version__
from edge_agent.core import unheard
from edge_agent.core.drain import (
    Drain,
    Send,
    acked,
    connected,
    disconnected,
    following,
    heard,
    sent,
    turned_down,
)
from edge_agent.hub_link import Change
from edge_agent.reporting import Reporter
from edge_agent.telemetry.chronicle import Chronicle, event
from edge_agent.telemetry.spool import Spool
from edge_agent.telemetry.tally import wall_ms
from edge_agent.telemetry.window import Recorder
from edge_agent.transport.port import Transport
from edge_agent.vitals import LONGEST_WAIT_SECONDS
from fleet_contract.because import Because
from fleet_contract.encoding import decode
from fleet_contract.errors import Undecodable
from fleet_contract.report import Presence
from fleet_contract.telemetry import Ack, Event, Lane, batch_of, channel_of, encode_batch, fingerprint
from fleet_contract.topics import Channel

_log = logging.getLogger(__name__)
#: Of records as a log holds them, row by row; in columns and compressed they are some six times smaller. What is
#: still too large for a message is sent by halves.
BATCH_BYTES = 256 * 1024
#: A model that is being changed passes several phases in a moment: one report tells them all.
SETTLE_SECONDS = 0.1

_STARTED = Because("started", f"Agent {__version__} started.")
_STOPPING = Because("stopping", f"Agent {__version__} was told to stop.")


class _Sign(Enum):
    """What the transport has told, beside acks."""

    CONNECTED = auto()
    DISCONNECTED = auto()
    ORDERED = auto()


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
        self.on_time: Callable[[datetime], None] = lambda _: None
        """Called with the hub's time when an answer names it; must return at once and not raise."""
        recorder.on_due = self.wake
        self._news = threading.Event()
        self._inbox: deque[Ack | _Sign] = deque()
        self._connected = False
        self._drains = {lane: Drain(f"{device}/{lane}") for lane in Lane}
        self._unheard = unheard.Unheard()
        self._chronicle = Chronicle()
        self._chronicling = threading.Lock()
        self._noted: deque[Event] = deque([event("started", _STARTED, reporter.started_at_ms)])
        self._report_due: float | None = None
        self.turned_at = time.monotonic()
        """When the loop last turned (monotonic seconds)."""

    # What the transport tells, on its thread.

    def connected(self) -> None:
        self._inbox.append(_Sign.CONNECTED)
        self._news.set()

    def disconnected(self, because: Because) -> None:
        del because  # The transport has logged it, and nobody who could read a report can be reached.
        self._inbox.append(_Sign.DISCONNECTED)
        self._news.set()

    def received(self, channel: Channel, payload: bytes) -> None:
        if channel is Channel.DESIRED:
            # An empty retained message is how MQTT takes a retained one back: no order, and no fault.
            if payload:
                self._on_desired(payload)
                self._inbox.append(_Sign.ORDERED)
                self._news.set()
        elif channel is Channel.ACK:
            try:
                ack = decode(payload, Ack)
            except Undecodable as error:
                _log.warning("ignoring an ack: %s", error)
                return
            if ack.device != self._device:
                _log.warning("ignoring an ack for %s", ack.device)
                return
            if ack.sent_at is not None:
                self.on_time(ack.sent_at)
            self._inbox.append(ack)
            self._news.set()

    # What the agent tells.

    def recall(self, changes: Iterable[Change]) -> None:
        """What had changed before there was an uplink."""
        with self._chronicling:
            for one in changes:
                self._noted += self._chronicle.models(one.updates.models, one.updates.refused, one.at_ms)

    def changed(self) -> None:
        """Something that reports tell has changed: one is sent soon, and not only at the next heartbeat."""
        # At once and here: a phase may be over before the loop turns.
        updates = self._reporter.updates()
        with self._chronicling:
            self._noted += self._chronicle.models(updates.models, updates.refused, wall_ms())
        self._report_soon()

    def _report_soon(self) -> None:
        due = time.monotonic() + SETTLE_SECONDS
        if self._report_due is None or self._report_due > due:
            self._report_due = due
        self._news.set()

    def trouble(self) -> Because | None:
        """What the hub seems not to hear at all."""
        return unheard.trouble(self._unheard)

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
        self._noted.append(event("stopping", _STOPPING, wall_ms()))
        self._keep_windows(everything=True)
        self._keep_events(time.monotonic())
        self._read_inbox()
        if self._connected:
            self._send_records(time.monotonic())
        self._transport.close(self._reporter.report(Presence.CLOSING), timeout_seconds)

    def _turn(self) -> float:
        """Does what is due, and says when to turn again (monotonic seconds)."""
        self.turned_at = now = time.monotonic()
        self._read_inbox()
        self._keep_windows()
        self._keep_events(now)
        wake_at = now + LONGEST_WAIT_SECONDS
        if self._connected:
            if self._report_due is not None and self._report_due <= now:
                self._report_due = now + self.heartbeat_seconds
                self._transport.send(Channel.REPORT, self._reporter.report(Presence.ONLINE))
            wake_at = min(wake_at, self._send_records(now), self._report_due or wake_at)
        if (due_ms := self._recorder.due_ms()) is not None:
            wake_at = min(wake_at, now + max(0, due_ms - wall_ms()) / 1000)
        return wake_at

    def _read_inbox(self) -> None:
        while self._inbox:
            now = time.monotonic()
            match self._inbox.popleft():
                case _Sign.CONNECTED:
                    self._connected = True
                    self._report_due = now
                    for lane in Lane:
                        self._drains[lane] = connected(self._drains[lane], self._spool.waiting(lane), now)
                case _Sign.DISCONNECTED:
                    self._connected = False
                    self._drains = {lane: disconnected(drain) for lane, drain in self._drains.items()}
                case _Sign.ORDERED:
                    self._drains = {lane: heard(drain, now) for lane, drain in self._drains.items()}
                case Ack(batch="") as ack:
                    if ack.lane in tuple(Lane):
                        lane = Lane(ack.lane)
                        self._unheard = unheard.answered(self._unheard, lane)
                        self._drains[lane] = acked(self._drains[lane], ack, self._spool.mark(ack.boot, lane))
                        self._spool.forget(ack.boot, ack.through, lane)
                case Ack() as ack:
                    self._turned_down(ack, now)

    def _turned_down(self, ack: Ack, now: float) -> None:
        for lane in Lane:
            before = self._drains[lane]
            self._drains[lane], given_up = turned_down(before, ack, now)
            if self._drains[lane] is not before:
                self._unheard = unheard.answered(self._unheard, lane)
            if given_up is not None:
                lost = self._spool.give_up(given_up.boot, given_up.through, "refused", lane)
                _log.error("the hub refused %d %s for good: %s", lost, lane, ack.refused)
                self.changed()

    def _keep_windows(self, *, everything: bool = False) -> None:
        for window in self._recorder.collect(wall_ms(), everything=everything):
            trouble = self._spool.trouble
            self._spool.append(window)
            if self._spool.trouble != trouble:
                if self._spool.trouble is not None:
                    _log.error("%s", self._spool.trouble)
                self.changed()

    def _keep_events(self, now: float) -> None:
        troubles = self._reporter.troubles()
        with self._chronicling:
            found = self._chronicle.troubles(troubles, now, wall_ms())
            self._noted += found
        if found:
            self._report_soon()
        while self._noted:
            self._spool.note(self._noted.popleft())

    def _send_records(self, now: float) -> float:
        """Sends what the hub does not have, as far as may be now, and says when to come again."""
        return min(self._send_lane(lane, now) for lane in Lane)

    def _send_lane(self, lane: Lane, now: float) -> float:
        while isinstance(step := following(self._drains[lane], self._spool.backlog(lane), now), Send):
            try:
                records = self._spool.read(step.boot, step.since, BATCH_BYTES, step.records, lane)
            except OSError:
                # The spool says so.
                return now + LONGEST_WAIT_SECONDS
            if not records:
                # Damaged, and by now off the backlog.
                continue
            payload, records = self._packed(lane, step, records)
            last = records[-1].sequence
            if len(payload) > self._transport.max_message_bytes:
                # Alone, and no broker in between will ever let it through.
                self._spool.give_up(step.boot, last, "too-large", lane)
                _log.error("record %d of %s has %d bytes, and the broker takes less", last, lane, len(payload))
                continue
            if not self._transport.send(channel_of(lane), payload):
                # The transport is about to say that it is disconnected.
                return now + LONGEST_WAIT_SECONDS
            self._drains[lane] = sent(self._drains[lane], step, last, now, len(records), fingerprint(payload))
            self._unheard = unheard.sent(self._unheard, lane)
        return now + LONGEST_WAIT_SECONDS if step.until is None else step.until

    def _packed(self, lane: Lane, step: Send, records: tuple[Any, ...]) -> tuple[bytes, tuple[Any, ...]]:
        """As many of `records` as fit into a message, but at least one, and the message."""
        while True:
            payload = encode_batch(batch_of(self._device, step.boot, step.after, lane, records))
            if len(payload) <= self._transport.max_message_bytes or len(records) == 1:
                return payload, records
            records = records[: len(records) // 2]
