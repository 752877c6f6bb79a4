"""A file of the spool gives what was written to it, whatever the disk does and whatever ends the process."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_agent.core.drain import Backlog
from edge_agent.telemetry import queue as queue_module
from edge_agent.telemetry import sealed as sealed_module
from edge_agent.telemetry import spool as spool_module
from edge_agent.telemetry.log import packed_bytes
from edge_agent.telemetry.spool import Spool, look
from fleet_contract.telemetry import Lane
from tests.fakes.spools import MEGABYTE, OWNER, a_record, a_sample, files, keep, sealed, sequences
from tests.fakes.windows import a_window


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


def test_a_read_stops_before_it_is_too_large_but_gives_at_least_one(tmp_path):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    for _ in range(10):
        spool.append(a_window(labels=100))
    one = len(spool_module._encoder.encode(a_window(labels=100)))
    assert [w.sequence for w in spool.read("b1", 2, one * 3 + one // 2)] == [3, 4, 5]
    assert [w.sequence for w in spool.read("b1", 2, 1)] == [3]


@pytest.mark.parametrize("lane", Lane)
@pytest.mark.parametrize("how", ["cut", "flipped"])
def test_a_torn_end_costs_only_what_was_torn(tmp_path, how, lane):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    for _ in range(3):
        keep(spool, a_record(lane))
    (path,) = files(tmp_path, lane)
    whole = path.read_bytes()
    last = len(whole) - packed_bytes(spool_module._encoder.encode(a_record(lane)))
    for at in range(last, len(whole), 5):
        torn = whole[:at] if how == "cut" else whole[:at] + bytes((whole[at] ^ 0x40,)) + whole[at + 1 :]
        path.write_bytes(torn)
        for other in files(tmp_path, lane):
            if other != path:
                other.unlink()
        spool = Spool(tmp_path, OWNER, "b2", MEGABYTE)
        assert sequences(spool, "b1", lane=lane) == [1, 2], at
        assert keep(spool, a_record(lane))
        assert sequences(spool, "b2", lane=lane) == [1]


@pytest.mark.parametrize("lane", Lane)
def test_a_full_disk_is_a_trouble_that_ends_when_there_is_room_again(tmp_path, monkeypatch, lane):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    keep(spool, a_record(lane))
    real = os.write

    def half(descriptor: int, data: bytes) -> int:
        # What a full disk does: it takes a part, and then no more.
        if len(data) < 60:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[: len(data) // 2])

    monkeypatch.setattr(queue_module.os, "write", half)
    for _ in range(5):
        assert not keep(spool, a_record(lane))
    assert spool.trouble.code == "disk-full"
    assert len(files(tmp_path, lane)) == 1
    monkeypatch.undo()
    assert keep(spool, a_record(lane))
    assert spool.trouble is None
    assert spool.report().lanes[lane].dropped == {"disk": 5}
    # Of number 2 a part is on disk; the others never got so far.
    assert sequences(spool, "b1", lane=lane) == [1, 3]
    assert sequences(Spool(tmp_path, OWNER, "b2", MEGABYTE), "b1", lane=lane) == [1, 3]


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


@pytest.mark.parametrize("lane", Lane)
def test_a_record_whose_sync_failed_is_counted_once_and_holds_up_no_other(tmp_path, monkeypatch, lane):
    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    assert keep(spool, a_record(lane))
    with monkeypatch.context() as patched:
        patched.setattr(queue_module.os, "fdatasync", fail)
        assert not keep(spool, a_record(lane))
    # All of number 2 is in the file, and it was counted: it must not come after all.
    assert sequences(spool, "b1", lane=lane) == [1]
    assert keep(spool, a_record(lane))
    assert sequences(spool, "b1", lane=lane) == [1, 3]
    assert spool.report().lanes[lane].dropped == {"disk": 1}
    again = Spool(tmp_path, OWNER, "b2", MEGABYTE)
    assert sequences(again, "b1", lane=lane) == [1, 3]
    assert again.report().lanes[lane].dropped == {"disk": 1}


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


@pytest.mark.parametrize("lane", Lane)
def test_what_rots_in_a_log_costs_only_the_records_that_it_hit_and_is_counted_once(tmp_path, lane):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    for _ in range(9):
        keep(spool, a_record(lane))
    (path,) = files(tmp_path, lane)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    found = sequences(spool, "b1", lane=lane)
    assert len(found) == 8
    assert found[-1] == 9
    assert spool.report().lanes[lane].dropped == {"damaged": 1}
    assert [one.code for one in spool.troubles()] == ["spool-damaged"]
    for boot in ("b2", "b3", "b4"):
        again = Spool(tmp_path, OWNER, boot, MEGABYTE)
        assert sequences(again, "b1", lane=lane) == found
        assert again.troubles() == [], "what an earlier start has counted is no news"
        assert again.report().lanes[lane].dropped == {"damaged": 1}
    again.forget("b1", 9, lane)
    assert again.backlog(lane) is None


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


def test_samples_are_sealed_and_come_back_as_they_were(tmp_path):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    kept = [a_sample(number) for number in range(1, 201)]
    assert all(spool.keep(one) for one in kept)
    assert len([path for path in files(tmp_path, Lane.SAMPLES) if path.suffix == ".sealed"]) >= 2
    for boot in ("b1", "b2"):
        found = spool.read("b1", 0, 100 * MEGABYTE, lane=Lane.SAMPLES)
        assert found == tuple(msgspec.structs.replace(one, sequence=number) for number, one in enumerate(kept, 1)), boot
        spool = Spool(tmp_path, OWNER, "b2", MEGABYTE)


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


def test_a_file_that_vanishes_does_not_stop_the_rest(tmp_path):
    Spool(tmp_path, OWNER, "b1", MEGABYTE).append(a_window())
    spool = Spool(tmp_path, OWNER, "b2", MEGABYTE)
    spool.append(a_window())
    files(tmp_path)[0].unlink()
    assert spool.read("b1", 0, MEGABYTE) == ()
    assert spool.backlog() == Backlog("b2", 0, 1)


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


def test_looking_at_a_spool_changes_nothing(tmp_path):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    for _ in range(3):
        spool.append(a_window())
    spool.forget("b1", 1)
    before = {path: path.read_bytes() for path in files(tmp_path)}
    assert look(tmp_path) == spool.report()
    assert {path: path.read_bytes() for path in files(tmp_path)} == before
    assert look(tmp_path / "none").records == 0


@pytest.mark.parametrize("lane", Lane)
def test_no_record_that_was_taken_is_lost_to_sigkill(tmp_path, lane):
    program = (
        "import sys; from pathlib import Path\n"
        "from edge_agent.telemetry.spool import Spool\n"
        "from fleet_contract.telemetry import Lane\n"
        "from tests.fakes.spools import a_record, keep\n"
        "spool = Spool(Path(sys.argv[1]), 'default.press-1', sys.argv[2], 1 << 24)\n"
        "number = 0\n"
        "while True:\n"
        "    number += 1\n"
        "    keep(spool, a_record(Lane(sys.argv[3]), number))\n"
        "    print(number, flush=True)\n"
    )
    promised = {}
    for boot in ("b1", "b2", "b3"):
        command = [sys.executable, "-c", program, tmp_path, boot, lane.value]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        while int(process.stdout.readline()) < 50:
            pass
        process.send_signal(signal.SIGKILL)
        promised[boot] = int([50, *process.stdout.read().split()][-1])
        process.stdout.close()
        process.wait()
    spool = Spool(tmp_path, OWNER, "last", 1 << 24)
    for boot, number in promised.items():
        assert sequences(spool, boot, lane=lane)[:number] == list(range(1, number + 1))
