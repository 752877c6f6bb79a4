"""The doctor asks an agent that runs what applications ask it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_agent.config import Serving
from edge_agent.core.room import room
from edge_agent.doctor.finding import Verdict
from edge_agent.doctor.serving import serving
from edge_agent.serving.front import Front
from edge_agent.state import StateFolder
from tests.edge_agent.doctor.found import the
from tests.fakes.engine import FakeEngine, takes
from tests.fakes.waiting import until


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateFolder]:
    state = StateFolder(tmp_path / "state")
    state.lock()
    yield state
    state.unlock()


@contextmanager
def listening(folder: Path, engine: FakeEngine) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    front, stop = Front(Serving(), room(0, 1 << 30), folder, engine, lambda: None), threading.Event()
    threads = [threading.Thread(target=loop, args=(stop,)) for _, loop in front.loops()]
    for thread in threads:
        thread.start()
    until((folder / "vedette.sock").exists)
    try:
        yield
    finally:
        stop.set()
        front.wake()
        for thread in threads:
            thread.join(60)


def test_models_that_answer_and_those_that_do_not_are_told_with_the_agents_own_reason(
    state: StateFolder, tmp_path: Path
) -> None:
    engine = FakeEngine(takes("digits"), takes("faces"))
    engine.unready = {"faces"}
    with listening(state.path, engine):
        findings = list(serving(Serving(), state))
    assert the(findings, Verdict.OK).sentence == f"digits can be asked at {state.path / 'vedette.sock'}."
    assert the(findings, Verdict.WARNING).sentence.startswith("faces cannot be asked: ")


def test_an_agent_that_runs_and_is_not_to_be_reached_is_wrong(state: StateFolder, tmp_path: Path) -> None:
    found = the(serving(Serving(), state), Verdict.WRONG)
    assert "get no answer: [Errno 2] No such file" in found.sentence


@pytest.mark.parametrize("by_unit", [True, False])
def test_the_agent_of_this_config_is_asked_though_another_runs_on_the_device(tmp_path: Path, *, by_unit: bool) -> None:
    first, second = StateFolder(tmp_path / "first"), StateFolder(tmp_path / "second")
    runtime = tmp_path / "run" if by_unit else second.path
    first.lock(tmp_path / "unit")
    second.lock(runtime)
    try:
        with listening(tmp_path / "unit", FakeEngine(takes("digits"))), listening(runtime, FakeEngine(takes("faces"))):
            for state, name in ((first, "digits"), (second, "faces")):
                assert the(serving(Serving(), state), Verdict.OK).sentence.startswith(f"{name} can be asked")
    finally:
        first.unlock()
        second.unlock()


def test_where_it_is_not_known_who_to_ask_nobody_is(state: StateFolder) -> None:
    (state.path / "lock").write_bytes(b"")
    found = the(serving(Serving(), state), Verdict.UNKNOWN)
    assert "set `socket` below [serving]" in found.remedy


def test_who_is_not_to_serve_or_does_not_run_is_not_asked(state: StateFolder, tmp_path: Path) -> None:
    assert list(serving(Serving(enabled=False), state)) == []
    state.unlock()
    assert list(serving(Serving(), state)) == []


def test_an_agent_without_a_model_is_fine(state: StateFolder, tmp_path: Path) -> None:
    with listening(state.path, FakeEngine()):
        assert "has no model yet" in the(serving(Serving(), state), Verdict.OK).sentence
