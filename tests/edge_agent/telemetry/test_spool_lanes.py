"""The lanes of the spool keep what they took, in order and within their bound, until the hub has it."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge_agent.core.drain import Backlog
from edge_agent.telemetry.aside import PATIENCE_SECONDS
from edge_agent.telemetry.spool import Spool, look
from fleet_contract.telemetry import Lane, Record
from tests.fakes.spools import (
    MEGABYTE,
    OWNER,
    Clock,
    a_large_window,
    a_long_event,
    a_record,
    a_sample,
    an_event,
    keep,
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


def test_lanes_have_sequences_marks_and_counts_of_their_own(tmp_path):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    for number in (1, 2, 3):
        for lane in Lane:
            assert keep(spool, a_record(lane, number))
    spool.forget("b1", 3)
    spool.forget("b1", 1, Lane.SAMPLES)
    assert spool.backlog() is None
    assert spool.backlog(Lane.EVENTS) == Backlog("b1", 0, 3)
    assert spool.backlog(Lane.SAMPLES) == Backlog("b1", 1, 3)
    again = Spool(tmp_path, OWNER, "b2", MEGABYTE)
    for lane in (Lane.EVENTS, Lane.SAMPLES):
        assert [one.version for one in again.read("b1", 1, MEGABYTE, lane=lane)] == [2, 3]
    report = again.report()
    assert (report.records, report.lanes["events"].records, report.lanes["samples"].records) == (0, 3, 2)
    assert look(tmp_path) == report


def test_a_spool_of_an_agent_that_knew_no_samples_opens_as_before(tmp_path):
    first = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    first.append(a_window())
    first.note(an_event())
    first.close()
    shutil.rmtree(tmp_path / "samples")
    assert look(tmp_path).lanes["samples"].records == 0
    spool = Spool(tmp_path, OWNER, "b2", MEGABYTE)
    assert spool.troubles() == []
    assert spool.backlog() == Backlog("b1", 0, 1)
    assert spool.keep(a_sample())
    assert spool.backlog(Lane.SAMPLES) == Backlog("b2", 0, 1)


def fill_but_for(spool: Spool, size_bytes: int) -> None:
    """Fills it with windows but for about so many bytes."""
    number = 0
    while spool.report().size_bytes < spool.max_bytes - size_bytes:
        assert spool.append(a_large_window(number))
        number += 1


def test_samples_make_room_for_events_and_both_for_windows(tmp_path):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    for number in range(1, 1001):
        assert spool.keep(a_sample(number))
    for number in range(200):
        assert spool.note(a_long_event(number))
    fill_but_for(spool, 8_000)
    before = spool.report()
    assert before.lanes["samples"].dropped == before.lanes["events"].dropped == {}
    assert before.lanes["samples"].size_bytes > 24 * 1024
    while not (lost := {name for name, one in spool.report().lanes.items() if one.dropped}):
        assert spool.note(a_long_event(7))
    assert lost == {"samples"}
    number = 0
    while spool.report().dropped == 0:
        assert spool.append(a_large_window(number))
        number += 1
        assert sum(path.stat().st_size for path in tmp_path.rglob("*.*")) <= MEGABYTE
    report = spool.report()
    assert report.lanes["events"].dropped["spool-full"] > 0, "before a window went"
    # The newest samples are still there: those in the file that is written.
    assert 0 < report.lanes["samples"].size_bytes <= 16 * 1024
    found = [one.sequence for one in spool.read("b1", 0, 100 * MEGABYTE, lane=Lane.SAMPLES)]
    assert found == list(range(report.lanes["samples"].dropped["spool-full"] + 1, 1001))


def test_a_flood_of_samples_costs_no_window_and_no_event(tmp_path):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    for number in range(300):
        spool.note(an_event(number))
    fill_but_for(spool, 40_000)
    for number in range(1, 2_001):
        assert spool.keep(a_sample(number))
    report = spool.report()
    assert report.dropped == 0
    assert report.lanes["events"].dropped == {}
    assert report.lanes["samples"].dropped["spool-full"] > 0
    assert report.size_bytes <= MEGABYTE
    (told,) = spool.troubles()
    assert f"bytes; {report.lanes['samples'].dropped['spool-full']} samples were dropped" in told.sentence


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
        for lane in Lane:
            assert keep(first, a_record(lane))
    first.forget("b1", 1)
    spool = Spool(tmp_path, "default.press-2", "b2", MEGABYTE)
    assert all(spool.backlog(lane) is None for lane in Lane)
    dropped = {lane: one.dropped["other-device"] for lane, one in spool.report().lanes.items()}
    assert dropped == {"windows": 2, "events": 3, "samples": 3}
    spool.append(a_window())
    back = Spool(tmp_path, OWNER, "b3", MEGABYTE)
    assert back.backlog() is None
    assert back.report().dropped == 3


LARGE = [a_large_window(number) for number in range(40)]
#: What comes, by name: its lane, and how the record that is the `number`th of its boot is made.
COMES: dict[str, tuple[Lane, Callable[[int], Record]]] = {
    "small windows": (Lane.WINDOWS, lambda _: a_window()),
    "large windows": (Lane.WINDOWS, lambda number: LARGE[number % len(LARGE)]),
    "events": (Lane.EVENTS, a_long_event),
    "samples": (Lane.SAMPLES, a_sample),
}
QUOTA_BYTES = 250_000


class Kept(RuleBasedStateMachine):
    """A spool with little room, killed, acked and fed: what it says waits, it gives; what it lost, it counted."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.boots = 0
        self.made: dict[tuple[Lane, str], int] = {}
        self.acked = dict.fromkeys(Lane, 0)

    @initialize()
    def starts_first(self) -> None:
        self.starts()

    @rule()
    def starts(self) -> None:
        self.boots += 1
        self.boot = f"b{self.boots}"
        self.made |= {(lane, self.boot): 0 for lane in Lane}
        self.spool = Spool(self.folder, OWNER, self.boot, QUOTA_BYTES)

    @rule(count=st.integers(1, 60), what=st.sampled_from(sorted(COMES)))
    def records_come(self, count: int, what: str) -> None:
        lane, make = COMES[what]
        for _ in range(count):
            before = self.dropped(Lane.WINDOWS)
            assert keep(self.spool, make(self.made[lane, self.boot]))
            self.made[lane, self.boot] += 1
            # Windows go only when of samples there are none but in the file that is written.
            if self.dropped(Lane.WINDOWS) > before:
                assert self.spool.report().lanes["samples"].size_bytes <= 16 * 1024

    @rule(share=st.floats(0, 1), lane=st.sampled_from(Lane))
    def hub_acks(self, share: float, lane: Lane) -> None:
        if backlog := self.spool.backlog(lane):
            found = [one.sequence for one in self.spool.read(backlog.boot, backlog.mark, 1 << 30, lane=lane)]
            if acked := found[: int(len(found) * share)]:
                self.spool.forget(backlog.boot, acked[-1], lane)
                self.acked[lane] += len(acked)

    def dropped(self, lane: Lane) -> int:
        return sum(self.spool.report().lanes[lane].dropped.values())

    @invariant()
    def what_waits_can_be_read_in_order_and_is_the_newest(self) -> None:
        if not self.boots:
            return
        report = self.spool.report()
        assert report.size_bytes <= QUOTA_BYTES
        waiting = dict.fromkeys(Lane, 0)
        for (lane, boot), made in self.made.items():
            found = [one.sequence for one in self.spool.read(boot, self.spool.mark(boot, lane), 1 << 30, lane=lane)]
            waiting[lane] += len(found)
            if found:
                assert found == list(range(found[0], made + 1))
        for lane in Lane:
            assert waiting[lane] == report.lanes[lane].records
            made = sum(count for (of, _), count in self.made.items() if of is lane)
            assert waiting[lane] + self.dropped(lane) + self.acked[lane] == made

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


Kept.TestCase.settings = settings(max_examples=15, stateful_step_count=15, suppress_health_check=list(HealthCheck))


TestWhatWaitsIsThereAndWhatIsLostIsCounted = Kept.TestCase


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
    clock = Clock()
    for number, boot in enumerate(("b1", "b2", "b3"), 1):
        for _ in range(number):
            assert Spool(tmp_path, OWNER, f"{boot}x", MEGABYTE).append(a_window())
        with monkeypatch.context() as patched:
            fails(patched, errno.EIO, times=6)
            spool = Spool(tmp_path, OWNER, boot, MEGABYTE, clock)
            clock.now += PATIENCE_SECONDS - 1
            assert spool.backlog() is None
            assert "put aside" not in spool.troubles()[0].sentence
            clock.now += 1
            assert spool.backlog() is None
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
    clock = Clock()
    spool = Spool(tmp_path, OWNER, "b2", MEGABYTE, clock)
    for _ in range(3):
        clock.now += PATIENCE_SECONDS
        assert not spool.append(a_window())
    assert len(list((tmp_path / "windows.unreadable").iterdir())) == 1
    monkeypatch.undo()
    assert spool.append(a_window())
    (trouble,) = spool.troubles()
    assert "put aside as windows.unreadable" in trouble.sentence, "it is there, whatever came after"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES, errno.EROFS, errno.EIO, errno.EBADMSG])
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
        assert spool.note(an_event()), "the other lanes are none the worse"
        assert spool.keep(a_sample())
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
    assert all(keep(spool, a_record(lane)) for lane in Lane)
    assert spool.troubles() == []
