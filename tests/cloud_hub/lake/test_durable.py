"""A power cut tears at most what was never acked; the table opens without it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cloud_hub.lake import durable
from cloud_hub.lake.location import Location
from cloud_hub.lake.table import LakeTable
from tests.fakes.lake import NOW, rows

Open = Callable[[Location], LakeTable]


@pytest.fixture
def root(folder: Location, open_table: Open) -> Path:
    """A table with the windows 1 to 21 in as many commits, and so with a checkpoint at version 19."""
    table = open_table(folder)
    seen, _ = table.marks()
    for number in range(1, 22):
        seen = table.append(rows(number), {"gateway-1/b0": number}, seen, NOW)
    assert folder.folder is not None
    return folder.folder


def commit(root: Path, version: int) -> Path:
    return root / "_delta_log" / f"{version:020d}.json"


def sequences(table: LakeTable) -> list[int]:
    return sorted(table.dataset().to_table(columns=["sequence"]).column("sequence").to_pylist())


def test_a_whole_table_is_left_alone(root: Path) -> None:
    assert durable.mend(root) == []


@pytest.mark.parametrize("torn", [b"", b'{"commitInfo":{"timestamp":1', b"\x00" * 300])
def test_a_torn_commit_is_set_aside_with_its_mark(root: Path, torn: bytes, folder: Location, open_table: Open) -> None:
    commit(root, 21).write_bytes(torn)
    table = open_table(folder)
    assert table.marks() == (20, {"gateway-1/b0": 20})
    assert sequences(table) == list(range(1, 21))
    assert commit(root, 21).with_name(f"{commit(root, 21).name}.torn").exists()


def test_a_commit_whose_data_is_torn_is_set_aside(root: Path, folder: Location, open_table: Open) -> None:
    newest = max(root.glob("day=*/*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    size = newest.stat().st_size
    newest.write_bytes(b"\x00" * size)
    table = open_table(folder)
    assert table.marks() == (20, {"gateway-1/b0": 20})
    assert sequences(table) == list(range(1, 21))


def test_a_commit_whose_data_never_reached_the_disk_is_set_aside(
    root: Path, folder: Location, open_table: Open
) -> None:
    max(root.glob("day=*/*.parquet"), key=lambda path: path.stat().st_mtime_ns).unlink()
    assert open_table(folder).marks() == (20, {"gateway-1/b0": 20})


def test_a_torn_checkpoint_is_set_aside_and_the_commits_tell_the_same(
    root: Path, folder: Location, open_table: Open
) -> None:
    checkpoint = root / "_delta_log" / f"{19:020d}.checkpoint.parquet"
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    table = open_table(folder)
    assert table.marks() == (21, {"gateway-1/b0": 21})
    assert sequences(table) == list(range(1, 22))


def test_the_next_append_takes_the_place_of_what_was_torn(root: Path, folder: Location, open_table: Open) -> None:
    commit(root, 21).write_bytes(b"")
    table = open_table(folder)
    seen, _ = table.marks()
    assert table.append(rows(21), {"gateway-1/b0": 21}, seen, NOW) == 21
    assert sequences(open_table(folder)) == list(range(1, 22))


def test_every_file_of_a_commit_is_synced_before_the_append_returns(
    folder: Location, open_table: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    sync = durable._sync
    monkeypatch.setattr(durable, "_sync", lambda path: (synced.append(path.name), sync(path))[1])
    table = open_table(folder)
    seen, _ = table.marks()
    synced.clear()
    table.append(rows(1), {"gateway-1/b0": 1}, seen, NOW)
    assert folder.folder is not None
    (data,) = folder.folder.glob("day=*/*.parquet")
    assert {data.name, data.parent.name, "_delta_log", commit(folder.folder, 1).name} <= set(synced)
    assert synced.index(data.name) < synced.index(commit(folder.folder, 1).name)
