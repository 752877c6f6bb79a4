"""The live slot: a lease is of one whole model, however often the slot is switched."""

import threading
import time
from collections.abc import Mapping

import pytest

from edge_agent.live import Health, LiveModel, Loaded
from edge_agent.runtimes.session import Array
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
    assert live.wait(10.0)
    assert time.monotonic() - began < 5.0


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
