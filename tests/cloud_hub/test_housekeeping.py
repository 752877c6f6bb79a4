"""Housekeeping: what is too old goes, and what cannot be deleted keeps nothing else from it."""

import threading

import pytest

from cloud_hub import housekeeping as housekeeping_module
from cloud_hub.housekeeping import Housekeeping


def test_a_chore_that_fails_keeps_no_other_from_being_done_and_is_told_until_it_succeeds() -> None:
    full, done = [OSError("disk full")], []

    def audit() -> None:
        if full:
            raise full.pop()
        done.append("audit")

    housekeeping = Housekeeping({"audit": audit, "history": lambda: done.append("history")})
    housekeeping.clean()
    assert done == ["history"]
    (trouble,) = housekeeping.troubles()
    assert trouble.code == "housekeeping-failing"
    assert "in the audit is not deleted" in trouble.sentence and "disk full" in trouble.sentence
    housekeeping.clean()
    assert done == ["history", "audit", "history"]
    assert housekeeping.troubles() == []


def test_it_cleans_as_soon_as_it_starts_and_can_be_stopped_at_once() -> None:
    cleaned = threading.Event()
    housekeeping = Housekeeping({"audit": cleaned.set})
    housekeeping.start()
    assert cleaned.wait(10)
    housekeeping.stop()
    assert "housekeeping" not in {thread.name for thread in threading.enumerate()}


def test_after_a_failure_it_does_not_wait_for_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping_module, "AGAIN_SECONDS", 0.0)
    away, cleaned = [OSError("away")], threading.Event()

    def audit() -> None:
        if away:
            raise away.pop()
        cleaned.set()

    housekeeping = Housekeeping({"audit": audit})
    housekeeping.start()
    assert cleaned.wait(10)
    housekeeping.stop()
    assert housekeeping.troubles() == []


def test_one_that_never_started_can_be_stopped() -> None:
    Housekeeping({}).stop()
