"""The servers that `benchmarks.serving` compares, and their clients: processes, each in its own environment."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environment import environment
from benchmarks.nets import NETS, Net
from benchmarks.standalone import StandaloneAgent, build_of
from fleet_client.demo.programs import free_port

PEERS = Path(__file__).parent / "peers"
_START_SECONDS = 120.0

#: What a client is told of a net.
_ALL = [f"{net.name}:{'x'.join(map(str, (1, *net.shape)))}" for net in NETS]


@dataclass(frozen=True)
class Server:
    """A running server; `client` is the program of a client of it, with its arguments."""

    name: str
    client: tuple[object, ...]


class Client:
    """A process that asks one server."""

    def __init__(self, server: Server) -> None:
        program, script, *given = server.client
        self._name = server.name
        self._process = subprocess.Popen(
            [str(part) for part in (program, PEERS / str(script), *given, *_ALL)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=_alone(),
        )

    def ready(self) -> None:
        """Returns once it has been answered for all nets."""
        self._line()

    def start(self, net: Net, seconds: float, at: float = 0.0) -> "Client":
        """Has it ask for `net`, for `seconds` from the Unix time `at` on."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{net.name} {seconds} {at}\n")
        self._process.stdin.flush()
        return self

    def result(self) -> dict[str, float]:
        """What it has counted since `start`."""
        found: dict[str, float] = json.loads(self._line())
        return found

    def stop(self) -> None:
        # With what it complained of, so that it never waits for room to do so.
        self._process.communicate(timeout=30)

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"{self._name}: {self._process.communicate()[1]}")
        return line


@contextmanager
def clients(server: Server, count: int) -> Iterator[list[Client]]:
    """`count` clients that wait to be told to ask."""
    found = [Client(server) for _ in range(count)]
    try:
        for client in found:
            client.ready()
        yield found
    finally:
        for client in found:
            client.stop()


@contextmanager
def agent(folder: Path, models: Path) -> Iterator[list[Server]]:
    del models  # It gets them as releases, as any gateway does.
    agent = StandaloneAgent(folder, [build_of(net) for net in NETS])
    try:
        agent.until_serving()

        servers = [
            Server(name, (sys.executable, "load_agent.py", agent.socket, way))
            for name, way in (("agent", "binary"), ("agent, shared memory", "shared"))
        ]
        _until_answering(servers[0])
        yield servers
    finally:
        agent.stop()


@contextmanager
def kserve(folder: Path, models: Path) -> Iterator[list[Server]]:
    programs, ports = environment("kserve"), (free_port(), free_port())
    stubs = ",".join(f"kserve.protocol.grpc.grpc_predict_v2_{one}" for one in ("pb2", "pb2_grpc"))
    with _process(folder, "kserve", programs / "python", PEERS / "kserve_server.py", models, *ports):
        yield [_over_grpc("kserve", programs, ports[1], stubs)]


@contextmanager
def mlserver(folder: Path, models: Path) -> Iterator[list[Server]]:
    programs, ports = environment("mlserver"), (free_port(), free_port())
    stubs = "mlserver.grpc.dataplane_pb2,mlserver.grpc.dataplane_pb2_grpc"
    with _process(folder, "mlserver", programs / "python", PEERS / "mlserver_runtime.py", models, *ports):
        yield [_over_grpc("mlserver", programs, ports[1], stubs)]


@contextmanager
def bentoml(folder: Path, models: Path) -> Iterator[list[Server]]:
    programs, port = environment("bentoml"), free_port()
    options = ["serve", "bentoml_service:Nets", "--working-dir", PEERS, "--host", "127.0.0.1", "--port", port]
    more = {"FOLDER": str(models), "BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(folder / "bentoml")}
    with _process(folder, "bentoml", programs / "bentoml", *options, **more):
        server = Server("bentoml", (programs / "python", "load_json.py", port, "/raw/{net}/infer", "raw"))
        _until_answering(server)
        yield [server]


@contextmanager
def litserve(folder: Path, models: Path) -> Iterator[list[Server]]:
    programs, port = environment("litserve"), free_port()
    with _process(folder, "litserve", programs / "python", PEERS / "litserve_server.py", models, port):
        server = Server("litserve", (programs / "python", "load_json.py", port, "/{net}/infer", "base64"))
        _until_answering(server)
        yield [server]


def _over_grpc(name: str, programs: Path, port: int, stubs: str) -> Server:
    server = Server(name, (programs / "python", "load_grpc.py", port, stubs))
    _until_answering(server)
    return server


def _until_answering(server: Server) -> None:
    """Returns once `server` answers all nets."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with clients(server, 1):
                return
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


@contextmanager
def _process(folder: Path, name: str, *command: object, **more: str) -> Iterator[None]:
    with (folder / f"{name}.log").open("wb") as log:
        # No session of its own: Linux gives each its share of the processors, and the agent has none either.
        process = subprocess.Popen(
            list(map(str, command)), stdout=log, stderr=log, env={**_alone(), **more}, process_group=0
        )
    try:
        yield
    except AssertionError:
        sys.stderr.write((folder / f"{name}.log").read_text(errors="replace")[-4000:])
        raise
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()


def _alone() -> dict[str, str]:
    """No thread pools but those that a server asks for, and nothing of ours in its path."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}
