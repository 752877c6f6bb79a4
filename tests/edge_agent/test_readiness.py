"""What applications are told of the models of an agent that has just been started."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_agent import identity
from edge_agent.agent import Agent
from edge_agent.config import Config
from edge_agent.serving import documents
from edge_agent.state import StateFolder
from fleet_contract.join import Broker, Identity
from fleet_contract.report import Phase
from tests.fakes import device
from tests.fakes.blob_server import serving
from tests.fakes.tiny_models import a_build, a_golden_set, scores_of
from tests.fakes.waiting import until


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
