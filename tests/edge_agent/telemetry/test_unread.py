"""A file of the spool that cannot be read is waited for, but not for ever, and what can be read is never lost by it."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.core.drain import Backlog
from edge_agent.errors import StateUnusable
from edge_agent.telemetry import aside as aside_module
from edge_agent.telemetry import reader as reader_module
from edge_agent.telemetry import segment as segment_module
from edge_agent.telemetry.aside import MOST_FILES
from edge_agent.telemetry.log import Placed
from edge_agent.telemetry.loss import TOLD_SECONDS
from edge_agent.telemetry.spool import Spool, look
from edge_agent.telemetry.unread import PATIENCE_SECONDS, REST_SECONDS
from fleet_contract.telemetry import Lane
from tests.fakes.spools import (
    MEGABYTE,
    OWNER,
    Clock,
    a_large_window,
    a_record,
    codes,
    files,
    ill,
    keep,
    sealed,
    sequences,
)
from tests.fakes.windows import a_window


def drained(spool: Spool) -> list[tuple[str, int]]:
    """What the hub gets of the windows while it takes all that comes, by boot and sequence."""
    found = []
    while backlog := spool.backlog():
        try:
            records = spool.read(backlog.boot, backlog.mark, MEGABYTE, 50)
        except OSError:
            continue
        found += [(backlog.boot, one.sequence) for one in records]
        if records:
            spool.forget(backlog.boot, records[-1].sequence)
    return found


def pass_seconds(spool: Spool, clock: Clock, seconds: float) -> list[tuple[str, int]]:
    """The same over a while, in which it is looked at every 5 seconds, as the uplink does."""
    found = drained(spool)
    for _ in range(int(seconds / 5)):
        clock.now += 5
        found += drained(spool)
    return found


def dropped(spool: Spool) -> dict[str, int]:
    return spool.report().lanes["windows"].dropped


def inside(spool: Spool, path: Path) -> list[int]:
    """The sequences in the sealed file `path`."""
    (found,) = [one.runs for one in spool._queues[Lane.WINDOWS]._segments if one.path == path]
    return [number for first, last in found for number in range(first, last + 1)]


def test_what_follows_a_file_that_stays_unreadable_goes_on_after_an_hour_and_the_loss_is_told(tmp_path, monkeypatch):
    clock = Clock()
    spool, paths = sealed(tmp_path, 600, clock)
    lost, before = inside(spool, paths[1]), paths[1].read_bytes()
    ill(monkeypatch).add(paths[1])
    found = pass_seconds(spool, clock, PATIENCE_SECONDS - 60)
    assert found == [("b1", number) for number in range(1, lost[0])]
    assert codes(spool) == ["spool-unreadable"]
    assert "(Input/output error)" in spool.troubles()[0].sentence
    assert "60 minutes" in spool.troubles()[0].sentence
    found += pass_seconds(spool, clock, 120)
    assert found == [("b1", number) for number in range(1, 601) if number not in lost]
    assert dropped(spool) == {"unreadable": len(lost)}
    (trouble,) = spool.troubles()
    assert (trouble.code, trouble.sentence[:3]) == ("spool-put-aside", str(len(lost)))
    assert paths[1].with_name(f"{paths[1].name}.unreadable").read_bytes() == before, "people may look at it"
    clock.now += TOLD_SECONDS
    assert spool.append(a_window())
    assert codes(spool) == [], "what lay beside it is with the hub"
    again = Spool(tmp_path, OWNER, "b2", MEGABYTE, clock)
    assert drained(again) == [("b1", 601)]
    assert (dropped(again), codes(again)) == ({"unreadable": len(lost)}, [])


@pytest.mark.parametrize("heads", [True, False])
@pytest.mark.parametrize("restart", [True, False])
def test_a_disk_that_is_ill_for_some_minutes_costs_nothing(tmp_path, monkeypatch, restart, heads):
    clock = Clock()
    spool, paths = sealed(tmp_path, 600, clock)
    log = files(tmp_path)[-1]
    unreadable = ill(monkeypatch, heads=heads)
    unreadable |= {*paths, log}
    if restart:
        spool = Spool(tmp_path, OWNER, "b2", MEGABYTE, clock)
    assert spool.append(a_window())
    found = pass_seconds(spool, clock, PATIENCE_SECONDS / 2)
    assert codes(spool) == ["spool-unreadable"]
    unreadable.clear()
    found += pass_seconds(spool, clock, REST_SECONDS)
    assert sorted(found) == sorted([("b1", n) for n in range(1, 601)] + [("b2", 1) if restart else ("b1", 601)])
    assert (dropped(spool), codes(spool)) == ({}, [])
    assert len(files(tmp_path)) == 1, "what the hub has is removed"


def test_what_a_start_could_not_read_comes_in_order_and_as_small_once_it_can(tmp_path, monkeypatch):
    clock = Clock()
    first, paths = sealed(tmp_path, 300, clock)
    first.forget("b1", 10)
    unreadable = ill(monkeypatch)
    unreadable |= {paths[0], files(tmp_path)[-1]}
    spool = Spool(tmp_path, OWNER, "b2", MEGABYTE, clock)
    spool.append(a_window())
    assert drained(spool) == [("b2", 1)], "another boot does not wait"
    unreadable.clear()
    clock.now += REST_SECONDS
    assert spool.backlog() == Backlog("b1", 10, 300)
    assert spool.report().records == 290
    assert {path.suffix for path in files(tmp_path)[:-1]} == {".sealed"}
    assert drained(spool) == [("b1", number) for number in range(11, 301)]
    assert spool.append(a_window())
    assert sequences(spool, "b2", 1) == [2]


def test_a_file_that_no_start_could_read_is_put_aside_after_an_hour_of_one_and_the_rest_comes(tmp_path, monkeypatch):
    clock = Clock()
    first, paths = sealed(tmp_path, 600, clock)
    lost = inside(first, paths[1])
    ill(monkeypatch).add(paths[1])
    spool = Spool(tmp_path, OWNER, "b2", MEGABYTE, clock)
    assert drained(spool) == [("b1", number) for number in range(1, lost[0])]
    assert codes(spool) == ["spool-unreadable"]
    assert pass_seconds(spool, clock, PATIENCE_SECONDS - 60) == []
    assert pass_seconds(spool, clock, 120) == [("b1", number) for number in range(lost[-1] + 1, 601)]
    # How many it held, nobody knows.
    assert (dropped(spool), codes(spool)) == ({"unreadable": 1}, ["spool-put-aside"])


def test_what_lies_before_a_file_that_cannot_be_read_is_given(tmp_path, monkeypatch):
    spool, paths = sealed(tmp_path)
    second = inside(spool, paths[1])[0]
    ill(monkeypatch).add(paths[1])
    assert sequences(spool, "b1") == list(range(1, second))
    assert codes(spool) == []
    with pytest.raises(OSError, match="Input/output error"):
        sequences(spool, "b1", second - 1)


def test_other_boots_go_first_while_a_file_that_could_not_be_read_rests(tmp_path, monkeypatch):
    clock = Clock()
    Spool(tmp_path, OWNER, "b1", MEGABYTE, clock).append(a_window())
    spool = Spool(tmp_path, OWNER, "b2", MEGABYTE, clock)
    spool.append(a_window())
    ill(monkeypatch).add(files(tmp_path)[0])
    with pytest.raises(OSError, match="Input/output error"):
        sequences(spool, "b1")
    assert spool.backlog() == Backlog("b2", 0, 1)
    spool.forget("b2", 1)
    assert spool.backlog() is None
    assert codes(spool) == ["spool-unreadable"]
    clock.now += REST_SECONDS
    assert spool.backlog() == Backlog("b1", 0, 1)


def test_the_file_that_is_written_is_left_before_it_is_lost(tmp_path, monkeypatch):
    clock = Clock()
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE, clock)
    for _ in range(3):
        spool.append(a_window())
    ill(monkeypatch).add(files(tmp_path)[0])
    assert pass_seconds(spool, clock, PATIENCE_SECONDS - 60) == []
    spool.append(a_window())
    assert pass_seconds(spool, clock, 60) == []
    assert spool.append(a_window())
    assert len(files(tmp_path)) == 2
    assert pass_seconds(spool, clock, REST_SECONDS) == [("b1", 5)]
    assert dropped(spool) == {"unreadable": 4}


@pytest.mark.parametrize("restart", [True, False])
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_what_the_agent_wants_for_is_never_held_against_a_file(tmp_path, monkeypatch, number, restart):
    clock = Clock()
    spool, paths = sealed(tmp_path, 300, clock)
    unreadable = ill(monkeypatch, number)
    unreadable.add(paths[0])
    if restart:
        spool = Spool(tmp_path, OWNER, "b2", MEGABYTE, clock)
    for _ in range(200):
        clock.now += REST_SECONDS
        if spool.backlog() is not None:
            with pytest.raises(OSError, match=os.strerror(number)):
                sequences(spool, "b1")
    assert codes(spool) == ["spool-unreadable"]
    unreadable.clear()
    clock.now += REST_SECONDS
    assert drained(spool) == [("b1", one) for one in range(1, 301)]
    assert (dropped(spool), codes(spool)) == ({}, [])


def test_a_file_that_is_seldom_tried_is_tried_as_often_before_it_is_lost(tmp_path, monkeypatch):
    clock = Clock()
    spool, paths = sealed(tmp_path, 300, clock)
    unreadable = ill(monkeypatch)
    unreadable.add(paths[0])
    # The hub is away, and there now and then.
    for _ in range(int(PATIENCE_SECONDS / REST_SECONDS)):
        assert drained(spool) == []
        clock.now += 86_400
    unreadable.clear()
    assert len(drained(spool)) == 300


def test_a_try_that_succeeds_begins_the_wait_anew(tmp_path, monkeypatch):
    clock = Clock()
    spool, paths = sealed(tmp_path, 300, clock)
    unreadable = ill(monkeypatch)
    for _ in range(3):
        unreadable.add(paths[0])
        assert pass_seconds(spool, clock, PATIENCE_SECONDS - 60) == []
        unreadable.clear()
        clock.now += REST_SECONDS
        assert sequences(spool, "b1")[:1] == [1]
        # It was read just now, and stays in memory.
        spool._queues[Lane.WINDOWS]._reader.forget(paths[0])
    assert dropped(spool) == {}


@pytest.mark.parametrize("restart", [True, False])
def test_a_file_that_cannot_be_put_aside_waits_on_and_is_not_counted(tmp_path, monkeypatch, restart):
    clock = Clock()
    spool, paths = sealed(tmp_path, 300, clock)
    ill(monkeypatch).add(paths[0])
    replace = Path.replace

    def refuse(path: Path, target: Path) -> Any:
        if path == paths[0]:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return replace(path, target)

    if restart:
        spool = Spool(tmp_path, OWNER, "b2", MEGABYTE, clock)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", refuse)
        assert pass_seconds(spool, clock, PATIENCE_SECONDS * 2) == []
        assert (dropped(spool), codes(spool)) == ({}, ["spool-unreadable"])
    assert pass_seconds(spool, clock, REST_SECONDS)[-1:] == [("b1", 300)]
    assert list(dropped(spool)) == ["unreadable"]


def test_of_what_was_put_aside_the_newest_are_kept(tmp_path, monkeypatch):
    clock = Clock()
    unreadable = ill(monkeypatch)
    for number in range(MOST_FILES + 4):
        spool = Spool(tmp_path, OWNER, f"b{number}", MEGABYTE, clock)
        spool.append(a_window())
        unreadable.add(files(tmp_path)[-1])
    spool = Spool(tmp_path, OWNER, "last", MEGABYTE, clock)
    assert pass_seconds(spool, clock, PATIENCE_SECONDS) == []
    assert dropped(spool) == {"unreadable": MOST_FILES + 4}
    aside = [path.name.split("-")[1] for path in files(tmp_path) if path.suffix == ".unreadable"]
    assert aside == [f"b{number}" for number in range(4, MOST_FILES + 4)]


def test_of_two_files_of_one_sealing_none_goes_before_one_was_read(tmp_path, monkeypatch):
    clock, kept, unlink = Clock(), dict[Path, bytes](), Path.unlink

    def remember(path: Path, missing_ok: bool = False) -> None:
        kept[path] = path.read_bytes() if path.exists() else b""
        unlink(path, missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", remember)
        _, paths = sealed(tmp_path, 300, clock)
    log = paths[0].with_suffix(".log")
    log.write_bytes(kept[log])
    unreadable = ill(monkeypatch)
    unreadable |= {log, paths[0]}
    spool = Spool(tmp_path, OWNER, "b2", MEGABYTE, clock)
    assert drained(spool) == []
    assert log.exists()
    assert paths[0].exists()
    unreadable.remove(paths[0])
    assert pass_seconds(spool, clock, REST_SECONDS) == [("b1", number) for number in range(1, 301)]
    assert dropped(spool) == {}
    assert not log.exists()


def test_what_was_counted_in_a_log_that_a_start_could_not_read_counts_once_it_can(tmp_path, monkeypatch):
    clock = Clock()
    first = Spool(tmp_path, OWNER, "b1", MEGABYTE, clock)
    for _ in range(5):
        first.append(a_window())
    first.give_up("b1", 3, "refused")
    unreadable = ill(monkeypatch)
    unreadable.add(files(tmp_path)[0])
    spool = Spool(tmp_path, OWNER, "b2", MEGABYTE, clock)
    spool.append(a_window())
    spool.give_up("b2", 1, "refused")
    unreadable.clear()
    clock.now += REST_SECONDS
    assert spool.backlog() == Backlog("b1", 3, 5)
    assert dropped(spool) == {"refused": 4}
    assert [one.sentence[:24] for one in spool.troubles()] == ["The hub has refused 1 re"], "of this start"
    assert dropped(Spool(tmp_path, OWNER, "b3", MEGABYTE, clock)) == {"refused": 4}


@pytest.mark.parametrize("lane", [Lane.EVENTS, Lane.SAMPLES])
def test_a_file_of_events_or_samples_that_cannot_be_read_holds_up_no_window(tmp_path, monkeypatch, lane):
    clock = Clock()
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE, clock)
    spool.append(a_window())
    keep(spool, a_record(lane))
    ill(monkeypatch).update((tmp_path / lane).iterdir())
    with pytest.raises(OSError, match="Input/output error"):
        spool.read("b1", 0, MEGABYTE, lane=lane)
    assert drained(spool) == [("b1", 1)]
    assert str(tmp_path / lane) in spool.troubles()[0].sentence


def test_who_looks_at_a_spool_is_told_of_what_can_be_read_of_it(tmp_path, monkeypatch):
    Spool(tmp_path, OWNER, "b1", MEGABYTE).append(a_window())
    Spool(tmp_path, OWNER, "b2", MEGABYTE).append(a_window())
    ill(monkeypatch).add(files(tmp_path)[0])
    assert look(tmp_path).records == 1
    ill(monkeypatch, errno.EACCES).add(files(tmp_path)[0])
    with pytest.raises(StateUnusable, match="Permission denied"):
        look(tmp_path)


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


def taken(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_what_waits_takes_room_as_all_else_does_and_goes_first_for_it_is_the_oldest(tmp_path, monkeypatch):
    clock = Clock()
    first = Spool(tmp_path, OWNER, "b1", MEGABYTE, clock)
    for number in range(200):
        first.append(a_large_window(number))
    first.close()
    assert dropped(first) == {}
    held = len(inside(first, files(tmp_path)[0]))
    ill(monkeypatch).add(files(tmp_path)[0])
    spool = Spool(tmp_path, OWNER, "b2", MEGABYTE, clock)
    assert spool.backlog() is None
    assert spool.report().size_bytes == taken(tmp_path)
    for number in range(60):
        assert spool.append(a_large_window(number))
        assert taken(tmp_path) <= MEGABYTE
    # Nobody knows how many records were in the file that could not be read; what came after waits for it no more.
    lost = dropped(spool)["spool-full"] - 1
    assert codes(spool) == ["spool-full"]
    found = drained(spool)
    assert found == [*(("b1", n) for n in range(held + lost + 1, 201)), *(("b2", n) for n in range(1, 61))]


def test_a_file_that_was_put_aside_on_a_disk_that_syncs_no_folder_is_counted_as_what_it_is(tmp_path, monkeypatch):
    def fail(_: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    clock = Clock()
    spool, paths = sealed(tmp_path, 300, clock)
    lost = inside(spool, paths[0])
    ill(monkeypatch).add(paths[0])
    monkeypatch.setattr(aside_module, "sync_folder", fail)
    found = pass_seconds(spool, clock, PATIENCE_SECONDS + REST_SECONDS)
    assert found == [("b1", number) for number in range(lost[-1] + 1, 301)]
    assert dropped(spool) == {"unreadable": len(lost)}
