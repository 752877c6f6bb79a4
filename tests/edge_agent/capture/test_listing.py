"""`vedette-agent captures`: what it lists, and what it copies."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from edge_agent import cli
from edge_agent.capture import copying, listing
from edge_agent.capture.about import About
from edge_agent.capture.copying import CopyFailed, copy_all
from edge_agent.capture.files import FileName, listed
from edge_agent.capture.listing import look, told
from edge_agent.capture.store import Captures
from edge_agent.errors import StateUnusable
from tests.edge_agent.capture.records import an_about, noise
from tests.edge_agent.test_light import modules_after


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text('state_dir = "state"\n')
    (tmp_path / "state").mkdir()
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "state" / "captures"
    folder.parent.mkdir(exist_ok=True)
    made = Captures(folder, 1 << 30, leave_bytes=0)
    made.keep(an_about(), noise())
    made.keep(an_about(beside="8", beside_version=4), noise(seed=1))
    made.keep(an_about(label="", confidence=0.0), noise(seed=2))
    return folder


def damage(folder: Path, place: int) -> Path:
    path = listed(folder)[place][1]
    path.write_bytes(path.read_bytes()[:-20])
    return path


def said(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert cli.main(["captures", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_each_capture_is_a_line_with_why_it_was_kept(config, folder, capsys):
    heads, first, second, third, total = said(capsys, "--config", config).splitlines()
    assert heads.split() == ["TIME", "(UTC)", "MODEL", "VERSION", "REASON", "LABEL", "CONFIDENCE", "BYTES", "FILE"]
    size = listed(folder)[0][1].stat().st_size
    assert first.split()[:8] == ["2026-11-22", "20:00:00", "digits", "3", "low-margin", "7", "51.2%", str(size)]
    assert "7 (version 4: 8)" in second
    assert "%" not in third
    assert total.startswith("3 captures, ")
    assert str(folder) in total


def test_no_captures_are_said_with_what_makes_some(config, capsys):
    assert "max_bytes" in said(capsys, "--config", config)


def test_a_damaged_capture_is_listed_as_such(config, folder, capsys):
    damage(folder, 1)
    lines = said(capsys, "--config", config).splitlines()[1:-1]
    assert ["damaged" in line for line in lines] == [False, True, False]


@pytest.mark.parametrize("at_ms", [-1, 0, 1 << 62])
def test_a_clock_that_was_wrong_and_a_label_that_would_order_a_terminal_about_are_listed(tmp_path, at_ms):
    Captures(tmp_path / "c", 1 << 30, leave_bytes=0).keep(an_about(at_ms, label="\x1b[2J7"), noise())
    text = told(tmp_path / "c", look(tmp_path / "c"))
    assert "?[2J7" in text
    assert "\x1b" not in text


def test_copies_are_what_was_captured_and_are_not_made_twice(config, folder, tmp_path, capsys):
    stick = tmp_path / "media" / "stick"
    assert "Copied 3 captures" in said(capsys, "--config", config, "--copy", stick)
    for name, path in listed(folder):
        copy = stick / path.name
        assert hashlib.sha256(copy.read_bytes()).hexdigest() == name.capture
        assert copy.stat().st_mode & 0o777 == 0o600
    (stick / listed(folder)[0][1].name).write_bytes(b"cut short")
    again = said(capsys, "--config", config, "--copy", stick)
    assert "Copied 1 captures" in again
    assert "2 more were there already" in again
    assert look(stick)[0].about == an_about()


@pytest.mark.parametrize("number", [None, errno.EINVAL])
def test_the_names_of_copies_are_on_the_stick_before_it_is_said_so(folder, tmp_path, monkeypatch, number):
    synced = []

    def sync(one: Path) -> None:
        synced.append((one, len(listed(tmp_path / "to"))))
        if number is not None:
            raise OSError(number, "Invalid argument")

    monkeypatch.setattr(copying, "sync_folder", sync)
    assert copy_all(look(folder), tmp_path / "to").copied == 3
    assert synced == [(tmp_path / "to", 3)]


def test_a_damaged_capture_is_left_out_by_its_name(folder, tmp_path):
    path = damage(folder, 1)
    copied = copy_all(look(folder), tmp_path / "to")
    assert copied.copied == 2
    assert copied.damaged == (path,)
    assert path.name in str(copied)
    assert not (tmp_path / "to" / path.name).exists()


def test_one_capture_that_cannot_be_read_hides_no_other(folder, tmp_path, monkeypatch):
    bad = listed(folder)[1][1]
    read_about = listing.read_about

    def ill(path: Path) -> About:
        if path == bad:
            raise OSError(errno.EIO, "Input/output error")
        return read_about(path)

    monkeypatch.setattr(listing, "read_about", ill)
    monkeypatch.setattr(copying, "read_again", lambda path: ill(path) and path.read_bytes())
    found = look(folder)
    assert [one.about is None for one in found] == [False, True, False]
    copied = copy_all(found, tmp_path / "to")
    assert copied.copied == 2
    assert copied.damaged == (bad,)


def test_what_is_called_like_a_capture_and_is_no_file_is_left_out(folder, tmp_path):
    (folder / str(FileName(8, "a" * 64))).mkdir()
    loop = folder / str(FileName(9, "b" * 64))
    loop.symlink_to(loop)
    found = look(folder)
    assert [one.name.number for one in found] == [1, 2, 3]
    assert copy_all(found, tmp_path / "to").damaged == ()


def test_what_an_agent_lets_go_meanwhile_is_no_error(folder, tmp_path):
    captures = look(folder)
    captures[0].path.unlink()
    assert copy_all(captures, tmp_path / "to").copied == 2


def test_a_copy_that_finds_no_room_says_how_much_it_needs_and_leaves_no_half(folder, tmp_path, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(copying.os, "fsync", full)
    captures = look(folder)
    with pytest.raises(CopyFailed) as caught:
        copy_all(captures, tmp_path / "to")
    assert "No space left" in caught.value.what
    assert f"room for {3 * 4096} bytes" in caught.value.remedy
    assert list((tmp_path / "to").iterdir()) == []


def test_a_place_that_is_no_folder_is_named(config, folder, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.main(["captures", "--config", str(config), "--copy", str(tmp_path / "file")]) == 1
    assert "[copy-failed]" in capsys.readouterr().err


def test_captures_that_may_not_be_read_say_who_may(folder, monkeypatch):
    def refused(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(StateUnusable, match="Permission denied"):
        look(folder)


def test_listing_needs_no_numpy_and_captures_load_nothing_before_one_is_kept():
    loaded = modules_after("import edge_agent.capture.listing, edge_agent.capture.copying")
    assert not loaded & {"numpy", "onnxruntime", "paho"}
    assert not modules_after("import edge_agent.capture.store, edge_agent.capture.choice") & {"numpy", "zipfile"}
