"""What applications are told of the models of an agent that has just been started."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_agent import agent as agents
from edge_agent import identity
from edge_agent.agent import Agent
from edge_agent.config import Config
from edge_agent.runtimes import Runtimes
from edge_agent.runtimes.session import Session
from edge_agent.serving import documents
from edge_agent.state import StateFolder
from fleet_contract.join import Broker, Identity
from fleet_contract.report import Phase
from tests.fakes import device
from tests.fakes.blob_server import serving
from tests.fakes.tiny_models import a_build, a_golden_set, images, scores_of
from tests.fakes.waiting import until
from tests.fakes.wire import request


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    """Of a device whose `digits` has settled, and whose `faces` was rejected: it computes something else here."""
    found = StateFolder(tmp_path / "state")
    found.create()
    with serving() as blobs, device.running(found.models, blobs) as gateway:
        gateway.order(a_build(1), a_build(1, model="faces", golden=a_golden_set(scores_of(2))))
        gateway.until_settled(1)
        gateway.until(lambda: gateway.seen("faces") == (Phase.REJECTED, 1))
    identity.save(found, _identity())
    return found


def _identity() -> Identity:
    who, trust = device.ADDRESS, device.TRUST
    return Identity(
        fleet=who.fleet,
        device=who.device,
        target=trust.target,
        hub="http://127.0.0.1:9",
        broker=Broker("127.0.0.1", 9, tls=False),
        hub_keys=trust.hub_keys,
        release_keys=trust.release_keys,
        certificate="",
        authority="",
        issued_at=datetime.now(UTC),
    )


def test_it_is_not_ready_before_what_ran_answers_again_and_a_rejected_model_does_not_hold_it_up(
    state: StateFolder,
) -> None:
    agent = Agent(Config(state_dir=state.path), state)
    engine = agent._engine
    try:
        assert {one["name"]: one["state"] for one in documents.index(engine, only_ready=False)} == {
            "digits": "UNAVAILABLE",
            "faces": "UNAVAILABLE",
        }
        unready = documents.server_unready(engine)
        assert unready is not None
        assert "digits" in str(unready)
        agent.start()
        until(lambda: documents.server_unready(engine) is None)
        digits, faces = documents.index(engine, only_ready=False)
        assert (digits["name"], digits["state"]) == ("digits", "READY")
        assert faces["state"] == "UNAVAILABLE"
        assert "golden-disagrees" in faces["reason"]
        assert [one["name"] for one in documents.index(engine, only_ready=True)] == ["digits"]
    finally:
        agent.stop()


def test_a_device_that_has_no_models_is_ready(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    state.create()
    identity.save(state, _identity())
    agent = Agent(Config(state_dir=state.path), state)
    assert documents.server_unready(agent._engine) is None


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Models are loaded once it is set."""
    go, opens = threading.Event(), Runtimes.open

    def opens_late(runtimes: Runtimes, runtime: str, path: Path) -> Session:
        assert go.wait(30)
        return opens(runtimes, runtime, path)

    monkeypatch.setattr(Runtimes, "open", opens_late)
    return go


def test_who_asks_while_models_are_loaded_is_answered_and_not_told_to_come_again(
    state: StateFolder, slow: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "_DOORS_SECONDS", 300.0)
    monkeypatch.setattr(agents, "_MODELS_FIRST_SECONDS", 300.0)
    agent = Agent(Config(state_dir=state.path), state)
    try:
        agent.start()
        with asking(state) as connection:
            connection.settimeout(0.2)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            slow.set()
            connection.settimeout(30)
            assert b" 200 " in connection.recv(100)
    finally:
        agent.stop()


def test_models_that_take_long_are_not_waited_for(
    state: StateFolder, slow: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = Agent(Config(state_dir=state.path), state)
    try:
        agent.start()
        with asking(state) as connection:
            connection.settimeout(30)
            told = connection.recv(1000)
            assert b" 503 " in told
            assert b"retry-after" in told.lower()
    finally:
        slow.set()
        agent.stop()


@contextmanager
def asking(state: StateFolder) -> Iterator[socket.socket]:
    """A connection to the agent on which digits has been asked."""
    path = state.path / "vedette.sock"
    until(path.exists)
    rows = images(1)
    image = {"name": "image", "datatype": "FP32", "shape": list(rows.shape), "data": rows.ravel().tolist()}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(request("POST", "/v2/models/digits/infer", json.dumps({"inputs": [image]}).encode()))
        yield connection
