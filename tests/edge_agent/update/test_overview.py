"""Who must end the process, and when nobody may be accused."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_agent.core.limits import Limits
from edge_agent.serving.sealed import Sealed
from edge_agent.update.footprint import LASTING_SECONDS, RESTLESS_SECONDS, Footprint, own_and_shared, resident_bytes
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


class World:
    """A footprint, a clock that `look` sets forward by a second a time, and models that are as busy as is said."""

    def __init__(self) -> None:
        self.now = 0.0
        self.at_rest = True
        self.short = False
        self.rests = 0
        self.kept_bytes: int | None = None
        self.held_bytes = 0
        self.sizes: int | None = None
        self.ends: Callable[[], None] = lambda: None
        """What runs do when they end."""
        self.wakes: Callable[[], None] = lambda: None
        """What others have done when somebody has slept."""
        self.footprint = Footprint(self._rest, lambda _: self.short, lambda _: self.wakes())

    @contextmanager
    def _rest(self) -> Iterator[bool]:
        self.rests += 1
        busy = self.sizes
        if self.at_rest and self.kept_bytes is not None:
            self.sizes = self.kept_bytes
        self.ends()
        yield self.at_rest
        self.sizes = busy

    def look(self, seconds: float = 0.0, most_bytes: int | None = None, loaded: str = "one", every: float = 1.0) -> int:
        """What it has grown by after looks for so long."""
        until = self.now + seconds
        while True:
            self.footprint.measure(loaded, self.now, most_bytes, lambda: self.held_bytes)
            if self.now >= until:
                return self.footprint.grown_bytes
            self.now += every


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def told(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """What is resident is what is said."""
    monkeypatch.setattr("edge_agent.update.footprint.resident_bytes", lambda: world.sizes)
    return world


def test_what_clients_have_the_agent_make_for_them_is_held_against_no_model() -> None:
    before = resident_bytes()
    made = Sealed(64 * MEBIBYTE)
    assert resident_bytes() < before + 16 * MEBIBYTE
    made.close()
    os.close(made.descriptor)
    own = b"x" * (64 * MEBIBYTE)
    assert resident_bytes() > before + 48 * MEBIBYTE, "while its own is"
    del own


def test_growth_counts_from_when_something_else_was_loaded(told: World) -> None:
    told.sizes = 100
    told.look()
    told.sizes = 150
    assert told.look(LASTING_SECONDS + 1) == 50
    told.sizes = 140
    assert told.look(LASTING_SECONDS + 1, loaded="two") == 0
    told.sizes = 90
    assert told.look(loaded="two") == 0, "and what was given back is no debt"
    assert told.footprint.resident_bytes == 90


@pytest.mark.parametrize("every", [0.01, 1.0])
def test_growth_is_what_was_there_for_seconds_however_often_somebody_looks(told: World, every: float) -> None:
    told.sizes = 100
    told.look()
    told.now += 1.0
    told.sizes = 900
    assert told.look(LASTING_SECONDS - 2.0, every=every) == 0
    told.sizes = 120
    assert told.look(every=every) == 0
    told.now += 0.5
    told.sizes = 900
    assert told.look(LASTING_SECONDS - 1.0, every=every) <= 20
    assert told.look(2.0, every=every) == 800


def test_unbroken_batches_are_there_at_each_look_and_are_no_growth_at_rest(told: World) -> None:
    told.sizes = told.kept_bytes = 100
    told.look(most_bytes=500)
    told.sizes = 900
    for _ in range(600):
        told.now += 1.0
        assert told.look(most_bytes=500) <= 500
    assert 10 <= told.rests <= 14, "nor is anybody kept waiting more than once a minute"


def test_a_leak_under_unbroken_batches_is_found_within_a_minute_and_at_once_where_memory_is_short(told: World) -> None:
    told.sizes = told.kept_bytes = 100
    told.look(most_bytes=500)
    told.sizes = 900
    told.look(600.0, most_bytes=500)
    told.kept_bytes = 700
    assert told.look(60.0, most_bytes=500) == 600
    told.kept_bytes = 100
    told.look(60.0, most_bytes=500)
    told.look(600.0, most_bytes=500)
    told.kept_bytes, told.short = 700, True
    assert told.look(LASTING_SECONDS, most_bytes=500) == 600
    told.short = False
    told.kept_bytes = 100
    told.look(600.0, most_bytes=500)
    told.look(loaded="two", most_bytes=500)
    told.sizes, told.kept_bytes = 1900, 1800
    assert told.look(2 * LASTING_SECONDS, most_bytes=500, loaded="two") == 900, "and another model is judged anew"


def test_what_is_still_there_at_rest_is_growth_after_seconds(told: World) -> None:
    told.sizes = told.kept_bytes = 100
    told.look(most_bytes=500)
    told.now += 1.0
    told.sizes, told.kept_bytes = 900, 700
    assert told.look(LASTING_SECONDS - 1.0, most_bytes=500) <= 500
    assert told.look(1.0, most_bytes=500) == 600
    assert told.look(1.0, most_bytes=500) == 600, "until it is known better"
    assert told.rests == 1


def test_where_memory_is_short_it_is_judged_at_once_and_only_at_rest(told: World) -> None:
    told.short = True
    told.sizes = told.kept_bytes = 100
    told.look(most_bytes=500)
    told.now += 1.0
    told.sizes = 900
    assert told.look(most_bytes=500) == 0
    assert told.rests == 1
    told.kept_bytes = 700
    told.now += LASTING_SECONDS
    assert told.look(most_bytes=500) == 600


def test_what_a_request_takes_while_it_is_read_is_soon_over_in_a_moment_of_rest(told: World) -> None:
    told.short = True
    told.sizes = told.kept_bytes = 100
    told.look(most_bytes=500)
    told.now += 1.0
    told.sizes = told.kept_bytes = 900
    told.wakes = lambda: setattr(told, "sizes", told.sizes - 100)
    assert told.look(most_bytes=500) == 500
    assert told.rests == 1


def test_models_that_never_rest_must_have_kept_it_for_long(told: World) -> None:
    told.at_rest = False
    told.sizes = 100
    told.look(most_bytes=500)
    told.now += 1.0
    told.sizes = 900
    assert told.look(RESTLESS_SECONDS - LASTING_SECONDS, most_bytes=500) <= 500
    assert told.look(2 * LASTING_SECONDS, most_bytes=500) == 800


def test_what_requests_hold_is_no_growth(told: World) -> None:
    told.sizes = told.kept_bytes = 100
    told.look(most_bytes=500)
    told.sizes = told.kept_bytes = 900
    told.held_bytes = 600
    assert told.look(3 * LASTING_SECONDS, most_bytes=500) == 200
    assert told.rests == 0
    told.held_bytes = 0
    assert told.look(2 * LASTING_SECONDS, most_bytes=500) == 800


def test_what_a_burst_has_left_in_the_allocator_is_given_back_and_is_no_growth(world: World) -> None:
    world.look()
    # In pieces that the allocator takes from its heap, below one that stays: it gives none of them back by itself.
    burst, stays = [bytearray(100_000) for _ in range(1000)], bytearray(100_000)
    assert world.look(LASTING_SECONDS + 1) > 64 * MEBIBYTE
    del burst
    with_what_was_freed = resident_bytes()
    assert world.look(32.0) < 32 * MEBIBYTE
    assert resident_bytes() < with_what_was_freed - 64 * MEBIBYTE
    del stays


def test_what_a_load_has_freed_is_given_back_and_is_no_room_for_a_leak(world: World) -> None:
    world.look()
    burst, stays = [bytearray(100_000) for _ in range(1000)], bytearray(100_000)
    del burst
    with_what_was_freed = resident_bytes()
    world.look(loaded="two")
    assert world.footprint.resident_bytes < with_what_was_freed - 64 * MEBIBYTE
    del stays


def test_what_the_kernel_has_swapped_out_is_still_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (status := tmp_path / "status").write_text("VmRSS:\t500 kB\nRssShmem:\t100 kB\nVmSwap:\t70 kB\n")
    monkeypatch.setattr("edge_agent.update.footprint._STATUS", status)
    assert own_and_shared() == (470 * 1024, 100 * 1024)


def test_before_anybody_is_blamed_what_was_freed_is_given_back(world: World) -> None:
    world.look()
    burst, stays = [bytearray(100_000) for _ in range(1000)], bytearray(100_000)
    # Nothing is to be had, and it is tried ever more rarely.
    world.look(8.0)
    del burst
    assert world.look(most_bytes=64 * MEBIBYTE) < 32 * MEBIBYTE
    del stays


def test_what_runs_have_freed_by_the_moment_of_rest_is_no_growth(world: World) -> None:
    world.short = True
    world.look()
    burst, stays = [bytearray(100_000) for _ in range(1000)], bytearray(100_000)
    world.ends = burst.clear
    assert world.look(most_bytes=64 * MEBIBYTE) < 32 * MEBIBYTE
    assert world.rests == 1
    del stays


def test_what_a_model_keeps_stays_growth(world: World) -> None:
    world.look()
    leaked = []
    for _ in range(3):
        leaked += [bytearray(100_000) for _ in range(500)]
        world.look(1.0)
    assert world.look(LASTING_SECONDS + 1) > 128 * MEBIBYTE


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
