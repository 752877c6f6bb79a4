"""A real agent with models settled and no hub to be found: what applications on a gateway meet when it is offline."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.nets import CLASSES, GOLDEN_SAMPLES, Net, golden_set
from edge_agent import identity
from edge_agent.state import StateFolder
from fleet_client.demo.programs import OF_AN_AGENT
from fleet_contract.join import Broker, Identity
from fleet_contract.manifest import Golden, Tensor
from tests.fakes import device
from tests.fakes.blob_server import serving
from tests.fakes.releases import a_manifest, blob_of
from tests.fakes.tiny_models import Build

_CONFIG = """\
state_dir = "state"
log_level = "warning"
[serving]
{serving}
"""


def build_of(net: Net, version: int = 1, seed: int = 0) -> Build:
    """A release of `net`, signed by nobody yet."""
    artifact = net.onnx(seed)
    golden = golden_set(net, artifact)
    manifest = a_manifest(
        version,
        model=net.name,
        inputs=(Tensor("x", "FP32", (-1, *net.shape)),),
        outputs=(Tensor("scores", "FP32", (-1, CLASSES)),),
        labels=tuple(map(str, range(CLASSES))),
        artifact=blob_of(artifact),
        golden=Golden(blob_of(golden), GOLDEN_SAMPLES, min_agreement=1.0, max_abs_error=1e-3),
    )
    return Build(manifest, artifact, golden)


class StandaloneAgent:
    """`vedette-agent run` as a process, on a state folder in which `builds` are settled. `stop` it."""

    def __init__(self, folder: Path, builds: Sequence[Build], serving_keys: str = "") -> None:
        self.folder = folder
        self.socket = folder / "state" / "vedette.sock"
        self._settle(builds)
        self._config = folder / "agent.toml"
        self._config.write_text(_CONFIG.format(serving=serving_keys))
        self.start()

    def start(self) -> None:
        """Starts it, and returns at once."""
        with (self.folder / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edge_agent", "run", "--config", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **OF_AN_AGENT, "PYTHONUNBUFFERED": "1"},
            )

    def stop(self) -> None:
        """Stops it as a service manager would."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def until_serving(self, seconds: float = 30.0) -> None:
        """Returns once the socket is there."""
        deadline = time.monotonic() + seconds
        while not self.socket.exists():
            assert self.process.poll() is None, (self.folder / "agent.log").read_text()
            assert time.monotonic() < deadline, "The agent opens no socket."
            time.sleep(0.01)

    def _settle(self, builds: Sequence[Build]) -> None:
        state = StateFolder(self.folder / "state")
        state.create()
        with serving() as blobs, device.running(state.models, blobs) as gateway:
            gateway.order(*builds)
            for build in builds:
                gateway.until_settled(build.manifest.version, build.manifest.model)
        identity.save(state, _identity())


def _identity() -> Identity:
    # A port that nobody listens on: the agent keeps trying, as it does on a gateway without a network.
    return Identity(
        fleet=device.ADDRESS.fleet,
        device=device.ADDRESS.device,
        target=device.TRUST.target,
        hub="http://127.0.0.1:9",
        broker=Broker("127.0.0.1", 9, tls=False),
        hub_keys=device.TRUST.hub_keys,
        release_keys=device.TRUST.release_keys,
        certificate="",
        authority="",
        issued_at=datetime.now(UTC),
    )
