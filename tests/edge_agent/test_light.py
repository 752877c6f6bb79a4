"""The agent stays light: what it imports, and that nothing has crept in."""

import http.client
import json
import socket
import subprocess
import sys
import time
import tomllib
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_agent import __version__, identity
from edge_agent.state import StateFolder
from fleet_contract.join import Broker, Identity
from tests.fakes import device
from tests.fakes.blob_server import serving
from tests.fakes.tiny_models import a_build, images

ROOT = Path(__file__).parents[2]
#: What no answer needs. Each module here costs a millisecond or more of the time that applications wait for the first.
NOT_FOR_AN_ANSWER = (
    *("pydantic", "fastapi", "sqlalchemy", "sqlmodel", "psutil", "urllib3", "requests", "asyncio", "click", "rich"),
    *("cryptography", "importlib.metadata", "edge_agent.join", "edge_agent.transport.tls", "dataclasses"),
    # Of those who tell the hub.
    *("paho", "urllib.request", "http.client", "email", "ssl", "edge_agent.uplink", "edge_agent.reporting"),
    *("edge_agent.telemetry.spool", "fleet_contract.telemetry", "zstandard"),
    # Of captures, which are off.
    *("edge_agent.capture.tap", "edge_agent.capture.keeping", "edge_agent.capture.store", "edge_agent.capture.choice"),
    # Of downloads, of proving a model that is new, and of sources where there are none.
    *("edge_agent.store.download", "edge_agent.parity", "zipfile", "edge_agent.inference", "edge_agent.sources.replay"),
    # Of the command line's help.
    *("shutil", "bz2", "lzma"),
    "secrets",
    # Of what fails, of what is wrong with a request, and of joining.
    *("random", "json", "base64"),
)


def modules_after(code: str) -> set[str]:
    program = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT)
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def running() -> set[str]:
    return modules_after("import edge_agent.agent")


@pytest.mark.parametrize("module", [*NOT_FOR_AN_ANSWER, "numpy", "onnxruntime"])
def test_a_running_agent_does_not_import(running, module):
    assert module not in running


@pytest.fixture(scope="module")
def first_answer(tmp_path_factory: pytest.TempPathFactory) -> tuple[set[str], set[str]]:
    """What an agent that has a model had imported when its first answer was asked for, and when it was given."""
    tmp_path = tmp_path_factory.mktemp("gateway")
    state = StateFolder(tmp_path / "state")
    state.create()
    with serving() as blobs, device.running(state.models, blobs) as gateway:
        blobs.blobs.update(a_build(1).blobs)
        gateway.order(a_build(1))
        gateway.until_settled(1)
    keys = device.TRUST.hub_keys, device.TRUST.release_keys
    nobody = Broker("127.0.0.1", 9)
    identity.save(
        state, Identity(*device.ADDRESS, "http://127.0.0.1:9", nobody, *keys, "", "", "cpu-vnni", datetime.now(UTC))
    )
    (tmp_path / "agent.toml").write_text('state_dir = "state"\n')
    command = [sys.executable, "-m", "tests.fakes.first_answer", "run", "--config", str(tmp_path / "agent.toml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as agent:
        try:
            ask_until_it_ends(agent, state.path / "vedette.sock")
            asked, answered = (set(line.split()) for line in agent.communicate(timeout=10)[0].splitlines())
        finally:
            agent.kill()
    return asked, answered


def test_the_first_answer_waits_for_nothing_that_it_does_not_need(first_answer: tuple[set[str], set[str]]):
    _, imported = first_answer
    assert "onnxruntime" in imported
    assert not imported & set(NOT_FOR_AN_ANSWER)


def test_what_answers_is_imported_while_the_model_loads_and_not_when_somebody_asks(
    first_answer: tuple[set[str], set[str]],
):
    asked, answered = first_answer
    assert "edge_agent.serving.http.inference" in asked
    assert not {module for module in answered - asked if module.startswith("edge_agent.")}


def ask_until_it_ends(agent: "subprocess.Popen[str]", path: Path) -> None:
    rows = images(1)
    image = {"name": "image", "datatype": "FP32", "shape": list(rows.shape), "data": rows.ravel().tolist()}
    deadline = time.monotonic() + 30
    while agent.poll() is None:
        assert time.monotonic() < deadline
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        with suppress(OSError, http.client.HTTPException):
            connection.sock.connect(str(path))
            connection.request("POST", "/v2/models/digits/infer", json.dumps({"inputs": [image]}))
            response = connection.getresponse()
            assert response.status in {http.HTTPStatus.OK, http.HTTPStatus.SERVICE_UNAVAILABLE}, response.read()
        connection.close()
        time.sleep(0.01)


def test_help_needs_neither_numpy_nor_a_broker():
    loaded = modules_after("import edge_agent.cli")
    assert not loaded & {"numpy", "paho", "cryptography", "onnxruntime"}


def test_the_version_is_that_of_the_distribution():
    assert __version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
