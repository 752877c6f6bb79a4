"""The spool keeps what it took, in order, within its bound, whatever ends the process."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edge_agent.core.drain import Backlog
from edge_agent.telemetry import queue as queue_module
from edge_agent.telemetry import segment as segment_module
from edge_agent.telemetry import spool as spool_module
from edge_agent.telemetry.log import Entry, packed_bytes
from edge_agent.telemetry.spool import MAX_RECORD_BYTES, Spool, look
from fleet_contract.bounds import MAX_KEYS
from tests.fakes.windows import a_window

MEGABYTE = 1024 * 1024
OWNER = "default.press-1"


def sequences(spool: Spool, boot: str, since: int = 0) -> list[int]:
    return [window.sequence for window in spool.read(boot, since, 100 * MEGABYTE)]


def files(folder: Path) -> list[Path]:
    """The files of the lane of windows."""
    return sorted(path for path in (folder / "windows").iterdir())


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
        spool.append(a_window(labels=500))
        made += 1
        assert sum(path.stat().st_size for path in files(tmp_path)) <= MEGABYTE
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
    assert sequences(spool, "b1") == [2]


@pytest.mark.parametrize("label", ["nul\0", "x" * 300])
def test_a_window_that_no_hub_could_take_does_not_hold_up_the_others(tmp_path, label):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    assert not spool.append(msgspec.structs.replace(a_window(), predictions={label: 1}))
    assert spool.trouble.code == "window-wrong"
    assert spool.append(a_window())
    assert sequences(spool, "b1") == [2]


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
    assert sequences(spool, "b1") == [1, 7]
    assert sequences(Spool(tmp_path, OWNER, "b2", MEGABYTE), "b1") == [1, 7]


def test_a_disk_that_is_full_at_the_start_does_not_stop_the_agent(tmp_path, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(queue_module.os, "write", full)
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    assert spool.trouble.code == "disk-full"
    assert not spool.append(a_window())
    monkeypatch.undo()
    assert spool.append(a_window())
    assert sequences(spool, "b1") == [2]


def test_windows_that_rot_on_disk_are_counted_as_dropped_and_not_waited_for(tmp_path):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    for _ in range(4):
        spool.append(a_window())
    (path,) = files(tmp_path)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    found = sequences(spool, "b1")
    assert found in ([1], [1, 2])
    assert spool.report().dropped == 4 - len(found)
    spool.forget("b1", found[-1])
    assert spool.backlog() is None


def test_a_file_that_vanishes_does_not_stop_the_rest(tmp_path):
    Spool(tmp_path, OWNER, "b1", MEGABYTE).append(a_window())
    spool = Spool(tmp_path, OWNER, "b2", MEGABYTE)
    spool.append(a_window())
    files(tmp_path)[0].unlink()
    assert spool.read("b1", 0, MEGABYTE) == ()
    assert spool.backlog() == Backlog("b2", 0, 1)


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
    assert sequences(spool, "b1") == [2]


def unreadable(_: object) -> Iterator[Entry]:
    raise OSError(errno.EACCES, "Permission denied", "1-b1.log")
    yield


def test_windows_that_cannot_be_read_now_are_neither_dropped_nor_removed(tmp_path, monkeypatch):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    spool.append(a_window())
    spool.append(a_window())
    monkeypatch.setattr(segment_module, "_scan", unreadable)
    with pytest.raises(OSError, match="Permission denied"):
        spool.read("b1", 0, MEGABYTE)
    second = Spool(tmp_path, OWNER, "b2", MEGABYTE)
    assert second.unreadable.code == "spool-unreadable"
    assert second.append(a_window())
    monkeypatch.undo()
    assert spool.report().dropped == second.report().dropped == 0
    third = Spool(tmp_path, OWNER, "b3", MEGABYTE)
    assert third.unreadable is None
    assert sequences(third, "b1") == [1, 2]
    assert sequences(third, "b2") == [1]


def test_windows_that_stay_because_their_drop_could_not_be_noted_are_not_counted_again_and_again(tmp_path, monkeypatch):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    while spool.report().size_bytes < MEGABYTE - 20_000:
        spool.append(a_window(labels=500))
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
        assert not spool.append(a_window(labels=2_000))
        refused += 1
    monkeypatch.undo()
    report = spool.report()
    assert report.records + report.dropped == made + refused
