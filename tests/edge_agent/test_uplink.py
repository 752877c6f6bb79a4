"""The uplink says what is at once, and hands over windows until the hub has them."""

import errno
import threading
import time
from datetime import UTC, datetime

import pytest

from edge_agent import uplink as uplink_module
from edge_agent.reporting import Origin, Reporter
from edge_agent.telemetry.spool import Spool
from edge_agent.telemetry.tally import wall_ms
from edge_agent.telemetry.window import Recorder
from edge_agent.update.updater import UpdaterState
from edge_agent.uplink import Uplink
from fleet_contract.because import Because
from fleet_contract.encoding import MAX_MESSAGE_BYTES, encode
from fleet_contract.report import Presence
from fleet_contract.telemetry import Ack
from fleet_contract.topics import Address, Channel
from tests.fakes.recording import record
from tests.fakes.releases import a_manifest
from tests.fakes.spools import files, ill
from tests.fakes.transport import FakeTransport
from tests.fakes.waiting import until
from tests.fakes.windows import a_window

ORIGIN = Origin(Address("default", "press-1"), "b1", "cpu-vnni", datetime(2026, 11, 1, tzinfo=UTC))


class Bench:
    """An uplink that runs, with all that it needs."""

    def __init__(self, folder, heartbeat_seconds: float = 60.0, window_ms: int = 60_000) -> None:
        self.transport = FakeTransport()
        self.recorder = Recorder(window_ms)
        self.spool = Spool(folder, "default.press-1", "b1", 1 << 24)
        self.updates = UpdaterState(generation=3)
        self.troubles: list[Because] = []
        self.desired: list[bytes] = []
        reporter = Reporter(ORIGIN, lambda: self.updates, self.spool, lambda: self.troubles)
        self.uplink = Uplink(
            "press-1", self.transport, reporter, self.recorder, self.spool, self.desired.append, heartbeat_seconds
        )
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.uplink.run, args=(self.stop,))
        self.thread.start()
        until(lambda: hasattr(self.transport, "listener"))

    def ack(self, through: int, *, boot: str = "b1", device: str = "press-1") -> None:
        self.uplink.received(Channel.ACK, encode(Ack(device, boot, through)))

    def answer(self, version: int = 1) -> None:
        record(self.recorder, a_manifest(version), {}, [("1", 0.9)], 100.0, wall_ms())

    def end(self) -> None:
        self.stop.set()
        self.uplink.wake()
        self.thread.join(60)
        assert not self.thread.is_alive()
        self.spool.close()


@pytest.fixture
def bench(tmp_path):
    made = []

    def make(**options) -> Bench:
        made.append(Bench(tmp_path, **options))
        return made[-1]

    yield make
    for one in made:
        one.end()


def test_a_connection_begins_with_a_whole_report(bench):
    one = bench()
    one.troubles = [Because("source-wrong", "There is nothing to replay.")]
    one.spool.append(a_window())
    one.transport.connect()
    until(lambda: one.transport.reports)
    report = one.transport.reports[0]
    assert (report.device, report.boot, report.presence, report.generation) == ("press-1", "b1", Presence.ONLINE, 3)
    assert report.spool.records == 1
    assert report.troubles == tuple(one.troubles)
    assert report.inventory.cores >= 1


def test_a_change_is_reported_soon_and_a_burst_of_changes_once(bench):
    one = bench()
    one.transport.connect()
    until(lambda: one.transport.reports)
    began = time.monotonic()
    one.updates = UpdaterState(generation=4)
    for _ in range(50):
        one.uplink.changed()
    until(lambda: len(one.transport.reports) == 2)
    assert time.monotonic() - began < 1.0
    assert one.transport.reports[1].generation == 4
    time.sleep(0.3)
    assert len(one.transport.reports) == 2


def test_a_heartbeat_comes_when_nothing_changes(bench):
    one = bench(heartbeat_seconds=0.1)
    one.transport.connect()
    until(lambda: len(one.transport.reports) >= 4)
    numbers = [report.number for report in one.transport.reports]
    assert numbers == sorted(set(numbers))


def test_each_connections_last_will_is_newer_than_its_reports_and_older_than_the_next_ones(bench):
    one = bench()
    for connection in (1, 2):
        one.transport.connect()
        until(lambda number=connection: len(one.transport.reports) == number)
        one.transport.disconnect()
    first, second = one.transport.reports
    wills = one.transport.wills
    assert {will.presence for will in wills} == {Presence.LOST}
    assert first.number < wills[0].number < second.number < wills[1].number


def test_windows_are_sent_when_they_close_and_kept_until_the_hub_has_them(bench):
    one = bench(window_ms=100)
    one.transport.connect()
    one.answer()
    until(lambda: one.transport.batches)
    assert one.spool.report().records == 1
    one.ack(1)
    until(lambda: one.spool.report().records == 0)
    one.answer(version=2)
    until(lambda: len(one.transport.batches) == 2)
    assert [(b.after, [w.sequence for w in b.windows]) for b in one.transport.batches] == [(0, [1]), (1, [2])]


def test_windows_close_and_are_kept_while_there_is_no_connection(bench):
    one = bench(window_ms=50)
    for count in (1, 2, 3):
        one.answer()
        until(lambda number=count: one.spool.report().records == number)
    assert one.transport.batches == []
    one.transport.connect()
    until(lambda: one.transport.batches)
    assert [window.sequence for window in one.transport.batches[0].windows] == [1, 2, 3]


def test_a_long_backlog_goes_out_in_messages_that_fit(bench):
    one = bench()
    # First, or a device that comes back with so much waits for others.
    one.transport.connect()
    until(lambda: one.transport.reports)
    for _ in range(400):
        one.spool.append(a_window(labels=200))
    one.uplink.wake()
    while one.spool.report().records:
        known = len(one.transport.batches)
        until(lambda number=known: one.transport.batches[number - 1 :])
        one.ack(one.transport.batches[-1].windows[-1].sequence)
        time.sleep(0.01)
    sequences = [window.sequence for batch in one.transport.batches for window in batch.windows]
    assert sequences == list(range(1, 401))
    assert len(one.transport.batches) < 20
    assert max(one.transport.sizes) < MAX_MESSAGE_BYTES


def test_a_new_connection_sends_again_what_was_not_acked(bench):
    one = bench()
    one.spool.append(a_window())
    one.transport.connect()
    until(lambda: len(one.transport.batches) == 1)
    one.transport.disconnect()
    one.transport.connect()
    until(lambda: len(one.transport.batches) == 2)
    assert one.transport.batches[0] == one.transport.batches[1]


def test_acks_that_are_not_for_us_or_not_acks_change_nothing(bench):
    one = bench()
    one.spool.append(a_window())
    one.transport.connect()
    until(lambda: one.transport.batches)
    one.ack(1, device="press-2")
    one.uplink.received(Channel.ACK, b"\xff nonsense")
    one.uplink.received(Channel.ACK, b'{"device": 1}')
    time.sleep(0.1)
    assert one.spool.report().records == 1
    one.ack(1)
    until(lambda: one.spool.report().records == 0)


def test_orders_go_to_the_updater_and_an_empty_one_to_nobody(bench):
    one = bench()
    one.uplink.received(Channel.DESIRED, b"")
    one.uplink.received(Channel.DESIRED, b"an order")
    assert one.desired == [b"an order"]


def test_a_spool_that_cannot_be_written_is_reported_at_once(bench, monkeypatch):
    one = bench()
    one.transport.connect()
    until(lambda: one.transport.reports)
    monkeypatch.setattr(one.spool, "append", lambda _: setattr(one.spool, "trouble", Because("disk-full", "Full.")))
    one.troubles = [Because("disk-full", "Full.")]
    one.answer(1)
    one.answer(2)
    one.uplink.wake()
    until(lambda: len(one.transport.reports) == 2)
    assert one.transport.reports[1].troubles[0].code == "disk-full"


def test_closing_keeps_the_open_windows_offers_them_and_says_goodbye(bench):
    one = bench()
    one.transport.connect()
    until(lambda: one.transport.reports)
    one.answer()
    one.end()
    one.uplink.close(1.0)
    assert one.spool.report().records == 1
    assert [window.sequence for window in one.transport.batches[0].windows] == [1]
    assert one.transport.farewell.presence is Presence.CLOSING
    assert one.transport.farewell.number > one.transport.reports[-1].number


def test_a_quiet_loop_turns_often_enough_to_be_told_from_a_stuck_one(bench, monkeypatch):
    monkeypatch.setattr(uplink_module, "LONGEST_WAIT_SECONDS", 0.05)
    one = bench()
    first = one.uplink.turned_at
    until(lambda: one.uplink.turned_at > first + 0.2)


def test_a_spool_that_cannot_be_read_now_is_read_again(bench, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(uplink_module, "LONGEST_WAIT_SECONDS", 0.02)
    it = bench()
    unreadable = ill(monkeypatch, errno.EMFILE)
    unreadable |= set(files(tmp_path))
    it.spool.append(a_window())
    it.transport.connect()
    until(lambda: "Too many open files" in caplog.text)
    assert not it.transport.batches
    unreadable.clear()
    until(lambda: it.transport.batches)
    assert it.thread.is_alive()
