"""Rows and marks are one fact, in a folder and on S3, whoever else writes."""

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from cloud_hub.errors import CannotStart
from cloud_hub.lake.location import Location
from cloud_hub.lake.rows import PARTITION
from cloud_hub.lake.schema import SCHEMA
from cloud_hub.lake.table import LakeContested, LakeTable, LakeUnavailable
from tests.fakes.lake import NOW, rows

Open = Callable[[Location], LakeTable]


def sequences(table: LakeTable) -> list[int]:
    return sorted(table.dataset().to_table(columns=["sequence"]).column("sequence").to_pylist())


def append(table: LakeTable, *numbers: int, device: str = "gateway-1") -> int:
    seen, _ = table.marks()
    return table.append(rows(*numbers, device=device), {f"{device}/b0": max(numbers)}, seen, NOW)


def test_a_new_lake_is_an_empty_table_with_the_promised_columns(location: Location, open_table: Open) -> None:
    table = open_table(location)
    assert table.marks() == (0, {})
    assert table.dataset().schema.equals(SCHEMA)
    assert table.size().rows == 0


def test_rows_and_marks_are_there_for_the_next_process(location: Location, open_table: Open) -> None:
    append(open_table(location), 1, 2, 3)
    append(open_table(location), 1, device="gateway-2")
    found = open_table(location)
    assert found.marks() == (2, {"gateway-1/b0": 3, "gateway-2/b0": 1})
    assert sequences(found) == [1, 1, 2, 3]
    assert found.size().rows == 4


def test_all_columns_come_back_as_they_went_in(location: Location, open_table: Open) -> None:
    append(open_table(location), 1)
    (row,) = open_table(location).dataset().to_table().to_pylist()
    assert row["latency_p50_us"] == pytest.approx(54.4, rel=0.03)
    assert row["latency_p99_us"] == pytest.approx(121.5, rel=0.03)
    for name in ("latency_p50_us", "latency_p95_us", "latency_p99_us"):
        del row[name]
    assert row == {
        "device": "gateway-1",
        "boot": "b0",
        "sequence": 1,
        "fleet": "default",
        "target": "cpu-vnni",
        "labels": [("site", "north"), ("line", "4")],
        "model": "digits",
        "version": 1,
        "digest": "sha256:" + "ab" * 32,
        "started_at": NOW,
        "ended_at": NOW + timedelta(seconds=10),
        "ingested_at": NOW,
        "count": 10,
        "errors": 1,
        "latency": [(100, 6), (120, 4)],
        "predictions": [("3", 7), ("8", 3)],
        "confidence": [0, 4, 6],
        "features": [("image.mean", [1, 9]), ("image.std", [10, 0])],
        "error_codes": [("output-shape", 1)],
        "day": NOW.date(),
        "slot": "default",
        "compared": 0,
        "agreed": 0,
        "memory_bytes": None,
        "temperature_c": None,
        "labelled": 0,
        "correct": 0,
    }


LATER = ("slot", "compared", "agreed", "memory_bytes", "temperature_c", "labelled", "correct")
OLD_SCHEMA = pa.schema([field for field in SCHEMA if field.name not in LATER])


def test_a_table_of_an_older_hub_gets_the_new_columns_and_keeps_its_rows_and_marks(
    location: Location, open_table: Open
) -> None:
    old = LakeTable(location, OLD_SCHEMA, PARTITION)
    old.marks()
    old.append(rows(1).select(OLD_SCHEMA.names), {"gateway-1/b0": 1}, 0, NOW)
    new = open_table(location)
    assert new.dataset().schema.equals(SCHEMA)
    append(new, 2)
    found = open_table(location)
    assert found.marks()[1] == {"gateway-1/b0": 2}
    slots = found.dataset().to_table(columns=["sequence", "slot"]).to_pylist()
    assert sorted((one["sequence"], one["slot"]) for one in slots) == [(1, None), (2, "default")]


def test_an_older_hub_goes_on_writing_beside_a_newer_one(location: Location, open_table: Open) -> None:
    old = LakeTable(location, OLD_SCHEMA, PARTITION)
    seen, _ = old.marks()
    append(open_table(location), 1)
    with pytest.raises(LakeContested):
        old.append(rows(9).select(OLD_SCHEMA.names), {"gateway-9/b0": 9}, seen, NOW)
    seen, _ = old.marks()
    old.append(rows(9).select(OLD_SCHEMA.names), {"gateway-9/b0": 9}, seen, NOW)
    append(open_table(location), 2)
    assert sequences(open_table(location)) == [1, 2, 9]


def test_new_columns_that_two_hubs_add_at_once_are_added_once(location: Location) -> None:
    LakeTable(location, OLD_SCHEMA, PARTITION).marks()
    tables = [LakeTable(location, SCHEMA, PARTITION) for _ in range(4)]
    found: list[pa.Schema] = []
    threads = [threading.Thread(target=lambda table: found.append(table.dataset().schema), args=(t,)) for t in tables]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.names for one in found] == [SCHEMA.names] * 4


def test_a_writer_whose_marks_another_has_moved_is_told_and_writes_nothing(
    location: Location, open_table: Open
) -> None:
    first, second = open_table(location), open_table(location)
    seen, _ = first.marks()
    assert second.marks() == (seen, {})
    first.append(rows(1, 2), {"gateway-1/b0": 2}, seen, NOW)
    with pytest.raises(LakeContested):
        second.append(rows(1, 2), {"gateway-1/b0": 2}, seen, NOW)
    assert sequences(open_table(location)) == [1, 2]


def test_writers_of_different_boots_do_not_disturb_each_other(location: Location, open_table: Open) -> None:
    first, second = open_table(location), open_table(location)
    seen, _ = first.marks()
    second.marks()
    assert first.append(rows(1), {"gateway-1/b0": 1}, seen, NOW) == seen + 1
    # The jump in versions is how the second learns that it has not seen all.
    assert second.append(rows(1, device="gateway-2"), {"gateway-2/b0": 1}, seen, NOW) == seen + 2
    assert second.marks() == (seen + 2, {"gateway-1/b0": 1, "gateway-2/b0": 1})


def test_marks_read_in_one_version_are_not_used_on_a_newer_one(location: Location, open_table: Open) -> None:
    first, second = open_table(location), open_table(location)
    seen, _ = first.marks()
    append(second, 1)
    first.refresh()
    # A conflict check from here on would no longer see what the second did.
    with pytest.raises(LakeContested):
        first.append(rows(1), {"gateway-1/b0": 1}, seen, NOW)


def test_of_many_writers_of_one_boot_one_wins_each_round(location: Location, open_table: Open) -> None:
    tables = [open_table(location) for _ in range(3)]
    seen = {table.marks()[0] for table in tables}
    assert seen == {0}
    won: list[int] = []

    def write(table: LakeTable, number: int) -> None:
        try:
            table.append(rows(1), {"gateway-1/b0": 1}, 0, NOW)
            won.append(number)
        except LakeContested:
            pass

    threads = [threading.Thread(target=write, args=(table, at)) for at, table in enumerate(tables)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert sequences(open_table(location)) == [1]


def test_marks_are_read_over_checkpoints_and_the_commits_after_them(folder: Location, open_table: Open) -> None:
    table = open_table(folder)
    for number in range(1, 46):
        append(table, number, device=f"gateway-{number % 4}")
    assert folder.folder is not None
    assert list((folder.folder / "_delta_log").glob("*39.checkpoint.parquet"))
    version, marks = open_table(folder).marks()
    assert version == 45
    assert marks == {"gateway-0/b0": 44, "gateway-1/b0": 45, "gateway-2/b0": 42, "gateway-3/b0": 43}


def test_marks_agree_with_what_deltalake_says_of_each(location: Location, open_table: Open) -> None:
    table = open_table(location)
    for number in range(1, 23):
        append(table, number, device=f"gateway-{number % 3}")
    theirs = DeltaTable(location.uri, storage_options=dict(location.storage_options))
    _, marks = table.marks()
    assert {app_id: theirs.transaction_version(app_id) for app_id in marks} == marks


def test_compaction_merges_files_and_keeps_rows_and_marks(location: Location, open_table: Open) -> None:
    table = open_table(location)
    for number in range(1, 8):
        append(table, number)
    assert table.size().files == 7
    assert table.compact() == 7
    found = open_table(location)
    assert found.size().files == 1
    assert sequences(found) == [1, 2, 3, 4, 5, 6, 7]
    assert found.marks()[1] == {"gateway-1/b0": 7}


def test_a_writer_goes_on_beside_anothers_compaction(location: Location, open_table: Open) -> None:
    writer, tidier = open_table(location), open_table(location)
    append(writer, 1)
    seen = append(writer, 2)
    assert tidier.compact() == 2
    assert writer.append(rows(3), {"gateway-1/b0": 3}, seen, NOW) == seen + 2
    assert sequences(open_table(location)) == [1, 2, 3]


def test_vacuum_deletes_what_a_crash_left_behind_once_it_is_old(folder: Location, open_table: Open) -> None:
    table = open_table(folder)
    append(table, 1)
    assert folder.folder is not None
    day = next(folder.folder.glob("day=*"))
    old, young = day / "part-00000-old.parquet", day / "part-00001-young.parquet"
    for orphan in (old, young):
        orphan.write_bytes(b"half a file")
    two_days_ago = datetime.now(UTC).timestamp() - 2 * 86400
    os.utime(old, (two_days_ago, two_days_ago))
    table.vacuum()
    assert not old.exists()
    assert young.exists()
    assert sequences(open_table(folder)) == [1]


def test_a_place_that_cannot_be_written_is_unavailable_and_works_once_it_can(tmp_path: Path, open_table: Open) -> None:
    place = tmp_path / "lake"
    place.write_text("a file in the way")
    location = Location.of(str(place), "windows")
    table = open_table(location)
    with pytest.raises(LakeUnavailable, match="cannot be"):
        table.marks()
    place.unlink()
    assert table.marks() == (0, {})


def test_a_failed_write_leaves_the_table_as_it_was(folder: Location, open_table: Open) -> None:
    table = open_table(folder)
    seen = append(table, 1)
    with pytest.raises(LakeUnavailable):
        table.append(pa.table({"something": [1]}), {"gateway-1/b0": 2}, seen, NOW)
    assert table.marks() == (seen, {"gateway-1/b0": 1})
    assert sequences(table) == [1]


def test_a_log_with_a_hole_is_not_guessed_at(folder: Location, open_table: Open) -> None:
    table = open_table(folder)
    for number in (1, 2, 3):
        append(table, number)
    assert folder.folder is not None
    (folder.folder / "_delta_log" / f"{2:020d}.json").unlink()
    with pytest.raises(LakeUnavailable):
        open_table(folder).marks()


@pytest.mark.parametrize("url", ["gs://bucket/lake", "s3://", "http://host/lake", ""])
def test_a_url_that_names_no_lake_is_refused(url: str) -> None:
    with pytest.raises(CannotStart, match="--lake-url"):
        Location.of(url, "windows")
