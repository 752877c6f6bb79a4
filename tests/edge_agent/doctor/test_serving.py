"""The doctor asks an agent that runs what applications ask it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_agent.config import Serving
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
def listening(state: StateFolder, engine: FakeEngine) -> Iterator[None]:
    front, stop = Front(Serving(), state.path, engine, lambda: None), threading.Event()
    threads = [threading.Thread(target=loop, args=(stop,)) for _, loop in front.loops()]
    for thread in threads:
        thread.start()
    until((state.path / "vedette.sock").exists)
    try:
        yield
    finally:
        stop.set()
        front.wake()
        for thread in threads:
            thread.join(5)


def test_models_that_answer_and_those_that_do_not_are_told_with_the_agents_own_reason(
    state: StateFolder, tmp_path: Path
) -> None:
    engine = FakeEngine(takes("digits"), takes("faces"))
    engine.unready = {"faces"}
    with listening(state, engine):
        findings = list(serving(Serving(), state, tmp_path))
    assert the(findings, Verdict.OK).sentence == f"digits can be asked at {state.path / 'vedette.sock'}."
    assert the(findings, Verdict.WARNING).sentence.startswith("faces cannot be asked: ")


def test_an_agent_that_runs_and_is_not_to_be_reached_is_wrong(state: StateFolder, tmp_path: Path) -> None:
    found = the(serving(Serving(), state, tmp_path), Verdict.WRONG)
    assert "get no answer: [Errno 2] No such file" in found.sentence
    with socket.socket(socket.AF_UNIX) as silent:
        path = tmp_path / "vedette.sock"
        silent.bind(str(path))
        assert str(path) in the(serving(Serving(), state, tmp_path), Verdict.WRONG).sentence, "where the unit has it"


def test_who_is_not_to_serve_or_does_not_run_is_not_asked(state: StateFolder, tmp_path: Path) -> None:
    assert list(serving(Serving(enabled=False), state, tmp_path)) == []
    state.unlock()
    assert list(serving(Serving(), state, tmp_path)) == []


def test_an_agent_without_a_model_is_fine(state: StateFolder, tmp_path: Path) -> None:
    with listening(state, FakeEngine()):
        assert "has no model yet" in the(serving(Serving(), state, tmp_path), Verdict.OK).sentence
