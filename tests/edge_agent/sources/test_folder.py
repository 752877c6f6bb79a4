"""Pictures that appear in a folder are given once, whole, oldest first, and put away; what is none is put aside."""

import os
import stat
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_agent.errors import SourceWrong
from edge_agent.sources import folder as module
from edge_agent.sources.folder import FolderSource
from edge_agent.sources.settings import Folder
from edge_agent.sources.source import Record
from fleet_contract.manifest import Tensor
from tests.edge_agent.sources.pictures import grey
from tests.fakes.releases import a_manifest

MANIFEST = a_manifest(inputs=(Tensor("image", "FP32", (-1, 64)),))


class Watched:
    """A source on a folder, asked in small steps. Time passes only when told."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self.path = path
        self.now = 0.0
        self.source = FolderSource(Folder("digits", path, **{"settle_seconds": 0.0, **settings}), lambda: self.now)
        self.records = self.source.records(MANIFEST)

    def put(self, name: str, value: int = 1, modified: float | None = None) -> Path:
        path = self.path / name
        path.write_bytes(grey(value))
        if modified is not None:
            os.utime(path, (modified, modified))
        return path

    def next(self) -> Record | None:
        """The next record, past what could not be read."""
        return next((one for one in (next(self.records) for _ in range(5)) if one is not None), None)

    def answered(self, count: int = 10) -> list[int]:
        """The values of up to `count` pictures, each of which the model answers."""
        values = []
        while len(values) < count and (record := self.next()) is not None:
            values.append(int(record.inputs["image"][0, 0]))
            record.done(True)
        return values

    def names(self, folder: str = "") -> set[str]:
        return {path.name for path in (self.path / folder).iterdir() if path.is_file()}


@pytest.fixture
def watched(tmp_path, monkeypatch) -> Callable[..., Watched]:
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.0)
    folder = tmp_path / "in"
    folder.mkdir()
    return lambda **settings: Watched(folder, **settings)


def test_pictures_come_oldest_first_and_once(watched):
    one = watched()
    one.put("b.png", 2, modified=200)
    one.put("a.png", 3, modified=300)
    one.put("c.png", 1, modified=100)
    assert one.answered() == [1, 2, 3]
    one.put("d.png", 4)
    assert one.answered() == [4]
    assert one.names("done") == {"a.png", "b.png", "c.png", "d.png"}


@pytest.mark.parametrize(("done", "left", "moved"), [("move", 0, 2), ("delete", 0, 0), ("keep", 2, 0)])
def test_what_was_answered_is_put_away_as_told(watched, done, left, moved):
    one = watched(done=done)
    one.put("a.png", 1, modified=100)
    one.put("b.png", 2, modified=200)
    assert one.answered() == [1, 2]
    assert one.answered() == []
    assert len(one.names()) == left
    assert moved == (len(one.names("done")) if done == "move" else 0)


def test_one_that_nobody_has_answered_comes_again(watched):
    one = watched()
    one.put("a.png", 1)
    assert one.next() is not None
    assert one.answered() == [1]


def test_one_that_the_model_fails_at_is_put_aside(watched):
    one = watched(done="delete")
    one.put("a.png", 1)
    one.next().done(False)
    assert one.names("failed") == {"a.png"}
    assert one.answered() == []


def test_a_picture_is_read_when_it_has_stopped_changing(watched):
    one = watched(settle_seconds=1.0)
    path = one.put("a.png", 1)
    assert one.answered() == []
    one.now = 0.9
    path.write_bytes(grey(2))
    os.utime(path, (500, 500))
    assert one.answered() == []
    one.now = 1.5
    assert one.answered() == []
    one.now = 2.0
    assert one.answered() == [2]


def test_names_of_what_is_being_written_are_left_alone(watched):
    one = watched()
    for name in (".a.png", "a.png.tmp", "a.PART", "a.crdownload"):
        one.put(name)
    (one.path / "folder.png").mkdir()
    os.mkfifo(one.path / "pipe.png")
    assert one.answered() == []
    (one.path / "a.png.tmp").rename(one.path / "a.png")
    assert one.answered() == [1]


def test_one_that_is_no_picture_is_named_and_stops_nobody(watched):
    one = watched()
    (one.path / "a.png").write_bytes(b"no picture")
    os.utime(one.path / "a.png", (1, 1))
    one.put("b.png", 2)
    record = one.next()
    assert one.source.trouble.code == "picture-unreadable"
    assert "a.png" in one.source.trouble.sentence
    assert one.names("failed") == {"a.png"}
    record.done(True)
    assert one.source.trouble is None
    assert one.answered() == []


def test_kept_pictures_that_cannot_be_read_are_read_once(watched):
    one = watched(done="keep")
    (one.path / "a.png").write_bytes(b"no picture")
    assert one.answered() == []
    one.source.trouble = None
    assert one.answered() == []
    assert one.source.trouble is None


def test_one_that_is_written_anew_while_it_is_answered_is_given_again(watched):
    one = watched()
    one.put("latest.png", 1, modified=100)
    record = one.next()
    one.put("latest.png", 2, modified=200)
    record.done(True)
    assert one.answered() == [2]


def test_one_that_is_taken_back_is_no_trouble(watched):
    one = watched()
    one.put("a.png", 1).unlink()
    one.put("b.png", 2)
    record = one.next()
    (one.path / "b.png").unlink()
    record.done(True)
    assert one.answered() == []
    assert one.source.trouble is None


def test_what_was_answered_never_fills_the_disk(watched):
    one = watched(keep_files=3)
    for number in range(8):
        one.put(f"{number}.png", number, modified=1000 + number)
    assert len(one.answered(20)) == 8
    assert one.names("done") == {"5.png", "6.png", "7.png"}
    again = watched(keep_files=0)
    again.put("8.png", 8)
    assert again.answered() == [8]
    assert again.names("done") == set()


def test_a_name_that_comes_twice_is_kept_twice(watched):
    one = watched()
    for value in (1, 2):
        one.put("latest.png", value)
        assert one.answered() == [value]
    assert len(one.names("done")) == 2


def test_a_folder_that_nobody_may_write_in_is_a_trouble_and_no_picture_comes_twice(watched, monkeypatch):
    one = watched()
    one.put("a.png", 1)

    def refused(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refused)
    assert one.answered() == [1]
    assert one.source.trouble.code == "source-unwritable"
    assert "ReadWritePaths" in one.source.trouble.sentence
    assert one.answered() == []


def test_a_folder_that_is_not_there_or_goes_is_named(watched, tmp_path):
    with pytest.raises(SourceWrong, match="cannot be watched"):
        FolderSource(Folder("digits", tmp_path / "none")).records(MANIFEST)
    one = watched()
    one.path.rmdir()
    with pytest.raises(SourceWrong, match="No such file"):
        one.next()


def test_of_a_great_many_only_a_few_are_held(watched, monkeypatch):
    monkeypatch.setattr(module, "_BATCH", 4)
    one = watched(done="delete")
    for number in range(11):
        one.put(f"{number}.png", number, modified=1000 + number)
    next(one.records)
    assert len(one.source._settling) == 4
    one.records = one.source.records(MANIFEST)
    assert one.answered(20) == list(range(11))


def test_looking_at_a_great_many_takes_the_memory_of_a_few(watched):
    source = watched()
    for number in range(6000):
        (source.path / f"{number:05}.png").touch()
    tracemalloc.start()
    try:
        assert len(source.source._look()) == module._BATCH
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6000 * 100, "all of them would take more than two megabytes"


def test_a_huge_file_is_not_read(watched, monkeypatch):
    one = watched()
    monkeypatch.setattr(module, "_MAX_FILE_BYTES", 10)
    one.put("a.png")
    assert one.answered() == []
    assert "bytes, more than 10" in one.source.trouble.sentence


def test_a_link_to_what_never_ends_is_not_followed_there(watched):
    one = watched()
    (one.path / "a.png").symlink_to("/dev/zero")
    (one.path / "b.png").symlink_to("/nowhere")
    assert one.answered() == []
    assert stat.S_ISLNK((one.path / "a.png").lstat().st_mode)


def test_the_pixels_are_those_of_the_file(watched):
    one = watched()
    one.put("a.png", 33)
    assert np.array_equal(one.next().inputs["image"], np.full((1, 64), 33, np.float32))


def test_folders_that_are_named_after_labels_say_the_true_ones(watched):
    one = watched(labelled=True)
    for label in ("0", "2", "7"):
        (one.path / label).mkdir()
    one.put("plain", 1, modified=1)
    one.put("0/scan", 2, modified=2)
    one.put("2/scan", 3, modified=3)
    one.put("7/scan", 4, modified=4)  # the model gives no 7
    seen = []
    while (record := one.next()) is not None:
        seen.append((int(record.inputs["image"][0, 0]), record.truth))
        record.done(True)
    assert seen == [(1, ()), (2, ("0",)), (3, ("2",))]
    assert len(one.names("done")) == 3, "two of one name do not replace each other"
    assert (one.names("0"), one.names("2"), one.names("7")) == (set(), set(), {"scan"})


def test_unless_it_is_set_folders_are_left_alone(watched):
    one = watched()
    (one.path / "0").mkdir()
    one.put("0/scan", 2)
    assert one.answered() == []


def test_labelled_pictures_that_are_kept_are_given_once(watched):
    one = watched(labelled=True, done="keep")
    (one.path / "0").mkdir()
    one.put("0/scan", 2)
    one.put("scan", 3)
    assert sorted(one.answered()) == [2, 3]
    assert one.answered() == []
