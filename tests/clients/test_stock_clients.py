"""Clients that other people wrote work unchanged, each in an environment of its own."""

import socket
import subprocess
import sys
import threading
import venv
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_agent.config import Serving
from edge_agent.core.room import room
from edge_agent.live import LiveModel, Loaded
from edge_agent.runtimes.session import Session
from edge_agent.serving.engine import ServingEngine
from edge_agent.serving.front import Front
from edge_agent.serving.http.listener import tcp
from edge_agent.telemetry.tally import Tally
from edge_agent.telemetry.window import Recorder
from fleet_contract.manifest import Manifest, Tensor
from tests.fakes.engine import doubled, takes
from tests.fakes.waiting import until

FOLDER = Path(__file__).parent
LOCKS = FOLDER.parents[1] / "locks"
DTYPES = (
    *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
    *("FP16", "FP32", "FP64", "BYTES"),
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Doubling:
    """A session that gives back what it is given, twice as large."""

    def __init__(self, manifest: Manifest) -> None:
        self.inputs = manifest.inputs
        self.outputs = manifest.outputs

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return doubled(inputs)

    def close(self) -> None:
        """There is nothing to give back."""


def live(manifest: Manifest) -> LiveModel:
    slot = LiveModel()
    session: Session = Doubling(manifest)
    slot.switch(Loaded(manifest, session))
    return slot


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def ports(tmp_path_factory) -> Iterator[tuple[int, int]]:
    """HTTP's and gRPC's, of the agent's own engine with models of all dtypes."""
    models = (
        takes("all", *(Tensor(kind, kind, (-1, 2)) for kind in DTYPES)),
        takes("images", Tensor("image", "FP32", (-1, 4))),
        takes("texts", Tensor("text", "BYTES", (-1, 2))),
    )
    slots = defaultdict(LiveModel, {one.model: live(one) for one in models})
    names = tuple(slots)
    with tcp(0) as http, tcp(0) as rpc:
        config = Serving(tcp_port=http.getsockname()[1], grpc_port=rpc.getsockname()[1])
    engine = ServingEngine(slots.__getitem__, lambda: list(names), Tally(Recorder(10_000)))
    front = Front(config, room(0, 1 << 32), tmp_path_factory.mktemp("state"), engine, lambda: None)
    stop = threading.Event()
    threads = [threading.Thread(target=run, args=(stop,), name=name) for name, run in front.loops()]
    for thread in threads:
        thread.start()
    for port in (config.tcp_port, config.grpc_port):
        until(lambda port=port: listens(port))
    yield config.tcp_port, config.grpc_port
    stop.set()
    front.wake()
    for thread in threads:
        thread.join(10)
    engine.close()
    assert front.troubles() == []


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clients")
    venv.create(folder / "env", with_pip=True)
    made = folder / "env" / "bin" / "python"
    install = [made, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    subprocess.run([*install, "-r", LOCKS / "clients.txt"], check=True)
    subprocess.run([*install, "--no-deps", "-r", LOCKS / "openapi.txt"], check=True)
    return made


def run(python: Path, script: str, *arguments: str) -> str:
    done = subprocess.run(
        [python, FOLDER / script, *arguments],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    sys.stdout.write(done.stdout)
    assert done.returncode == 0
    return done.stdout


@pytest.mark.parametrize("script", ["triton_http.py", "kserve_http.py"])
def test_a_client_of_the_http_protocol_works_unchanged(python, ports, script):
    assert run(python, script, f"localhost:{ports[0]}").endswith("ok\n")


@pytest.mark.parametrize("script", ["triton_grpc.py", "kserve_grpc.py"])
def test_a_client_of_the_grpc_protocol_works_unchanged(python, ports, script):
    assert "ok\n" in run(python, script, f"localhost:{ports[1]}")


def test_the_protocols_openapi_finds_no_failure(python, ports):
    report = run(python, "openapi.py", f"http://localhost:{ports[0]}", "45")
    assert "9 selected / 9 total" in report
    assert "No issues found" in report
