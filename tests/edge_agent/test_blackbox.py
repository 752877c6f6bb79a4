"""Marks that outlive the process: what the next start reads of who was at work."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.blackbox import BlackBox
from edge_agent.core.transitions import Part
from fleet_contract.manifest import Manifest
from tests.fakes.releases import a_manifest

ONE, TWO = a_manifest(1), a_manifest(1, model="noise")
STRUCK = "Fatal Python error: Segmentation fault\n\nCurrent thread 0x{:016x} (most recent call first):\n  File ..."
FOREIGN = "Fatal Python error: Aborted\n\nThread 0x00000000000000ff (most recent call first):\n  File ..."


def begun(folder: Path, boot_id: str = "boot-1") -> BlackBox:
    box = BlackBox(folder, boot_id)
    box.begin()
    return box


def parts(folder: Path, boot_id: str = "boot-1") -> tuple[Part, Part]:
    """What the next start makes of the parts that version 1 of digits and of noise had."""
    box = BlackBox(folder, boot_id)
    return box.end("digits", ONE.artifact.digest).part, box.end("noise", TWO.artifact.digest).part


def at_work(box: BlackBox, key: str, manifest: Manifest, *, loading: bool = False) -> int:
    """The thread that is at work in it, and never comes back: one that ended would leave its number to the next."""
    mark, entered = box.mark(key, manifest, loading=loading), threading.Event()

    def work() -> None:
        mark.enter()
        entered.set()
        threading.Event().wait()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert entered.wait(60)
    return thread.ident or 0


def test_of_a_first_start_nothing_is_known(tmp_path: Path) -> None:
    assert parts(tmp_path) == (Part.UNKNOWN, Part.UNKNOWN)


def test_what_is_damaged_says_nothing(tmp_path: Path) -> None:
    begun(tmp_path)
    (tmp_path / "blackbox").write_bytes(b"who knows")
    assert parts(tmp_path) == (Part.UNKNOWN, Part.UNKNOWN)
    (tmp_path / "blackbox").write_bytes(bytes(100_000))
    assert parts(tmp_path) == (Part.UNKNOWN, Part.UNKNOWN)


def test_when_the_device_went_down_too_nothing_is_known(tmp_path: Path) -> None:
    at_work(begun(tmp_path), "digits", ONE)
    box = BlackBox(tmp_path, "boot-2")
    assert box.end("digits", ONE.artifact.digest).because.code == "device-ended"
    assert parts(tmp_path, "boot-2") == (Part.UNKNOWN, Part.UNKNOWN)


def test_an_orderly_end_is_nobodys_fault(tmp_path: Path) -> None:
    box = begun(tmp_path)
    at_work(box, "digits", ONE)
    box.close()
    assert parts(tmp_path) == (Part.NONE, Part.NONE)


def test_who_was_at_work_when_the_process_was_killed_is_likely_to_be_at_fault(tmp_path: Path) -> None:
    box = begun(tmp_path)
    at_work(box, "digits", ONE)
    box.mark("noise", TWO)
    assert parts(tmp_path) == (Part.LIKELY, Part.NONE)


def test_who_has_come_out_alive_is_not(tmp_path: Path) -> None:
    box = begun(tmp_path)
    mark = box.mark("digits", ONE)
    mark.leave(mark.enter())
    assert parts(tmp_path) == (Part.NONE, Part.NONE)
    mark.close()
    assert parts(tmp_path) == (Part.NONE, Part.NONE)


@pytest.mark.parametrize(("loading", "code"), [(True, "load-hangs"), (False, "inference-hangs")])
def test_who_never_came_back_is_at_fault_for_certain(tmp_path: Path, loading: bool, code: str) -> None:
    box = begun(tmp_path)
    at_work(box, "digits", ONE, loading=loading)
    at_work(box, "noise", TWO)
    box.hang("digits", ONE.artifact.digest)
    assert parts(tmp_path) == (Part.CERTAIN, Part.LIKELY)
    assert BlackBox(tmp_path, "boot-1").end("digits", ONE.artifact.digest).because.code == code


@pytest.mark.parametrize(
    ("working", "account", "expected"),
    [
        # (who is at work, what Python says given the threads of digits and noise, the parts of digits and noise)
        ("both", lambda digits, noise: STRUCK.format(digits), (Part.CERTAIN, Part.NONE)),
        ("both", lambda digits, noise: STRUCK.format(noise), (Part.NONE, Part.CERTAIN)),
        ("both", lambda digits, noise: STRUCK.format(12345), (Part.LIKELY, Part.LIKELY)),
        ("both", lambda digits, noise: FOREIGN, (Part.LIKELY, Part.LIKELY)),
        # A thread of the runtime's own, which Python does not know, while one model is at work.
        ("digits", lambda digits, noise: FOREIGN, (Part.CERTAIN, Part.NONE)),
        ("digits", lambda digits, noise: STRUCK.format(12345), (Part.CERTAIN, Part.NONE)),
        # A signal from outside, as a watchdog sends it, strikes the main thread.
        (
            "digits",
            lambda digits, noise: STRUCK.format(threading.main_thread().ident),
            (Part.LIKELY, Part.NONE),
        ),
        # Nobody is at work: what one of them has broken before may have come to light.
        ("none", lambda digits, noise: FOREIGN, (Part.UNKNOWN, Part.UNKNOWN)),
    ],
)
def test_a_fatal_signal_is_the_fault_of_who_was_struck(
    tmp_path: Path, working: str, account: Callable[[int, int], str], expected: tuple[Part, Part]
) -> None:
    box = begun(tmp_path)
    digits = at_work(box, "digits", ONE) if working in {"digits", "both"} else 0
    noise = at_work(box, "noise", TWO) if working == "both" else 0
    if not digits:
        box.mark("digits", ONE)
    if not noise:
        box.mark("noise", TWO)
    with (tmp_path / "fatal").open("r+") as file:
        file.write(account(digits, noise))
    assert parts(tmp_path) == expected


def test_what_was_read_is_gone_with_the_next_record(tmp_path: Path) -> None:
    at_work(begun(tmp_path), "digits", ONE)
    (tmp_path / "fatal").write_text(FOREIGN)
    begun(tmp_path)
    assert BlackBox(tmp_path, "boot-1").account == ""
    assert parts(tmp_path) == (Part.NONE, Part.NONE)


def test_more_at_once_than_there_is_room_for_are_noted_as_far_as_there_is(tmp_path: Path) -> None:
    box = begun(tmp_path)
    mark = box.mark("digits", ONE)
    places = [mark.enter() for _ in range(40)]
    assert len(set(places)) == 40
    for place in places:
        mark.leave(place)
    assert parts(tmp_path)[0] is Part.NONE
    marks = [box.mark(f"model-{number}", ONE) for number in range(60)]
    for one in marks:
        one.leave(one.enter())
        one.close()
    again = box.mark("noise", TWO)
    again.enter()
    assert parts(tmp_path) == (Part.NONE, Part.LIKELY), "cells are used again"


def test_where_nothing_can_be_written_nothing_is_noted_and_it_is_said(tmp_path: Path) -> None:
    box = begun(tmp_path / "missing")
    assert box.trouble is not None
    assert box.trouble.code == "disk-failed"
    mark = box.mark("digits", ONE)
    mark.leave(mark.enter())
    mark.close()
    box.hang("digits", ONE.artifact.digest)
    box.watch()
    box.close()
