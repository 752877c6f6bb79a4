"""How long a version takes from a person's word to a gateway's answers.

Real parts: a hub with its broker, an agent that replays scans through digits, and two builds of digits that are
rolled out in turn to the whole fleet. The clock starts before the hub is asked for the rollout, so it counts deciding,
ordering, publishing, download, pre-flight and the switch; it stops when the hub has the agent's report that the new
version answers. The hub's history of the device has that time; hub, agent and this process share one clock. The
anchor is the bare minimum that a service without a switch would be away: a new Python with ONNX Runtime that loads
the artifact from disk and answers once.

An update of a model of 5 MB is measured on the device alone, without a hub: from the moment that it has the order, over
a download from loopback, proof and switch, to the first answer of the new version, each of which is new to it.
"""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks.figure import Figure, report
from benchmarks.nets import Net
from benchmarks.standalone import build_of
from tests.built import built_digits
from tests.fakes import device
from tests.fakes.blob_server import serving
from tests.fleet.world import Agent, Hub, eventually, make_agent

ROUNDS = 12
REACH_SECONDS = 2.0
#: 5 MB of weights.
HEAVY = Net("heavy", (3, 96, 96), (64, 128, 256, 384))
HEAVY_REACH_SECONDS = 1.0
#: Nothing to wait for: what is measured is the way of one order.
POLICY = {
    "waves": [{"percent": 100}],
    "rate": None,
    "soak_seconds": 0,
    "minimum_records": 0,
    "gates": {"errors": None, "predictions": None},
}
#: From the first of these on, requests are answered by the new version.
SWITCHED = ("trial", "settled")
_ANCHOR = """
import os, sys
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
one = session.get_inputs()[0]
shape = [size if isinstance(size, int) else 1 for size in one.shape]
session.run(None, {one.name: numpy.zeros(shape, numpy.float32)})
"""


def main() -> int:
    """Prints the figures; 0 when the promise is kept."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cache = Path(__file__).parent.parent / ".pytest_cache" / "d" / "vedette"
        cache.mkdir(parents=True, exist_ok=True)
        built = built_digits(cache)
        # Copies: whoever changes the toolchain meanwhile builds anew, and removes what there is.
        builds = [Path(shutil.copytree(build, folder / build.name)) for build in (built.good, built.worse)]
        replay = Path(shutil.copy(built.replay, folder))
        hub = Hub(folder)
        agents: list[Agent] = []
        try:
            versions = [hub.client.models.register(build).version for build in builds]
            agents.append(make_agent(hub, folder, replay, "gateway"))
            agents[0].online()
            first, *seconds = [_switch(hub, agents[0], versions[turn % 2]) for turn in range(ROUNDS + 1)]
            anchor = statistics.median(_restart(builds[0]) for _ in range(3))
        finally:
            for agent in agents:
                agent.stop()
            hub.client.close()
            hub.stop()
        _, *heavy = _heavy_updates(folder)
    size = f"{len(HEAVY.onnx()) / 1e6:.1f} MB"
    return report(
        [
            Figure("rollout asked for to first model answering", first, REACH_SECONDS, "s", anchor),
            Figure(f"... to the switch, median of {ROUNDS}", statistics.median(seconds), REACH_SECONDS, "s", anchor),
            Figure(f"... to the switch, slowest of {ROUNDS}", max(seconds), REACH_SECONDS, "s", anchor),
            Figure(
                f"order of {size} to its answer, median of {ROUNDS}", statistics.median(heavy), HEAVY_REACH_SECONDS, "s"
            ),
            Figure(f"order of {size} to its answer, slowest of {ROUNDS}", max(heavy), HEAVY_REACH_SECONDS, "s"),
        ]
    )


def _switch(hub: Hub, agent: Agent, version: int) -> float:
    """Seconds from asking for a rollout of `version` to the agent's word that it answers."""
    asked = datetime.now(UTC)
    began = time.monotonic()
    rollout = hub.client.rollouts.create("digits", version, POLICY)

    def switched() -> datetime | None:
        events = hub.client.devices.events(agent.name).items
        times = [one.at for one in events if one.at > asked and one.phase in SWITCHED and one.version == version]
        return min(times, default=None)

    at = eventually(switched, f"{agent.name} runs {version}", pause=0.02)
    took = (at - asked).total_seconds()
    assert took <= time.monotonic() - began
    eventually(lambda: hub.client.rollouts.get(rollout.id).ended, "the rollout is over")
    return took


def _heavy_updates(folder: Path) -> list[float]:
    """Seconds from an order to the answer of what it names, of one version after the other."""
    record, took = {"x": HEAVY.record()}, []
    with serving() as blobs, device.running(folder / "models", blobs) as gateway:
        for version in range(1, ROUNDS + 2):
            build = build_of(HEAVY, version, seed=version)
            began = time.monotonic()
            gateway.order(build)
            gateway.until(partial(_runs, gateway, version))
            with gateway.updater.slot(HEAVY.name).lease() as loaded:
                assert loaded is not None
                assert loaded.manifest.version == version
                loaded.session.run(record)
            took.append(time.monotonic() - began)
            gateway.until_settled(version, HEAVY.name)
    return took


def _runs(gateway: device.Device, version: int) -> bool:
    return gateway.running(HEAVY.name) == version


def _restart(build: Path) -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", _ANCHOR, build / "artifact.cpu-vnni.onnx"], check=True, capture_output=True)
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
