"""What an agent costs a gateway: memory with a model at work, CPU at rest, time to its first answer, and what it does
not import.

Real parts throughout: a hub, its broker, the catalogue's digits rolled out, and two agents that run it and serve it on
their sockets: one feeds it from a replay (memory), one has no source (CPU at rest). The anchor of memory is Python with
ONNX Runtime and that model only; of the start, a Python that imports ONNX Runtime and loads the model, from the start
of the process to its word that it has. Ours ends with the answer to a request over the agent's Unix socket. All run
with bytecode that is kept, as installing keeps it; of the starts the fastest counts, for whatever else runs on the
machine only adds.
"""

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figure import Figure, report
from tests.built import built_digits
from tests.fleet.world import Agent, Hub, make_agent

FORBIDDEN = ("pydantic", "pydantic_core", "fastapi", "sqlalchemy", "sqlmodel")
#: Longer than the agent takes to give back what the update needed.
WARM_SECONDS = 15
IDLE_SECONDS = 30
STARTS = 40
#: Until there is a socket to connect to; whoever is connected waits for the answer.
_POLL_SECONDS = 0.01
_KIB_IN_MB = 1024 / 1_000_000
_ANCHOR = """
import os, sys
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
from pathlib import Path
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
    if line.startswith("Rss:"):
        print(int(line.split()[1]), flush=True)
"""
_IMPORTS = """
import sys
import edge_agent.agent, edge_agent.cli, edge_agent.parity, edge_agent.runtimes.onnx, edge_agent.sources.replay
import edge_agent.transport.paho, edge_agent.uplink
print(*sys.modules)
"""


def main() -> int:
    """Prints the figures; 0 when all promises are kept."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _keep_bytecode(folder / "bytecode")
        built = built_digits(_cache())
        # Copies: whoever changes the toolchain meanwhile builds anew, and removes what there is.
        good = Path(shutil.copytree(built.good, folder / "good"))
        replay = Path(shutil.copy(built.replay, folder))
        hub = Hub(folder)
        agents: list[Agent] = []
        try:
            busy = make_agent(hub, folder, replay, "busy")
            agents.append(busy)
            idle = make_agent(hub, folder, replay, "idle")
            agents.append(idle)
            # An agent with no source: its config as a newcomer has it, and the state that it joined with.
            idle.stop()
            idle.gateway.config.write_text('state_dir = "state"\n')
            idle.start()
            version = hub.client.models.register(good)
            hub.client.rollouts.create("digits", version.version, {"waves": [{"percent": 100}], "soak_seconds": 0})
            for agent in agents:
                agent.runs("digits", version.version)
            time.sleep(WARM_SECONDS)
            cpu = _idle_percent(idle.child.pid)
            mapped = Path(f"/proc/{busy.child.pid}/maps").read_text()
            idle.stop()
            first, alone = _first_answers(idle, good)
            return report(
                [
                    Figure(
                        "agent, resident, with digits at work",
                        _resident_mb(busy.child.pid),
                        80,
                        "MB",
                        _anchor_mb(good),
                    ),
                    Figure("start to first answer", first, 1.5 * alone, "ms", alone),
                    Figure("agent, CPU of a core when idle", cpu, 1, "%"),
                    Figure("agent, heavy packages imported", _imported() + _mapped(mapped), 0, "packages"),
                ]
            )
        finally:
            for agent in agents:
                agent.stop()
            hub.client.close()
            hub.stop()


def _cache() -> Path:
    cache = Path(__file__).parent.parent / ".pytest_cache" / "d" / "vedette"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def _resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * _KIB_IN_MB
    raise ValueError(f"/proc/{pid}/smaps_rollup has no Rss")


def _anchor_mb(build: Path) -> float:
    with _anchor(build) as child:
        return int(child.communicate()[0]) * _KIB_IN_MB


def _anchor(build: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", _ANCHOR, str(build / "artifact.cpu-vnni.onnx")]
    # In a session of its own, as the agent is: Linux may give each its share of the processors.
    return subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)


def _keep_bytecode(folder: Path) -> None:
    """For this process's children; what an agent needs is compiled at once."""
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run([sys.executable, "-c", _IMPORTS], check=True, capture_output=True)


def _first_answers(agent: Agent, build: Path) -> tuple[float, float]:
    """Milliseconds to the first answer of a restarted agent, and to the anchor's loaded model, in turns."""
    ours, anchors = [], []
    for _ in range(STARTS):
        began = time.perf_counter()
        agent.start()
        while not _answers(agent.state / "vedette.sock"):
            time.sleep(_POLL_SECONDS)
        ours.append(time.perf_counter() - began)
        agent.stop()
        began = time.perf_counter()
        with _anchor(build) as child:
            assert child.stdout is not None
            child.stdout.readline()
            anchors.append(time.perf_counter() - began)
    return 1000 * min(ours), 1000 * min(anchors)


def _answers(path: Path) -> bool:
    """Whether the agent that listens at `path` answers a request for an inference."""
    image = {"name": "pixels", "datatype": "FP32", "shape": [1, 64], "data": [0.0] * 64}
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(30)
    try:
        connection.sock.connect(str(path))
        connection.request("POST", "/v2/models/digits/infer", json.dumps({"inputs": [image]}))
        response = connection.getresponse()
        body = response.read()
    except (ConnectionError, FileNotFoundError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    assert response.status in (http.HTTPStatus.OK, http.HTTPStatus.SERVICE_UNAVAILABLE), body
    return response.status == http.HTTPStatus.OK


def _idle_percent(pid: int) -> float:
    before, began = _cpu_seconds(pid), time.monotonic()
    time.sleep(IDLE_SECONDS)
    return 100 * (_cpu_seconds(pid) - before) / (time.monotonic() - began)


def _cpu_seconds(pid: int) -> float:
    # User and system time are the 14th and 15th field; the 2nd, a name in parentheses, may hold spaces.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _imported() -> int:
    """How many of the forbidden packages come with all that an agent may import."""
    done = subprocess.run([sys.executable, "-c", _IMPORTS], check=True, capture_output=True, text=True)
    modules = {module.partition(".")[0] for module in done.stdout.split()}
    return len(modules & set(FORBIDDEN))


def _mapped(maps: str) -> int:
    """How many of them the running agent has files of in its memory."""
    return sum(f"/{package}/" in maps for package in FORBIDDEN)


if __name__ == "__main__":
    sys.exit(main())
