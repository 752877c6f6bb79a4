"""The spool keeps what it took, in order, within its bound, whatever ends the process."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge_agent.core.drain import Backlog
from edge_agent.telemetry import queue as queue_module
from edge_agent.telemetry import reader as reader_module
from edge_agent.telemetry import sealed as sealed_module
from edge_agent.telemetry import segment as segment_module
from edge_agent.telemetry import spool as spool_module
from edge_agent.telemetry.log import Placed, packed_bytes
from edge_agent.telemetry.loss import TOLD_SECONDS
from edge_agent.telemetry.spool import MAX_RECORD_BYTES, Spool, look
from fleet_contract.bounds import MAX_KEYS
from fleet_contract.telemetry import Lane
from tests.fakes.spools import (
    MEGABYTE,
    OWNER,
    Clock,
    a_large_window,
    a_long_event,
    a_very_large_window,
    an_event,
    codes,
    files,
    sealed,
    sequences,
)
from tests.fakes.windows import a_window


def test_windows_come_back_in_order_with_the_sequences_that_they_got(tmp_path):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    for count in (5, 6, 7):
        assert spool.append(a_window(count))
    assert [(one.sequence, one.count) for one in spool.read("b1", 0, MEGABYTE)] == [(1, 5), (2, 6), (3, 7)]
    assert spool.backlog() == Backlog("b1", 0, 3)
    assert spool.report().records == 3


def test_an_empty_spool_has_no_backlog(tmp_path):
    assert Spool(tmp_path, OWNER, "b1", MEGABYTE).backlog() is None


def test_the_next_start_finds_the_windows_under_their_old_boot_and_drains_them_first(tmp_path):
    for boot in ("b1", "b2", "a3"):
        spool = Spool(tmp_path, OWNER, boot, MEGABYTE)
        spool.append(a_window())
    spool = Spool(tmp_path, OWNER, "a4", MEGABYTE)
    spool.append(a_window())
    order = []
    while backlog := spool.backlog():
        order.append(backlog.boot)
        spool.forget(backlog.boot, backlog.last)
    assert order == ["b1", "b2", "a3", "a4"]


def test_what_the_hub_has_is_forgotten_over_a_restart(tmp_path):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    for _ in range(5):
        spool.append(a_window())
    spool.forget("b1", 3)
    spool = Spool(tmp_path, OWNER, "b2", MEGABYTE)
    assert spool.backlog() == Backlog("b1", 3, 5)
    assert spool.report().records == 2
    spool = Spool(tmp_path, OWNER, "b3", MEGABYTE)
    assert spool.backlog() == Backlog("b1", 3, 5)


def test_what_the_hub_has_of_an_old_boot_is_remembered_by_all_later_starts(tmp_path):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    for _ in range(5):
        spool.append(a_window())
    Spool(tmp_path, OWNER, "b2", MEGABYTE).forget("b1", 3)
    for boot in ("b3", "b4", "b5"):
        assert Spool(tmp_path, OWNER, boot, MEGABYTE).backlog() == Backlog("b1", 3, 5)


def test_files_whose_windows_the_hub_has_are_removed(tmp_path):
    for boot in ("b1", "b2"):
        Spool(tmp_path, OWNER, boot, MEGABYTE).append(a_window())
    spool = Spool(tmp_path, OWNER, "b3", MEGABYTE)
    assert len(files(tmp_path)) == 3
    spool.forget("b1", 1)
    spool.forget("b2", 1)
    assert [path.stem.split("-")[1] for path in files(tmp_path)] == ["b3"]


def test_starting_again_and_again_leaves_no_trail(tmp_path):
    for number in range(20):
        Spool(tmp_path, OWNER, f"b{number}", MEGABYTE)
    assert len(files(tmp_path)) == 1


def test_an_ack_for_more_than_was_ever_made_does_not_swallow_what_is_to_come(tmp_path):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    spool.append(a_window())
    spool.forget("b1", 1_000_000)
    spool.append(a_window())
    assert spool.backlog() == Backlog("b1", 1, 2)


def test_an_old_ack_changes_nothing(tmp_path):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    for _ in range(3):
        spool.append(a_window())
    spool.forget("b1", 2)
    spool.forget("b1", 1)
    spool.forget("unknown", 7)
    assert spool.backlog() == Backlog("b1", 2, 3)


def test_a_read_stops_before_it_is_too_large_but_gives_at_least_one(tmp_path):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    for _ in range(10):
        spool.append(a_window(labels=100))
    one = len(spool_module._encoder.encode(a_window(labels=100)))
    assert [w.sequence for w in spool.read("b1", 2, one * 3 + one // 2)] == [3, 4, 5]
    assert [w.sequence for w in spool.read("b1", 2, 1)] == [3]


@pytest.mark.parametrize("how", ["cut", "flipped"])
def test_a_torn_end_costs_only_what_was_torn(tmp_path, how):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    for _ in range(3):
        spool.append(a_window())
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    last = len(whole) - packed_bytes(spool_module._encoder.encode(a_window()))
    for at in range(last, len(whole), 5):
        torn = whole[:at] if how == "cut" else whole[:at] + bytes((whole[at] ^ 0x40,)) + whole[at + 1 :]
        path.write_bytes(torn)
        for other in files(tmp_path):
            if other != path:
                other.unlink()
        spool = Spool(tmp_path, OWNER, "b2", MEGABYTE)
        assert sequences(spool, "b1") == [1, 2], at
        assert spool.append(a_window())
        assert sequences(spool, "b2") == [1]


def test_a_full_spool_drops_the_oldest_and_counts_them_for_ever(tmp_path):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    made = 0
    while spool.report().dropped == 0:
        spool.append(a_large_window(made))
        made += 1
        assert sum(path.stat().st_size for path in tmp_path.rglob("*.*")) <= MEGABYTE
    assert [one.code for one in spool.troubles()] == ["spool-full"]
    report = spool.report()
    assert report.size_bytes <= MEGABYTE
    assert report.records + report.dropped == made
    assert sequences(spool, "b1") == list(range(report.dropped + 1, made + 1))
    again = Spool(tmp_path, OWNER, "b2", MEGABYTE)
    assert again.report().dropped == report.dropped
    again.forget("b1", made)
    assert Spool(tmp_path, OWNER, "b3", MEGABYTE).report().dropped == report.dropped


def test_a_window_too_large_for_any_message_is_dropped_with_a_reason(tmp_path):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    assert not spool.append(a_window(labels=MAX_RECORD_BYTES // 8))
    assert spool.trouble.code == "window-too-large"
    assert "digits version 1" in spool.trouble.sentence
    assert spool.report().dropped == 1
    assert spool.append(a_window())
    assert spool.trouble is None
    assert sequences(spool, "b1") == [1]


@pytest.mark.parametrize("label", ["nul\0", "x" * 300])
def test_a_window_that_no_hub_could_take_does_not_hold_up_the_others(tmp_path, label):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    assert not spool.append(msgspec.structs.replace(a_window(), predictions={label: 1}))
    assert spool.trouble.code == "window-wrong"
    assert spool.append(a_window())
    assert sequences(spool, "b1") == [1]
    assert spool.report().lanes["windows"].dropped == {"window-wrong": 1}


def test_a_full_disk_is_a_trouble_that_ends_when_there_is_room_again(tmp_path, monkeypatch):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    spool.append(a_window())
    real = os.write

    def half(descriptor: int, data: bytes) -> int:
        # What a full disk does: it takes a part, and then no more.
        if len(data) < 60:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[: len(data) // 2])

    monkeypatch.setattr(queue_module.os, "write", half)
    for _ in range(5):
        assert not spool.append(a_window())
    assert spool.trouble.code == "disk-full"
    assert len(files(tmp_path)) == 1
    monkeypatch.undo()
    assert spool.append(a_window())
    assert spool.trouble is None
    assert spool.report().dropped == 5
    # Of number 2 a part is on disk; the others never got so far.
    assert sequences(spool, "b1") == [1, 3]
    assert sequences(Spool(tmp_path, OWNER, "b2", MEGABYTE), "b1") == [1, 3]


def test_a_disk_that_is_full_at_the_start_does_not_stop_the_agent(tmp_path, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    Spool(tmp_path, OWNER, "b1", MEGABYTE).append(a_window())
    monkeypatch.setattr(queue_module.os, "open", full)
    spool = Spool(tmp_path, OWNER, "b2", MEGABYTE)
    assert spool.trouble.code == "disk-full"
    assert not spool.append(a_window())
    monkeypatch.undo()
    assert spool.append(a_window())
    assert spool.trouble is None
    assert sequences(spool, "b1") == [1]
    assert sequences(spool, "b2") == [1]


def test_a_window_whose_sync_failed_is_counted_once_and_holds_up_no_other(tmp_path, monkeypatch):
    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    assert spool.append(a_window())
    with monkeypatch.context() as patched:
        patched.setattr(queue_module.os, "fdatasync", fail)
        assert not spool.append(a_window())
    # All of number 2 is in the file, and it was counted: it must not come after all.
    assert sequences(spool, "b1") == [1]
    assert spool.append(a_window())
    assert sequences(spool, "b1") == [1, 3]
    assert spool.report().lanes["windows"].dropped == {"disk": 1}
    again = Spool(tmp_path, OWNER, "b2", MEGABYTE)
    assert sequences(again, "b1") == [1, 3]
    assert again.report().lanes["windows"].dropped == {"disk": 1}


@pytest.mark.parametrize(("place", "call"), [(os, "listdir"), (Path, "stat"), (Path, "open"), (Path, "read_bytes")])
def test_a_disk_that_fails_to_read_once_costs_nothing(tmp_path, monkeypatch, place, call):
    spool, _ = sealed(tmp_path)
    spool.append(a_window())
    spool.close()
    real, failed = getattr(place, call), set[str]()

    def fail_once(path: Any, *arguments: Any, **named: Any) -> Any:
        if (name := str(path)) not in failed and name.startswith(str(tmp_path / "windows")):
            failed.add(name)
            raise OSError(errno.EIO, os.strerror(errno.EIO), name)
        return real(path, *arguments, **named)

    monkeypatch.setattr(place, call, fail_once)
    again = Spool(tmp_path, OWNER, "b2", MEGABYTE)
    assert sequences(again, "b1") == list(range(1, 402))
    assert again.troubles() == []
    assert again.report().dropped == 0
    assert failed


def test_an_ack_for_what_came_after_a_file_that_could_not_be_read_does_not_swallow_it(tmp_path, monkeypatch):
    spool, paths = sealed(tmp_path)
    spool.append(a_window())
    spool.forget("b1", 10)
    spool.close()
    # From here on nothing of "b1" itself says what the hub has of it.
    Spool(tmp_path, OWNER, "b2", MEGABYTE).close()
    stat = Path.stat

    def refuse(path: Path, **named: Any) -> Any:
        if path == paths[0]:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))
        return stat(path, **named)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", refuse)
        again = Spool(tmp_path, OWNER, "b3", MEGABYTE)
        assert [one.code for one in again.troubles()] == ["spool-unreadable"]
        again.forget("b1", 401)
        assert again.append(a_window())
        again.close()
    last = Spool(tmp_path, OWNER, "b4", MEGABYTE)
    assert last.backlog() == Backlog("b1", 10, 401)
    assert sequences(last, "b1", since=10) == list(range(11, 402))
    assert last.report().dropped == 0


def test_what_rots_in_a_log_costs_only_the_windows_that_it_hit_and_is_counted_once(tmp_path):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    for _ in range(9):
        spool.append(a_window())
    (path,) = files(tmp_path)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    found = sequences(spool, "b1")
    assert len(found) == 8
    assert found[-1] == 9
    assert spool.report().lanes["windows"].dropped == {"damaged": 1}
    assert [one.code for one in spool.troubles()] == ["spool-damaged"]
    for boot in ("b2", "b3", "b4"):
        again = Spool(tmp_path, OWNER, boot, MEGABYTE)
        assert sequences(again, "b1") == found
        assert again.troubles() == [], "what an earlier start has counted is no news"
        assert again.report().lanes["windows"].dropped == {"damaged": 1}
    again.forget("b1", 9)
    assert again.backlog() is None


def test_what_rotted_while_no_agent_ran_is_found_at_the_next_start(tmp_path):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    for _ in range(9):
        spool.append(a_window())
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    hole = len(whole) // 3
    # A block of the disk that came back as zeros: lengths and all are gone.
    path.write_bytes(whole[:hole] + bytes(300) + whole[hole + 300 :])
    for boot in ("b2", "b3"):
        again = Spool(tmp_path, OWNER, boot, MEGABYTE)
        found = sequences(again, "b1")
        assert found[0] == 1
        assert found[-1] == 9
        assert again.report().lanes["windows"].dropped == {"damaged": 9 - len(found)}


def test_full_segments_are_sealed_and_come_back_as_they_were(tmp_path):
    spool, paths = sealed(tmp_path)
    assert len(paths) >= 2
    for _ in range(2):
        windows = spool.read("b1", 0, 100 * MEGABYTE)
        assert [(window.sequence, window.count) for window in windows] == [(n + 1, n) for n in range(400)]
        assert spool.report().records == 400
        spool = Spool(tmp_path, OWNER, "b2", MEGABYTE)
    assert sum(path.stat().st_size for path in paths) * 10 < 400 * len(spool_module._encoder.encode(windows[0]))


def test_reading_goes_on_within_a_sealed_segment(tmp_path):
    spool, _ = sealed(tmp_path)
    assert [one.sequence for one in spool.read("b1", 57, MEGABYTE, 3)] == [58, 59, 60]
    spool.forget("b1", 60)
    assert spool.backlog() == Backlog("b1", 60, 400)
    assert spool.report().records == 340
    spool.forget("b1", 400)
    assert spool.backlog() is None
    assert [path.suffix for path in files(tmp_path)] == [".log"]


@pytest.mark.parametrize("where", ["head", "body", "cut", "empty"])
def test_a_sealed_segment_that_rots_is_counted_once_and_holds_up_nothing(tmp_path, where):
    spool, paths = sealed(tmp_path)
    inside = [one.sequence for one in spool.read("b1", 0, 100 * MEGABYTE)]
    whole = bytearray(paths[0].read_bytes())
    whole[4 if where == "head" else len(whole) // 2] ^= 1
    keep = {"cut": len(whole) // 2, "empty": 0}.get(where, len(whole))
    paths[0].write_bytes(whole[:keep])
    for boot in ("b2", "b3"):
        again = Spool(tmp_path, OWNER, boot, MEGABYTE)
        found = sequences(again, "b1")
        assert ("spool-damaged" in [one.code for one in again.troubles()]) is (boot == "b2")
        assert found == inside[-len(found) :]
        dropped = again.report().lanes["windows"].dropped["damaged"]
        # Without a head nobody knows how many there were.
        assert dropped == (400 - len(found) if where in ("body", "cut") else 1)


@pytest.mark.parametrize("whole", [True, False])
def test_a_crash_between_the_two_steps_of_sealing_costs_and_doubles_nothing(tmp_path, monkeypatch, whole):
    kept: dict[Path, bytes] = {}
    unlink = Path.unlink

    def remember(path: Path, missing_ok: bool = False) -> None:
        kept[path] = path.read_bytes() if path.exists() else b""
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", remember)
    _, paths = sealed(tmp_path)
    monkeypatch.undo()
    log = paths[0].with_suffix(".log")
    log.write_bytes(kept[log])
    if not whole:
        paths[0].write_bytes(paths[0].read_bytes()[:-1])
    again = Spool(tmp_path, OWNER, "b2", MEGABYTE)
    assert sequences(again, "b1") == list(range(1, 401))
    assert again.report().lanes["windows"].dropped == {}


def test_a_disk_too_full_to_seal_keeps_the_log(tmp_path, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sealed_module, "write_durably", full)
    spool, paths = sealed(tmp_path)
    assert paths == []
    assert sequences(spool, "b1") == list(range(1, 401))
    monkeypatch.undo()
    again = Spool(tmp_path, OWNER, "b2", MEGABYTE)
    assert sequences(again, "b1") == list(range(1, 401))
    assert len(files(tmp_path)) > 2
    assert all(path.suffix == ".sealed" for path in files(tmp_path)[:-1])


def test_lanes_have_sequences_marks_and_counts_of_their_own(tmp_path):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    for number in (1, 2, 3):
        spool.append(a_window())
        spool.note(an_event(number))
    spool.forget("b1", 3)
    assert spool.backlog() is None
    assert spool.backlog(Lane.EVENTS) == Backlog("b1", 0, 3)
    again = Spool(tmp_path, OWNER, "b2", MEGABYTE)
    assert [one.version for one in again.read("b1", 1, MEGABYTE, lane=Lane.EVENTS)] == [2, 3]
    report = again.report()
    assert (report.records, report.lanes["events"].records) == (0, 3)
    assert look(tmp_path) == report


def test_events_make_room_for_windows_and_keep_a_little_of_their_own(tmp_path):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    for number in range(300):
        spool.note(a_long_event(number))
    before = spool.report()
    assert before.lanes["events"].size_bytes > 130_000
    number = 0
    while spool.report().dropped == 0:
        spool.append(a_large_window(number))
        number += 1
        assert sum(path.stat().st_size for path in tmp_path.rglob("*.*")) <= MEGABYTE
    report = spool.report()
    assert report.lanes["events"].dropped["spool-full"] > 0
    assert 32 * 1024 < report.lanes["events"].size_bytes <= 80 * 1024
    # The newest are still there.
    assert spool.backlog(Lane.EVENTS).last == 300
    events = spool.read("b1", 0, 100 * MEGABYTE, lane=Lane.EVENTS)
    assert len(events) + report.lanes["events"].dropped["spool-full"] == 300


def test_a_flood_of_events_costs_no_window_beyond_their_own_room(tmp_path):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    number = 0
    while spool.report().size_bytes < MEGABYTE - 150_000:
        spool.append(a_large_window(number))
        number += 1
    for number in range(700):
        spool.note(a_long_event(number))
    report = spool.report()
    assert report.dropped == 0
    assert report.lanes["events"].dropped["spool-full"] > 0
    assert report.size_bytes <= MEGABYTE


def test_what_was_recorded_under_another_name_is_not_sent_under_this_one(tmp_path):
    first = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    for _ in range(3):
        first.append(a_window())
        first.note(an_event())
    first.forget("b1", 1)
    spool = Spool(tmp_path, "default.press-2", "b2", MEGABYTE)
    assert spool.backlog() is None
    assert spool.backlog(Lane.EVENTS) is None
    assert spool.report().lanes["windows"].dropped == {"other-device": 2}
    assert spool.report().lanes["events"].dropped == {"other-device": 3}
    spool.append(a_window())
    back = Spool(tmp_path, OWNER, "b3", MEGABYTE)
    assert back.backlog() is None
    assert back.report().dropped == 3


def test_what_the_hub_refuses_is_dropped_counted_and_said(tmp_path):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    for _ in range(5):
        spool.append(a_window())
    spool.forget("b1", 2)
    assert spool.give_up("b1", 3, "refused") == 1
    assert spool.backlog() == Backlog("b1", 3, 5)
    assert [one.code for one in spool.troubles()] == ["telemetry-refused"]
    again = Spool(tmp_path, OWNER, "b2", MEGABYTE)
    assert again.backlog() == Backlog("b1", 3, 5)
    assert again.report().lanes["windows"].dropped == {"refused": 1}


def test_an_event_that_no_hub_could_take_holds_up_no_other(tmp_path):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    assert not spool.note(an_event(sentence="nul\0"))
    assert spool.trouble.code == "event-wrong"
    assert spool.note(an_event())
    assert spool.report().lanes["events"].dropped == {"event-wrong": 1}


LARGE = [a_large_window(number) for number in range(40)]


class Kept(RuleBasedStateMachine):
    """A spool with little room, killed, acked and fed: what it says waits, it gives; what it lost, it counted."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.boots = 0
        self.made: dict[str, int] = {}
        self.acked = 0

    @initialize()
    def starts_first(self) -> None:
        self.starts()

    @rule()
    def starts(self) -> None:
        self.boots += 1
        self.boot = f"b{self.boots}"
        self.made[self.boot] = 0
        self.spool = Spool(self.folder, OWNER, self.boot, 100_000)

    @rule(count=st.integers(1, 30), labels=st.sampled_from([3, 300]))
    def windows_close(self, count: int, labels: int) -> None:
        for _ in range(count):
            window = LARGE[self.made[self.boot] % len(LARGE)] if labels == 300 else a_window()
            assert self.spool.append(window)
            self.made[self.boot] += 1

    @rule(share=st.floats(0, 1))
    def hub_acks(self, share: float) -> None:
        if backlog := self.spool.backlog():
            found = [one.sequence for one in self.spool.read(backlog.boot, backlog.mark, 1 << 30)]
            if acked := found[: int(len(found) * share)]:
                self.spool.forget(backlog.boot, acked[-1])
                self.acked += len(acked)

    @invariant()
    def what_waits_can_be_read_in_order_and_is_the_newest(self) -> None:
        if not self.boots:
            return
        report = self.spool.report()
        assert report.size_bytes <= 100_000
        waiting = 0
        for boot, made in self.made.items():
            found = [one.sequence for one in self.spool.read(boot, self.spool.mark(boot), 1 << 30)]
            waiting += len(found)
            if found:
                assert found == list(range(found[0], made + 1))
        assert waiting == report.records
        assert waiting + report.dropped + self.acked == sum(self.made.values())

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


Kept.TestCase.settings = settings(max_examples=15, stateful_step_count=15, suppress_health_check=list(HealthCheck))
TestWhatWaitsIsThereAndWhatIsLostIsCounted = Kept.TestCase


def test_a_file_that_vanishes_does_not_stop_the_rest(tmp_path):
    Spool(tmp_path, OWNER, "b1", MEGABYTE).append(a_window())
    spool = Spool(tmp_path, OWNER, "b2", MEGABYTE)
    spool.append(a_window())
    files(tmp_path)[0].unlink()
    assert spool.read("b1", 0, MEGABYTE) == ()
    assert spool.backlog() == Backlog("b2", 0, 1)


def fails(monkeypatch: pytest.MonkeyPatch, number: int, lane: str = "windows", times: int = 1 << 30) -> None:
    """From now on the folder of `lane` cannot be listed, the first `times`."""
    listed, left = os.listdir, [times]

    def list_one(folder: Path) -> list[str]:
        if Path(folder).name == lane and left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number), str(folder))
        return listed(folder)

    monkeypatch.setattr(os, "listdir", list_one)


def test_a_lane_that_breaks_again_and_again_is_put_aside_each_time_and_what_breaks_last_is_kept(tmp_path, monkeypatch):
    for number, boot in enumerate(("b1", "b2", "b3"), 1):
        for _ in range(number):
            assert Spool(tmp_path, OWNER, f"{boot}x", MEGABYTE).append(a_window())
        with monkeypatch.context() as patched:
            fails(patched, errno.EIO, times=2)
            spool = Spool(tmp_path, OWNER, boot, MEGABYTE)
        assert [one.code for one in spool.troubles()] == ["spool-unreadable"]
        assert "put aside as windows.unreadable" in spool.troubles()[0].sentence
        assert spool.append(a_window())
        spool.forget(boot, 1)
        # Else they would fill the disk, which no quota sees.
        assert [path.name for path in tmp_path.iterdir() if "unreadable" in path.name] == ["windows.unreadable"]
        assert (
            sum(path.name.split("-")[1] == f"{boot}x" for path in (tmp_path / "windows.unreadable").iterdir()) == number
        )


def test_a_file_in_a_lanes_place_is_put_aside_too(tmp_path):
    for _ in range(2):
        (tmp_path / "windows").write_bytes(b"")
        spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
        assert spool.append(a_window())
        assert (tmp_path / "windows.unreadable").is_file()
        spool.close()
        shutil.rmtree(tmp_path / "windows")


def test_a_disk_that_reads_no_folder_at_all_does_not_cost_what_was_put_aside_before(tmp_path, monkeypatch):
    Spool(tmp_path, OWNER, "b1", MEGABYTE).append(a_window())
    fails(monkeypatch, errno.EIO)
    spool = Spool(tmp_path, OWNER, "b2", MEGABYTE)
    for _ in range(3):
        assert not spool.append(a_window())
    assert len(list((tmp_path / "windows.unreadable").iterdir())) == 1
    monkeypatch.undo()
    assert spool.append(a_window())
    (trouble,) = spool.troubles()
    assert "put aside as windows.unreadable" in trouble.sentence, "it is there, whatever came after"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES, errno.EROFS])
def test_a_lane_that_cannot_be_read_now_costs_only_what_comes_meanwhile_and_comes_back(tmp_path, monkeypatch, number):
    first = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    first.append(a_window())
    first.append(a_window())
    first.give_up("b1", 1, "disk")
    with monkeypatch.context() as patched:
        fails(patched, number)
        spool = Spool(tmp_path, OWNER, "b2", MEGABYTE)
        assert [one.code for one in spool.troubles()] == ["spool-unreadable"]
        assert os.strerror(number) in spool.troubles()[0].sentence
        assert not spool.append(a_window())
        assert spool.backlog() is None
        assert [one.code for one in spool.troubles()] == ["spool-unreadable"]
        assert spool.note(an_event()), "the other lane is none the worse"
    assert not (tmp_path / "windows.unreadable").exists()
    assert spool.backlog() == Backlog("b1", 1, 2), "whoever asks has it looked for again"
    assert spool.troubles() == []
    assert spool.append(a_window())
    assert spool.troubles() == []
    assert sequences(spool, "b2") == [1]
    assert spool.report().lanes["windows"].dropped == {"disk": 2}
    assert Spool(tmp_path, OWNER, "b3", MEGABYTE).report().lanes["windows"].dropped == {"disk": 2}


def test_a_spool_whose_own_folder_is_a_file_still_comes_and_says_so(tmp_path):
    folder = tmp_path / "spool"
    folder.write_bytes(b"")
    spool = Spool(folder, OWNER, "b1", MEGABYTE)
    assert {one.code for one in spool.troubles()} == {"spool-unreadable"}
    assert not spool.append(a_window())
    folder.unlink()
    assert spool.append(a_window())
    assert spool.note(an_event())
    assert spool.troubles() == []


def test_what_cannot_be_removed_is_no_reason_not_to_read_the_rest(tmp_path, monkeypatch):
    kept: dict[Path, bytes] = {}
    unlink = Path.unlink

    def remember(path: Path, missing_ok: bool = False) -> None:
        kept[path] = path.read_bytes() if path.exists() else b""
        unlink(path, missing_ok)

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr(Path, "unlink", remember)
    spool, paths = sealed(tmp_path)
    spool.close()
    log = paths[0].with_suffix(".log")
    log.write_bytes(kept[log])
    monkeypatch.setattr(Path, "unlink", refuse)
    again = Spool(tmp_path, OWNER, "b2", MEGABYTE)
    assert again.troubles() == []
    assert again.waiting() == 400
    assert sequences(again, "b1") == list(range(1, 401))


def test_a_file_that_cannot_be_closed_is_not_written_to_again(tmp_path, monkeypatch):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    close, write, written = os.close, os.write, set()

    def fail(descriptor: int) -> None:
        close(descriptor)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def remember(descriptor: int, data: bytes) -> int:
        written.add(descriptor)
        return write(descriptor, data)

    with monkeypatch.context() as patched:
        patched.setattr(queue_module.os, "close", fail)
        spool.close()
    # Its number is now another file's.
    with (tmp_path / "other").open("wb") as other:
        monkeypatch.setattr(queue_module.os, "write", remember)
        assert spool.append(a_window())
        assert other.fileno() not in written
    assert (tmp_path / "other").read_bytes() == b""


def damaged(folder: Path, clock: Clock) -> Spool:
    """A spool with 9 windows, of which one in the middle was damaged, and has been read."""
    spool = Spool(folder, OWNER, "b1", MEGABYTE, clock)
    for _ in range(9):
        spool.append(a_window())
    (path,) = files(folder)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    assert len(sequences(spool, "b1")) == 8
    return spool


def test_damage_is_told_until_the_hub_has_the_rest_and_for_long_enough_to_be_seen(tmp_path):
    clock = Clock()
    spool = damaged(tmp_path, clock)
    clock.now += TOLD_SECONDS * 10
    assert codes(spool) == ["spool-damaged"], "beside it lies more that may be damaged"
    spool.forget("b1", 9)
    assert codes(spool) == []
    assert spool.report().lanes["windows"].dropped == {"damaged": 1}, "it stays counted"


def test_damage_is_over_though_what_came_long_after_it_waits(tmp_path):
    clock = Clock()
    spool = damaged(tmp_path, clock)
    for number in range(30):
        spool.append(a_large_window(number))
    clock.now += TOLD_SECONDS
    spool.forget("b1", 9)
    assert codes(spool) == ["spool-damaged"]
    spool.forget("b1", 25)
    assert spool.waiting() == 14
    assert codes(spool) == []


def test_damage_that_is_soon_over_is_told_for_long_enough_to_be_seen(tmp_path):
    clock = Clock()
    spool = damaged(tmp_path, clock)
    spool.forget("b1", 9)
    clock.now += TOLD_SECONDS - 1
    assert codes(spool) == ["spool-damaged"]
    clock.now += 1
    assert codes(spool) == []


def test_damage_that_comes_after_damage_was_over_is_told_anew(tmp_path):
    clock = Clock()
    spool = damaged(tmp_path, clock)
    spool.forget("b1", 9)
    clock.now += TOLD_SECONDS
    assert codes(spool) == []
    spool.append(a_window())
    path = files(tmp_path)[-1]
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    assert sequences(spool, "b1") == []
    (trouble,) = spool.troubles()
    assert trouble.sentence.startswith("1 records")


def test_refusals_are_told_until_the_hub_has_taken_something_again(tmp_path):
    clock = Clock()
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE, clock)
    for _ in range(5):
        spool.append(a_window())
        spool.note(an_event())
    spool.give_up("b1", 1, "refused")
    clock.now += TOLD_SECONDS * 10
    spool.forget("b1", 5, Lane.EVENTS)
    spool.forget("b1", 1)
    assert codes(spool) == ["telemetry-refused"], "of windows it has taken none yet"
    spool.give_up("b1", 2, "refused")
    assert spool.troubles()[0].sentence.startswith("The hub has refused 2 records")
    spool.forget("b1", 3)
    assert codes(spool) == ["telemetry-refused"], "the last was refused a moment ago"
    clock.now += TOLD_SECONDS
    assert codes(spool) == []
    spool.give_up("b1", 4, "refused")
    assert spool.troubles()[0].sentence.startswith("The hub has refused 1 records")


def test_looking_at_a_spool_changes_nothing(tmp_path):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    for _ in range(3):
        spool.append(a_window())
    spool.forget("b1", 1)
    before = {path: path.read_bytes() for path in files(tmp_path)}
    assert look(tmp_path) == spool.report()
    assert {path: path.read_bytes() for path in files(tmp_path)} == before
    assert look(tmp_path / "none").records == 0


def test_no_window_that_was_taken_is_lost_to_sigkill(tmp_path):
    program = (
        "import sys; from pathlib import Path\n"
        "from edge_agent.telemetry.spool import Spool\n"
        "from tests.fakes.windows import a_window\n"
        "spool = Spool(Path(sys.argv[1]), 'default.press-1', sys.argv[2], 1 << 24)\n"
        "number = 0\n"
        "while True:\n"
        "    number += 1\n"
        "    spool.append(a_window(labels=40))\n"
        "    print(number, flush=True)\n"
    )
    promised = {}
    for boot in ("b1", "b2", "b3"):
        process = subprocess.Popen([sys.executable, "-c", program, tmp_path, boot], stdout=subprocess.PIPE, text=True)
        while int(process.stdout.readline()) < 50:
            pass
        process.send_signal(signal.SIGKILL)
        promised[boot] = int([50, *process.stdout.read().split()][-1])
        process.stdout.close()
        process.wait()
    spool = Spool(tmp_path, OWNER, "last", 1 << 24)
    for boot, number in promised.items():
        assert sequences(spool, boot)[:number] == list(range(1, number + 1))


def test_a_window_with_more_labels_than_the_hub_takes_does_not_hold_up_the_others(tmp_path):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    assert not spool.append(a_window(labels=MAX_KEYS + 1))
    assert spool.trouble.code == "window-wrong"
    assert spool.append(a_window(labels=MAX_KEYS))
    assert sequences(spool, "b1") == [1]


def unreadable(*_: object) -> Iterator[Placed]:
    raise OSError(errno.EACCES, "Permission denied", "1-b1.log")
    yield


def test_windows_that_cannot_be_read_now_are_neither_dropped_nor_removed(tmp_path, monkeypatch, caplog):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    spool.append(a_window())
    spool.append(a_window())
    monkeypatch.setattr(segment_module, "scan", unreadable)
    monkeypatch.setattr(reader_module, "scan", unreadable)
    assert spool.troubles() == []
    for _ in range(3):
        with pytest.raises(OSError, match="Permission denied"):
            spool.read("b1", 0, MEGABYTE)
    (trouble,) = spool.troubles()
    assert (trouble.code, "cannot be read now (Permission denied)" in trouble.sentence) == ("spool-unreadable", True)
    assert [record.getMessage() for record in caplog.records] == [str(trouble)], "once, and not at every try"
    second = Spool(tmp_path, OWNER, "b2", MEGABYTE)
    assert {one.code for one in second.troubles()} == {"spool-unreadable"}
    assert second.append(a_window())
    monkeypatch.undo()
    assert spool.report().dropped == second.report().dropped == 0
    assert sequences(spool, "b1") == [1, 2]
    assert spool.troubles() == []
    third = Spool(tmp_path, OWNER, "b3", MEGABYTE)
    assert third.troubles() == []
    assert sequences(third, "b1") == [1, 2]
    assert sequences(third, "b2") == [1]


def test_windows_that_stay_because_their_drop_could_not_be_noted_are_not_counted_again_and_again(tmp_path, monkeypatch):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    while spool.report().size_bytes < MEGABYTE - 20_000:
        spool.append(a_large_window(spool.report().records))
    report = spool.report()
    made, refused = report.records + report.dropped, 0
    opened, written = os.open, os.write
    room = 0

    def open_one(path: Path, flags: int, *mode: int) -> int:
        # A disk with room for the head of a new file, and no more.
        nonlocal room
        room += bool(flags & os.O_CREAT)
        return opened(path, flags, *mode)

    def write_one(descriptor: int, data: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        room -= 1
        return written(descriptor, data)

    monkeypatch.setattr(queue_module.os, "open", open_one)
    monkeypatch.setattr(queue_module.os, "write", write_one)
    for _ in range(4):
        assert not spool.append(a_very_large_window())
        refused += 1
    monkeypatch.undo()
    report = spool.report()
    assert report.records + report.dropped == made + refused
