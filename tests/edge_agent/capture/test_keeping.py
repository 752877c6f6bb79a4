"""What was chosen is written on a thread of its own, and told of once it is safe; nobody waits for a slow disk."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edge_agent.capture import keeping as keeping_module
from edge_agent.capture.about import About
from edge_agent.capture.files import listed
from edge_agent.capture.keeping import Keeping
from edge_agent.capture.store import Captures, Kept
from fleet_contract.telemetry import Sample
from tests.fakes.sessions import Gate, an_image, raising
from tests.fakes.waiting import until

ABOUT = About(7, "digits", 3, "sha256:" + "a" * 64, "low-margin", "1", 0.5, 0.02, "2", 4)


class SlowCaptures(Captures):
    """On a disk that does what a test says before it writes."""

    def __init__(self, folder: Path, instead=lambda: None) -> None:
        super().__init__(folder, 1 << 20, leave_bytes=0)
        self.instead = instead

    def keep(self, about: About, inputs) -> Kept | None:
        self.instead()
        return super().keep(about, inputs)


@pytest.fixture(autouse=True)
def at_once(monkeypatch) -> None:
    """Without rests between records."""
    monkeypatch.setattr(keeping_module, "WRITE_SHARE", 1.0)


@pytest.fixture
def told() -> list[Sample]:
    return []


def test_a_record_is_told_of_once_it_is_safe(tmp_path, told):
    found: list[str] = []

    def tell(sample: Sample) -> None:
        found.extend(name.capture for name, _ in listed(tmp_path))
        told.append(sample)

    keeping = Keeping(SlowCaptures(tmp_path), tell)
    keeping.offer(ABOUT, an_image())
    until(lambda: told)
    keeping.close(60)
    (sample,) = told
    assert found == [sample.capture]
    ((_, path),) = listed(tmp_path)
    assert sample == Sample(
        *(0, 7, "digits", 3, "sha256:" + "a" * 64, "low-margin", sample.capture, path.stat().st_size),
        *("1", 0.5, 0.02, "2", 4),
    )
    assert keeping.held_bytes == 0


def test_what_was_not_kept_is_told_of_to_nobody(tmp_path, told):
    captures = SlowCaptures(tmp_path)
    captures.max_bytes = 1
    keeping = Keeping(captures, told.append)
    keeping.offer(ABOUT, an_image())
    until(lambda: captures.report().dropped == {"too-large": 1})
    keeping.close(60)
    assert told == []


@pytest.mark.parametrize(
    ("records", "size_bytes", "kept"),
    [(100, 16, 1 + keeping_module.MOST_RECORDS), (9, keeping_module.MOST_BYTES // 2, 2)],
)
def test_a_slow_disk_costs_records_and_neither_memory_nor_time(tmp_path, told, records, size_bytes, kept):
    gate = Gate()
    captures = SlowCaptures(tmp_path, gate)
    captures.max_bytes = 1 << 30
    keeping = Keeping(captures, told.append)
    image = {"image": np.zeros(size_bytes, np.uint8)}
    keeping.offer(ABOUT, image)
    until(lambda: gate.inside)
    for _ in range(records - 1):
        keeping.offer(ABOUT, image)
    assert captures.report().dropped == {"behind": records - kept}
    assert keeping.held_bytes == kept * size_bytes
    gate.open()
    until(lambda: len(told) == kept)
    keeping.close(60)


def test_one_record_of_any_size_may_wait(tmp_path, told):
    captures = SlowCaptures(tmp_path)
    captures.max_bytes = 1 << 30
    keeping = Keeping(captures, told.append)
    keeping.offer(ABOUT, {"image": np.zeros(2 * keeping_module.MOST_BYTES, np.uint8)})
    until(lambda: told)
    keeping.close(60)


def test_a_fault_with_one_record_ends_no_keeping(tmp_path, told, caplog):
    captures = SlowCaptures(tmp_path, raising(ZeroDivisionError()))
    keeping = Keeping(captures, told.append)
    keeping.offer(ABOUT, an_image())
    until(lambda: captures.report().dropped == {"broken": 1})
    captures.instead = lambda: None
    keeping.offer(ABOUT, an_image())
    until(lambda: told)
    keeping.close(60)
    assert "could not be captured" in caplog.text


def test_the_end_waits_for_what_was_chosen_and_not_for_a_disk_that_hangs(tmp_path, told):
    gate = Gate()
    captures = SlowCaptures(tmp_path, gate)
    keeping = Keeping(captures, told.append)
    for _ in range(3):
        keeping.offer(ABOUT, an_image())
    until(lambda: gate.inside)
    keeping.close(0.05)
    keeping.offer(ABOUT, an_image())
    gate.open()
    until(lambda: "capture" not in {thread.name for thread in threading.enumerate()})
    assert len(told) == 1
    assert captures.report().dropped == {"behind": 1}


def test_all_that_was_chosen_is_written_at_the_end(tmp_path, told):
    keeping = Keeping(SlowCaptures(tmp_path), told.append)
    for _ in range(5):
        keeping.offer(ABOUT, an_image())
    keeping.close(60)
    assert len(told) == 5


def burn() -> None:
    began = time.thread_time()
    while time.thread_time() - began < 0.02:
        pass


def test_writing_takes_a_share_of_a_core_and_no_more(tmp_path, told, monkeypatch):
    monkeypatch.setattr(keeping_module, "WRITE_SHARE", 0.1)
    keeping, began = Keeping(SlowCaptures(tmp_path, burn), told.append), time.monotonic()
    for _ in range(4):
        keeping.offer(ABOUT, an_image())
    until(lambda: len(told) == 4)
    assert time.monotonic() - began > 3 * 0.2
    keeping.close(60)


def test_the_end_comes_without_a_rest(tmp_path, told, monkeypatch):
    monkeypatch.setattr(keeping_module, "WRITE_SHARE", 0.0001)
    keeping = Keeping(SlowCaptures(tmp_path, burn), told.append)
    for _ in range(3):
        keeping.offer(ABOUT, an_image())
    until(lambda: told)
    began = time.monotonic()
    keeping.close(60)
    assert len(told) == 3
    assert time.monotonic() - began < 30
