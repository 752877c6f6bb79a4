"""The live slot: a lease is of one whole model, however often the slot is switched."""

import threading
import time
from collections.abc import Mapping

import msgspec
import pytest

from edge_agent.live import Health, LiveModel, Loaded, Pace, Unmarked
from edge_agent.runtimes.session import Array
from edge_agent.update.rest import resting
from fleet_contract.manifest import Tensor
from tests.fakes.releases import a_manifest


class FakeSession:
    """Answers until it is closed; then it fails loudly."""

    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()

    def __init__(self) -> None:
        self.closed = 0

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        assert not self.closed, "a closed session was asked"
        return {}

    def close(self) -> None:
        self.closed += 1


def a_model(version: int = 1) -> tuple[Loaded, FakeSession]:
    session = FakeSession()
    return Loaded(a_manifest(version), session), session


def test_an_empty_slot_leases_nothing_and_counts_nothing() -> None:
    live = LiveModel()
    with live.lease() as loaded:
        assert loaded is None
    assert live.health() == Health(0, 0)
    assert live.manifest is None


def test_what_was_switched_to_answers() -> None:
    live = LiveModel()
    one, _ = a_model()
    live.switch(one)
    with live.lease() as loaded:
        assert loaded is one
    assert live.manifest == one.manifest


def test_a_lease_outlives_a_switch_and_the_old_model_is_closed_when_its_last_lease_ends() -> None:
    live = LiveModel()
    one, session = a_model()
    two, _ = a_model(2)
    live.switch(one)
    with live.lease() as first:
        with live.lease():
            live.switch(two)
            with live.lease() as new:
                assert new is two
            assert not session.closed
        first.session.run({})
        assert not session.closed
    assert session.closed == 1


def test_an_idle_model_is_closed_by_the_switch() -> None:
    live = LiveModel()
    one, session = a_model()
    live.switch(one)
    live.switch(None)
    assert session.closed == 1
    assert live.manifest is None


def test_health_counts_since_the_switch() -> None:
    live = LiveModel()
    live.switch(a_model()[0])
    with live.lease():
        pass
    with pytest.raises(ValueError, match="bad record"), live.lease():
        raise ValueError("bad record")
    assert live.health() == Health(count=1, errors=1)
    live.switch(a_model(2)[0])
    assert live.health() == Health(0, 0)


def test_a_record_counts_for_the_model_that_answered_it() -> None:
    live = LiveModel()
    live.switch(a_model()[0])
    with pytest.raises(ValueError, match="late"), live.lease():
        live.switch(a_model(2)[0])
        raise ValueError("late")
    assert live.health() == Health(0, 0)


def test_waits_for_a_model() -> None:
    live = LiveModel()
    assert not live.wait(0.0)
    threading.Timer(0.05, lambda: live.switch(a_model()[0])).start()
    began = time.monotonic()
    assert live.wait(60.0)
    assert time.monotonic() - began < 30.0


def test_no_lease_is_ever_of_a_closed_model() -> None:
    live = LiveModel()
    stop = threading.Event()
    wrong: list[BaseException] = []
    sessions: list[FakeSession] = []

    def ask() -> None:
        while not stop.is_set():
            try:
                with live.lease() as loaded:
                    if loaded is not None:
                        loaded.session.run({})
            except AssertionError as error:
                wrong.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for version in range(1, 300):
        loaded, session = a_model(version)
        sessions.append(session)
        live.switch(loaded)
    stop.set()
    for thread in threads:
        thread.join()
    live.switch(None)
    assert not wrong
    assert [session.closed for session in sessions] == [1] * len(sessions), "each is closed once"


def test_a_parked_model_stays_live_and_the_next_lease_opens_it_again() -> None:
    live = LiveModel()
    first, second = FakeSession(), FakeSession()
    manifest = a_manifest()
    live.switch(Loaded(manifest, first, lambda: second, 5_000))
    assert live.park()
    assert first.closed == 1
    assert live.parked
    assert live.manifest == manifest
    assert not live.park(), "it is parked already"
    with live.lease() as loaded:
        assert loaded is not None
        assert loaded.session is second
        assert not live.park(), "it is at work"
    assert not live.parked
    assert live.health() == Health(1, 0)
    live.switch(None)
    assert (first.closed, second.closed) == (1, 1)


def test_only_what_can_be_opened_again_is_parked_and_a_parked_one_needs_no_closing() -> None:
    live = LiveModel()
    assert not live.park()
    one, session = a_model()
    live.switch(one)
    assert not live.park()
    residence = live.residence()
    assert residence is not None
    assert not residence.parkable
    live.switch(Loaded(one.manifest, session, lambda: session))
    assert live.park()
    closed = session.closed
    live.switch(None)
    assert session.closed == closed
    assert live.residence() is None


def test_a_model_that_cannot_be_opened_again_fails_the_record_and_may_succeed_later() -> None:
    live = LiveModel()
    tries = iter([OSError("gone"), None])

    def reopen() -> FakeSession:
        if (error := next(tries)) is not None:
            raise error
        return FakeSession()

    live.switch(Loaded(a_manifest(), FakeSession(), reopen))
    live.park()
    with pytest.raises(OSError, match="gone"), live.lease():
        pass
    assert live.health() == Health(0, 1)
    assert live.parked
    with live.lease() as loaded:
        assert loaded is not None
    assert live.health() == Health(1, 1)


def test_what_it_takes_to_open_a_parked_model_is_not_held_against_its_record() -> None:
    live = LiveModel()
    busy: list[float | None] = []

    def reopen() -> FakeSession:
        busy.append(live.busy_since())
        time.sleep(0.1)
        return FakeSession()

    live.switch(Loaded(a_manifest(), FakeSession(), reopen))
    live.slow_seconds = 0.05
    live.park()
    before = time.monotonic()
    with live.lease():
        since = live.busy_since()
        assert since is not None
        assert since >= before + 0.1
    assert live.pace() == Pace(leases=1, slow=0)
    assert busy[0] is not None, "which hangs where it does not end"


def test_many_who_want_a_parked_model_open_it_once() -> None:
    opened: list[FakeSession] = []

    def reopen() -> FakeSession:
        time.sleep(0.02)
        opened.append(FakeSession())
        return opened[-1]

    live = LiveModel()
    live.switch(Loaded(a_manifest(), FakeSession(), reopen))
    live.park()

    def ask() -> None:
        with live.lease() as loaded:
            assert loaded is not None
            loaded.session.run({})

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(opened) == 1
    assert live.health() == Health(6, 0)


def test_a_switch_while_a_parked_model_is_opened_closes_it_when_its_lease_ends() -> None:
    opening, go_on, again = threading.Event(), threading.Event(), FakeSession()

    def reopen() -> FakeSession:
        opening.set()
        assert go_on.wait(60)
        return again

    live = LiveModel()
    live.switch(Loaded(a_manifest(), FakeSession(), reopen))
    live.park()
    done = threading.Event()

    def ask() -> None:
        with live.lease() as loaded:
            assert loaded is not None
            assert loaded.session is again
            loaded.session.run({})
        done.set()

    threading.Thread(target=ask, daemon=True).start()
    assert opening.wait(60)
    live.switch(a_model(2)[0])
    go_on.set()
    assert done.wait(60)
    assert again.closed == 1


def test_what_was_counted_as_answered_can_turn_out_to_be_wrong() -> None:
    live = LiveModel()
    live.switch(a_model()[0])
    lease = live.begin()
    assert lease is not None
    live.end(lease, answered=3)
    live.recant(lease, 2)
    assert live.health() == Health(1, 2)


def test_it_says_since_when_it_is_busy_also_with_a_model_of_before() -> None:
    live = LiveModel()
    assert live.busy_since() is None
    live.switch(a_model()[0])
    began = time.monotonic()
    first = live.begin()
    assert first is not None
    second = live.begin()
    assert second is not None
    live.switch(a_model(2)[0])
    since = live.busy_since()
    assert since is not None
    assert began <= since <= time.monotonic()
    live.end(first)
    assert live.busy_since() == second.began_at
    live.end(second)
    assert live.busy_since() is None


def test_a_lease_that_has_ended_can_begin_again_while_its_model_is_live() -> None:
    live = LiveModel()
    live.switch(a_model()[0])
    lease = live.begin()
    assert lease is not None
    live.end(lease, answered=1)
    began = time.monotonic()
    assert live.again(lease)
    assert (live.leases, live.health().count) == (1, 1)
    assert lease.began_at >= began
    assert live.busy_since() == lease.began_at
    live.end(lease, answered=2)
    assert (live.leases, live.health().count) == (0, 3)


def test_a_lease_that_begins_again_is_noted_again_so_that_a_crash_is_its_models() -> None:
    noted: list[str] = []

    class Noting(Unmarked):
        def enter(self) -> int:
            place = super().enter()
            noted.append(f"enters {place}")
            return place

        def leave(self, place: int) -> None:
            noted.append(f"leaves {place}")

    live = LiveModel(Noting)
    live.switch(a_model()[0])
    lease = live.begin()
    assert lease is not None
    live.end(lease)
    assert live.again(lease)
    live.end(lease)
    assert noted == ["enters 0", "leaves 0", "enters 1", "leaves 1"]


def test_a_lease_of_what_is_not_live_or_was_given_back_does_not_begin_again() -> None:
    live, (loaded, session), reopened = LiveModel(), a_model(), FakeSession()
    live.switch(msgspec.structs.replace(loaded, reopen=lambda: reopened))
    lease = live.begin()
    assert lease is not None
    live.end(lease)
    assert live.park()
    assert not live.again(lease)
    other = live.begin()
    assert other is not None
    live.end(other)
    assert not live.again(lease), "it is of the session before"
    assert live.again(other)
    live.switch(a_model(2)[0])
    assert reopened.closed == 0
    live.end(other)
    assert (session.closed, reopened.closed) == (1, 1)
    assert not live.again(other)
    assert live.leases == 0


def test_at_rest_no_lease_is_under_way_and_none_begins() -> None:
    slot = LiveModel()
    slot.switch(a_model()[0])
    lease = slot.begin()
    assert lease is not None
    began = threading.Event()

    def another() -> None:
        with slot.lease():
            began.set()

    with resting([slot], seconds=0.05) as at_rest:
        assert not at_rest, "one is under way"
    ending = threading.Timer(0.05, slot.end, [lease])
    ending.start()
    with resting([slot], seconds=5.0) as at_rest:
        assert at_rest
        assert not slot.again(lease), "nor does one that was"
        thread = threading.Thread(target=another)
        thread.start()
        assert not began.wait(0.05)
    assert began.wait(60)
    thread.join()
    assert slot.again(lease)
    slot.end(lease)


def test_a_rest_ends_also_where_whoever_looks_fails() -> None:
    slot = LiveModel()
    slot.switch(a_model()[0])
    with pytest.raises(OSError, match="proc"), resting([slot, LiveModel()]):
        raise OSError("proc")
    with slot.lease() as loaded:
        assert loaded is not None
