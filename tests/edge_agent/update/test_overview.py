"""Who must end the process, and when nobody may be accused."""

import os
from pathlib import Path

import pytest

from edge_agent.core.limits import Limits
from edge_agent.serving.sealed import Sealed
from edge_agent.update.footprint import LOOKS, Footprint, resident_bytes
from edge_agent.update.overview import PAUSE_SECONDS, Awake
from tests.fakes.blob_server import serving
from tests.fakes.device import running
from tests.fakes.releases import a_manifest
from tests.fakes.tiny_models import a_build

MEBIBYTE = 1024 * 1024


def test_who_looks_often_has_been_awake_all_along() -> None:
    awake = Awake(0.0)
    for now in (5.0, 10.0, 10.0 + PAUSE_SECONDS):
        awake.look(now)
    assert awake.since == 0.0


def test_after_a_pause_everything_begins_anew() -> None:
    awake = Awake(0.0)
    awake.look(PAUSE_SECONDS + 1)
    assert awake.since == PAUSE_SECONDS + 1


def test_who_was_at_work_has_not_paused() -> None:
    awake = Awake(0.0)
    awake.busy(100.0)
    awake.look(101.0)
    assert awake.since == 0.0


def looked_at(footprint: Footprint, looks: int = LOOKS, most_bytes: int | None = None) -> int:
    for _ in range(looks):
        footprint.measure("one", most_bytes)
    return footprint.grown_bytes


def test_what_clients_have_the_agent_make_for_them_is_held_against_no_model() -> None:
    before = resident_bytes()
    made = Sealed(64 * MEBIBYTE)
    assert resident_bytes() < before + 16 * MEBIBYTE
    made.close()
    os.close(made.descriptor)
    own = b"x" * (64 * MEBIBYTE)
    assert resident_bytes() > before + 48 * MEBIBYTE, "while its own is"
    del own


def test_growth_counts_from_when_something_else_was_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = iter([100, *[150] * LOOKS, *[140] * LOOKS, 90, 95])
    monkeypatch.setattr("edge_agent.update.footprint.resident_bytes", lambda: next(sizes))
    footprint = Footprint()
    assert looked_at(footprint, LOOKS + 1) == 50
    for _ in range(LOOKS + 2):
        footprint.measure("two")
        assert footprint.grown_bytes == 0, "and what was given back is no debt"
    assert footprint.resident_bytes == 95


def test_what_comes_and_goes_is_no_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = iter([100, *[900] * (LOOKS - 1), 120, *[900] * (LOOKS - 1), 900])
    monkeypatch.setattr("edge_agent.update.footprint.resident_bytes", lambda: next(sizes))
    footprint = Footprint()
    footprint.measure("one")
    assert [looked_at(footprint, 1) for _ in range(2 * LOOKS - 1)] == [*[0] * (LOOKS - 1), *[20] * (LOOKS - 1), 20]
    sizes = iter([900])
    assert looked_at(footprint, 1) == 800


def test_what_a_burst_has_left_in_the_allocator_is_given_back_and_is_no_growth() -> None:
    footprint = Footprint()
    footprint.measure("one")
    # In pieces that the allocator takes from its heap, below one that stays: it gives none of them back by itself.
    burst, stays = [bytearray(100_000) for _ in range(1000)], bytearray(100_000)
    assert looked_at(footprint) > 64 * MEBIBYTE
    del burst
    with_what_was_freed = resident_bytes()
    assert looked_at(footprint, 32) < 32 * MEBIBYTE
    assert resident_bytes() < with_what_was_freed - 64 * MEBIBYTE
    del stays


def test_before_anybody_is_blamed_what_was_freed_is_given_back() -> None:
    footprint = Footprint()
    footprint.measure("one")
    burst, stays = [bytearray(100_000) for _ in range(1000)], bytearray(100_000)
    # Nothing is to be had, and it is tried ever more rarely.
    looked_at(footprint, 8)
    del burst
    assert looked_at(footprint, 1, most_bytes=64 * MEBIBYTE) < 32 * MEBIBYTE
    del stays


def test_what_a_model_keeps_stays_growth() -> None:
    footprint = Footprint()
    footprint.measure("one")
    leaked = []
    for _ in range(3):
        leaked += [bytearray(100_000) for _ in range(500)]
        footprint.measure("one")
    assert looked_at(footprint) > 128 * MEBIBYTE


def test_a_load_that_lasts_too_long_hangs_but_not_over_a_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    with (
        serving() as server,
        running(tmp_path, server, limits=Limits(load_seconds=60.0), monotonic=lambda: clock[0]) as device,
    ):
        device.order(a_build(1))
        device.until_settled(1)
        assert device.updater.unwell() is None
        reconciler = device.updater._reconcilers["digits"]
        monkeypatch.setattr(reconciler, "preparing", (a_manifest(2), 1000.0))
        clock[0] += 3600.0
        assert device.updater.unwell() is None, "it was frozen with the whole process"
        for _ in range(7):
            clock[0] += 10.0
            found = device.updater.unwell()
        assert found is not None
        assert found.code == "load-hangs"
        assert "version 2 of digits has taken 70 s" in found.sentence
        monkeypatch.undo()
