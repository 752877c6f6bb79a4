"""The marks in memory are never trusted past what another writer may have done."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from cloud_hub.lake.ledger import Ledger
from cloud_hub.lake.location import Location
from cloud_hub.lake.marks import Boot
from cloud_hub.lake.table import MARKS_KEPT, LakeContested, LakeTable
from tests.fakes.lake import NOW, rows

Open = Callable[[Location], LakeTable]
FIRST, SECOND = Boot("gateway-1", "b0"), Boot("gateway-2", "b0")
BOTH = {FIRST: NOW, SECOND: NOW}


@pytest.fixture
def ours(folder: Location, open_table: Open) -> Ledger:
    return Ledger(open_table(folder))


@pytest.fixture
def theirs(folder: Location, open_table: Open) -> Ledger:
    """Another process's, on the same table."""
    return Ledger(open_table(folder))


def test_what_was_committed_is_known(ours: Ledger) -> None:
    assert ours.marks(BOTH, NOW) == {FIRST: 0, SECOND: 0}
    ours.commit(rows(1, 2), {FIRST: 2}, NOW)
    assert ours.marks(BOTH, NOW) == {FIRST: 2, SECOND: 0}


def test_the_log_is_read_once_while_nobody_else_writes(ours: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[bool] = []
    marks = LakeTable.marks
    monkeypatch.setattr(LakeTable, "marks", lambda table: (reads.append(True), marks(table))[1])
    for number in range(1, 6):
        ours.marks(BOTH, NOW)
        ours.commit(rows(number), {FIRST: number}, NOW)
    assert len(reads) == 1


def test_a_mark_that_another_has_moved_makes_the_commit_fail_and_is_then_known(ours: Ledger, theirs: Ledger) -> None:
    ours.marks(BOTH, NOW)
    theirs.marks(BOTH, NOW)
    theirs.commit(rows(1, 2), {FIRST: 2}, NOW)
    with pytest.raises(LakeContested):
        ours.commit(rows(1), {FIRST: 1}, NOW)
    assert ours.marks(BOTH, NOW) == {FIRST: 2, SECOND: 0}


def test_a_mark_that_another_has_moved_is_known_after_a_commit_of_other_marks(ours: Ledger, theirs: Ledger) -> None:
    ours.marks(BOTH, NOW)
    theirs.marks(BOTH, NOW)
    theirs.commit(rows(1, 2), {FIRST: 2}, NOW)
    # No conflict here; but this is built on their commit, so a later one of ours would meet none either.
    ours.commit(rows(1, device="gateway-2"), {SECOND: 1}, NOW)
    assert ours.marks(BOTH, NOW) == {FIRST: 2, SECOND: 1}


def test_anothers_compaction_changes_no_mark(ours: Ledger, theirs: Ledger) -> None:
    for number in (1, 2):
        ours.marks(BOTH, NOW)
        ours.commit(rows(number), {FIRST: number}, NOW)
    assert theirs.compact() == 2
    ours.marks(BOTH, NOW)
    ours.commit(rows(3), {FIRST: 3}, NOW)
    assert ours.marks(BOTH, NOW) == {FIRST: 3, SECOND: 0}


def test_asking_the_rows_of_an_old_boot_does_not_hide_what_another_wrote(ours: Ledger, theirs: Ledger) -> None:
    ours.marks(BOTH, NOW)
    theirs.marks(BOTH, NOW)
    theirs.commit(rows(1, 2), {FIRST: 2}, NOW)
    # Looking into the rows opens the newest version, behind which a conflict check would not look.
    old = Boot("gateway-3", "b9")
    assert ours.marks({old: NOW - MARKS_KEPT}, NOW) == {old: 0}
    with pytest.raises(LakeContested):
        ours.commit(rows(1), {FIRST: 1}, NOW)
    assert ours.marks(BOTH, NOW)[FIRST] == 2


def test_only_boots_with_old_windows_are_asked_of_the_rows(ours: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Boot] = []
    monkeypatch.setattr(Ledger, "_newest_row", lambda _ledger, boot: asked.append(boot) or 0)
    old = Boot("gateway-3", "b9")
    ours.marks({FIRST: NOW - timedelta(days=20), old: NOW - MARKS_KEPT}, NOW)
    ours.marks({old: NOW - MARKS_KEPT}, NOW)
    assert asked == [old]
