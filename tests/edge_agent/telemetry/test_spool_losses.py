"""What the spool cannot keep is dropped, counted by its reason, and told for as long as it matters."""

import errno
import os
from pathlib import Path

import msgspec
import pytest

from edge_agent.core.drain import Backlog
from edge_agent.telemetry import queue as queue_module
from edge_agent.telemetry.loss import TOLD_SECONDS
from edge_agent.telemetry.spool import Spool
from edge_agent.telemetry.unfit import MAX_RECORD_BYTES
from fleet_contract.bounds import MAX_KEYS
from fleet_contract.telemetry import Lane
from tests.fakes.spools import (
    MEGABYTE,
    OWNER,
    Clock,
    a_large_window,
    a_sample,
    a_very_large_window,
    an_event,
    codes,
    files,
    keep,
    sequences,
)
from tests.fakes.windows import a_window


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


@pytest.mark.parametrize(
    ("wrong", "good", "lane", "code"),
    [
        (an_event(sentence="nul\0"), an_event(), "events", "event-wrong"),
        (msgspec.structs.replace(a_sample(), label="nul\0"), a_sample(), "samples", "sample-wrong"),
        (msgspec.structs.replace(a_sample(), margin=float("nan")), a_sample(), "samples", "sample-wrong"),
        (msgspec.structs.replace(a_sample(), confidence=1.5), a_sample(), "samples", "sample-wrong"),
    ],
)
def test_an_event_or_a_sample_that_no_hub_could_take_holds_up_no_other(tmp_path, wrong, good, lane, code):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    assert not keep(spool, wrong)
    assert spool.trouble.code == code
    assert keep(spool, good)
    assert spool.trouble is None
    assert spool.report().lanes[lane].dropped == {code: 1}


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


def test_a_window_with_more_labels_than_the_hub_takes_does_not_hold_up_the_others(tmp_path):
    spool = Spool(tmp_path, OWNER, "b1", MEGABYTE)
    assert not spool.append(a_window(labels=MAX_KEYS + 1))
    assert spool.trouble.code == "window-wrong"
    assert spool.append(a_window(labels=MAX_KEYS))
    assert sequences(spool, "b1") == [1]


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
