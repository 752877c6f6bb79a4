"""The servers that `benchmarks.serving` compares, and a client of each: processes, each in its own environment."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environment import environment
from benchmarks.load import LoadFailed, Request, rate
from benchmarks.nets import NETS, Net
from benchmarks.standalone import StandaloneAgent, build_of
from fleet_client.demo.programs import free_port

PEERS = Path(__file__).parent / "peers"
_START_SECONDS = 120.0
#: What an answer may take beyond the time that was asked for. The slowest peer's largest takes a tenth of a second.
_GRACE_SECONDS = 30.0

#: The agent by memory that it has made for its client, and by the client's own, which stock clients use.
SEALED, SHARED = "agent, sealed memory", "agent, shared memory"
#: What a client is told of a net.
_ALL = [f"{net.name}:{'x'.join(map(str, (1, *net.shape)))}" for net in NETS]


class ServerFailed(AssertionError):
    """A server that hangs, or answers wrongly: there is nothing to compare with."""


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
        self.requests: dict[str, Request] = {}
        """By net: what it sends."""
        self._process = subprocess.Popen(
            [str(part) for part in (program, PEERS / str(script), *given, *_ALL)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=_alone(),
        )

    def ready(self) -> None:
        """Returns once it has been answered rightly for all nets."""
        self.requests = {net: Request(**one) for net, one in json.loads(self._line(_START_SECONDS)).items()}

    def latency_us(self, net: Net, seconds: float) -> float:
        """The median of what its requests take, one after the other for `seconds`."""
        found: float = self._told(f"{net.name} {seconds}", seconds)["p50_us"]
        return found

    def over_bare_us(self, net: Net, seconds: float) -> tuple[float, float]:
        """What the bare net takes in the client's own process, and how much longer a request takes right next to it:
        both medians."""
        found = self._told(f"{net.name} {seconds} beside", seconds)
        return found["bare_us"], found["over_us"]

    def rate(self, net: Net, connections: int, seconds: float) -> float:
        """Answers a second to so many connections at once; it is also answered rightly before and after."""
        self.check(net)
        try:
            found = rate(self.requests[net.name], connections, seconds)
        except LoadFailed as error:
            raise ServerFailed(f"{self._name}, {net.name}: {error}") from error
        self.check(net)
        return found

    def check(self, net: Net) -> None:
        """Raises `ServerFailed` unless it is answered rightly once more."""
        self._told(net.name, 0.0)

    def _told(self, line: str, seconds: float) -> dict[str, float]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        found: dict[str, float] = json.loads(self._line(seconds + _GRACE_SECONDS, line))
        return found

    def stop(self) -> None:
        try:
            # With what it complained of, so that it never waits for room to do so.
            self._process.communicate(timeout=_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def _line(self, seconds: float, asked: str = "to begin") -> str:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            self._process.kill()
            raise ServerFailed(f"{self._name} hangs: told {asked!r}, its client has said nothing for {seconds:.0f} s.")
        line = self._process.stdout.readline()
        if not line:
            raise ServerFailed(f"{self._name}: {self._process.communicate()[1]}")
        return line


@contextmanager
def client(server: Server) -> Iterator[Client]:
    """A client that has been answered, and waits to be told what to ask."""
    found = Client(server)
    try:
        found.ready()
        yield found
    finally:
        found.stop()


@contextmanager
def agent(folder: Path, models: Path) -> Iterator[list[Server]]:
    del models  # It gets them as releases, as any gateway does.
    agent = StandaloneAgent(folder, [build_of(net) for net in NETS])
    try:
        agent.until_serving()

        servers = [
            Server(name, (sys.executable, "load_agent.py", agent.socket, way, folder))
            for name, way in (("agent", "binary"), (SEALED, "sealed"), (SHARED, "shared"))
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
        yield _both_ways(folder, "kserve", programs, ports, stubs, "binary")


@contextmanager
def mlserver(folder: Path, models: Path) -> Iterator[list[Server]]:
    programs, ports = environment("mlserver"), (free_port(), free_port())
    stubs = "mlserver.grpc.dataplane_pb2,mlserver.grpc.dataplane_pb2_grpc"
    with _process(folder, "mlserver", programs / "python", PEERS / "mlserver_runtime.py", models, *ports):
        # It knows no binary tensors over HTTP.
        yield _both_ways(folder, "mlserver", programs, ports, stubs, "v2")


@contextmanager
def bentoml(folder: Path, models: Path) -> Iterator[list[Server]]:
    programs, port = environment("bentoml"), free_port()
    options = ["serve", "bentoml_service:Nets", "--working-dir", PEERS, "--host", "127.0.0.1", "--port", port]
    more = {"FOLDER": str(models), "BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(folder / "bentoml")}
    with _process(folder, "bentoml", programs / "bentoml", *options, **more):
        server = Server("bentoml", (programs / "python", "load_http.py", port, "/raw/{net}/infer", "raw", folder))
        _until_answering(server)
        yield [server]


@contextmanager
def litserve(folder: Path, models: Path) -> Iterator[list[Server]]:
    programs, port = environment("litserve"), free_port()
    with _process(folder, "litserve", programs / "python", PEERS / "litserve_server.py", models, port):
        server = Server("litserve", (programs / "python", "load_http.py", port, "/{net}/infer", "base64", folder))
        _until_answering(server)
        yield [server]


def _both_ways(folder: Path, name: str, programs: Path, ports: tuple[int, int], stubs: str, way: str) -> list[Server]:
    python, path = programs / "python", "/v2/models/{net}/infer"
    servers = [
        Server(name, (python, "load_grpc.py", ports[1], stubs, folder)),
        Server(f"{name}, HTTP", (python, "load_http.py", ports[0], path, way, folder)),
    ]
    for server in servers:
        _until_answering(server)
    return servers


def _until_answering(server: Server) -> None:
    """Returns once `server` answers all nets."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with client(server):
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
