"""What serving costs over the bare runtime, and what the peers of the field make of the same files.

Each peer runs in an environment of its own (`benchmarks/peers`), the agent as it is on a gateway, all with one thread
an inference. One client asks one after the other for the latency that is added over `session.run` in a process that
does nothing else; eight client processes ask at once for the rate. Rounds go round all servers, so that what else the
machine does hits each alike; the median of the rounds counts.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environment import environment
from benchmarks.figure import Figure, report
from benchmarks.nets import NETS, Net, session
from benchmarks.standalone import StandaloneAgent, build_of
from fleet_client.demo.programs import free_port

PEERS = Path(__file__).parent / "peers"
CLIENTS = 8
#: How much of KServe's added latency ours may be, and at least how much of the best peer's and of bare rate, by net.
LATENCY_OF_KSERVE = {"small": 1 / 15, "middle": 1 / 6, "large": 1 / 4}
RATE_OF_BEST_PEER = {"small": 10.0, "middle": 2.5, "large": 1.8}
RATE_OF_BARE = {"small": 0.35, "middle": 0.7, "large": 0.9}
SHARED_OVER_BARE = 0.02
_LATENCY_SECONDS = 2.0
_RATE_SECONDS = 3.0
_START_SECONDS = 60.0

_Load = Callable[[Net], list[object]]


@dataclass(frozen=True)
class Server:
    """A running server; `load` gives the client's program and its own arguments."""

    name: str
    load: _Load


def main() -> int:
    """Prints the figures; 0 when every promise is kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each server is measured (default: 5)")
    parser.add_argument("--only", nargs="*", help="measure these servers only, beside bare; no promise is judged")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        models = folder / "models"
        models.mkdir()
        for net in NETS:
            (models / f"{net.name}.onnx").write_bytes(net.onnx())
        servers = []
        for start in (_agent, _kserve, _mlserver, _bentoml, _litserve):
            if not options.only or start.__name__.lstrip("_") in options.only:
                servers += stack.enter_context(start(folder, models))
        latency, rate = _measured(servers, options.rounds)
    _table(latency, rate)
    return 0 if options.only else report(_figures(latency, rate))


def _measured(
    servers: Sequence[Server], rounds: int
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Microseconds added over bare, and answers a second, both by net and then by server."""
    latency: dict[str, dict[str, float]] = {}
    rate: dict[str, dict[str, float]] = {}
    for net in NETS:
        asked: dict[str, list[float]] = {}
        done: dict[str, list[float]] = {}
        for turn in range(rounds):
            sys.stderr.write(f"{net.name}: round {turn + 1} of {rounds}\n")
            for server in servers:
                # The bare runtime before each: the machine may be another from one minute to the next.
                bare = _bare_latency(net)
                asked.setdefault("bare", []).append(bare)
                found = _clients(server, net, "latency", 1, _LATENCY_SECONDS)[0]["p50_us"]
                asked.setdefault(server.name, []).append(found - bare)
            done.setdefault("bare", []).append(_bare_rate(net))
            for server in servers:
                if server.name != "agent, shared memory":
                    answers = _clients(server, net, "rate", CLIENTS, _RATE_SECONDS)
                    done.setdefault(server.name, []).append(sum(one["count"] / one["seconds"] for one in answers))
        latency[net.name] = {name: statistics.median(values) for name, values in asked.items()}
        rate[net.name] = {name: statistics.median(values) for name, values in done.items()}
    return latency, rate


def _figures(latency: Mapping[str, Mapping[str, float]], rate: Mapping[str, Mapping[str, float]]) -> list[Figure]:
    figures = []
    for net in NETS:
        name, size = net.name, f"{net.input_bytes:,} B"
        added, kserve = latency[name]["agent"], latency[name]["kserve"]
        figures.append(
            Figure(f"added p50, {size}, over KServe's", added / kserve, LATENCY_OF_KSERVE[name], "x", kserve)
        )
    bare, shared = latency["large"]["bare"], latency["large"]["agent, shared memory"]
    figures.append(Figure("added p50, shared memory, over bare", shared / bare, SHARED_OVER_BARE, "x", bare))
    for net in NETS:
        by = rate[net.name]
        best = max(by[peer] for peer in ("kserve", "mlserver", "bentoml", "litserve"))
        ours = by["agent"]
        peers = f"answers/s, {CLIENTS} clients, {net.name}, over best peer's"
        figures.append(Figure(peers, ours / best, RATE_OF_BEST_PEER[net.name], "x", best, at_least=True))
        alone = f"answers/s, {CLIENTS} clients, {net.name}, over bare's"
        figures.append(Figure(alone, ours / by["bare"], RATE_OF_BARE[net.name], "x", by["bare"], at_least=True))
    return figures


def _table(latency: Mapping[str, Mapping[str, float]], rate: Mapping[str, Mapping[str, float]]) -> None:
    for name, by in latency.items():
        added = ", ".join(f"{server} {value:,.0f}" for server, value in by.items())
        print(f"{name}: us for bare, us added by each: {added}")
        print(f"{name}: answers/s: {', '.join(f'{server} {value:,.0f}' for server, value in rate[name].items())}")


def _bare_latency(net: Net) -> float:
    bare, record = session(net.onnx()), {"x": net.record()}
    for _ in range(20):
        bare.run(None, record)
    took = []
    end = time.perf_counter() + _LATENCY_SECONDS / 2
    while (before := time.perf_counter()) < end:
        bare.run(None, record)
        took.append(time.perf_counter() - before)
    return statistics.median(took) * 1e6


def _bare_rate(net: Net) -> float:
    """Of two threads in one process that do nothing else."""
    bare, record = session(net.onnx()), {"x": net.record()}
    counts = [0, 0]
    end = time.perf_counter() + _RATE_SECONDS

    def work(which: int) -> None:
        while time.perf_counter() < end:
            bare.run(None, record)
            counts[which] += 1

    threads = [threading.Thread(target=work, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / _RATE_SECONDS


def _clients(server: Server, net: Net, mode: str, count: int, seconds: float) -> list[dict[str, float]]:
    """`count` client processes that begin at the same moment."""
    program, script, *given = server.load(net)
    # Enough for all of them to import and to warm up.
    start = time.time() + (1.0 if count == 1 else 2.5)
    command = [str(part) for part in (program, PEERS / str(script), mode, seconds, start, *given)]
    runs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_alone()) for _ in range(count)
    ]
    answers = []
    for run in runs:
        out, complaints = run.communicate(timeout=120)
        assert run.returncode == 0, f"{server.name}: {complaints.decode()}"
        answers.append(json.loads(out))
    return answers


@contextmanager
def _agent(folder: Path, models: Path) -> Iterator[list[Server]]:
    del models  # It gets them as releases, as any gateway does.
    agent = StandaloneAgent(folder, [build_of(net) for net in NETS])
    try:
        agent.until_serving()

        def load(net: Net, way: str) -> list[object]:
            return [sys.executable, "load_agent.py", agent.socket, net.name, _shape(net), way]

        over = {"agent": "binary", "agent, shared memory": "shared"}
        servers = [Server(name, lambda net, way=way: load(net, way)) for name, way in over.items()]  # type: ignore[misc]
        _until_answering(servers[0])
        yield servers
    finally:
        agent.stop()


@contextmanager
def _kserve(folder: Path, models: Path) -> Iterator[list[Server]]:
    programs, ports = environment("kserve"), (free_port(), free_port())
    stubs = ",".join(f"kserve.protocol.grpc.grpc_predict_v2_{one}" for one in ("pb2", "pb2_grpc"))
    with _process(folder, "kserve", programs / "python", PEERS / "kserve_server.py", models, *ports):
        yield [_over_grpc("kserve", programs, ports[1], stubs)]


@contextmanager
def _mlserver(folder: Path, models: Path) -> Iterator[list[Server]]:
    programs, ports = environment("mlserver"), (free_port(), free_port())
    stubs = "mlserver.grpc.dataplane_pb2,mlserver.grpc.dataplane_pb2_grpc"
    with _process(folder, "mlserver", programs / "python", PEERS / "mlserver_runtime.py", models, *ports):
        yield [_over_grpc("mlserver", programs, ports[1], stubs)]


@contextmanager
def _bentoml(folder: Path, models: Path) -> Iterator[list[Server]]:
    programs, port = environment("bentoml"), free_port()
    options = ["serve", "bentoml_service:Nets", "--working-dir", PEERS, "--host", "127.0.0.1", "--port", port]
    more = {"FOLDER": str(models), "BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(folder / "bentoml")}
    with _process(folder, "bentoml", programs / "bentoml", *options, **more):
        server = Server(
            "bentoml",
            lambda net: [programs / "python", "load_json.py", port, f"/raw/{net.name}/infer", _shape(net), "raw"],
        )
        _until_answering(server)
        yield [server]


@contextmanager
def _litserve(folder: Path, models: Path) -> Iterator[list[Server]]:
    programs, port = environment("litserve"), free_port()
    with _process(folder, "litserve", programs / "python", PEERS / "litserve_server.py", models, port):
        server = Server(
            "litserve",
            lambda net: [programs / "python", "load_json.py", port, f"/{net.name}/infer", _shape(net), "base64"],
        )
        _until_answering(server)
        yield [server]


def _over_grpc(name: str, programs: Path, port: int, stubs: str) -> Server:
    server = Server(name, lambda net: [programs / "python", "load_grpc.py", port, net.name, _shape(net), stubs])
    _until_answering(server)
    return server


def _until_answering(server: Server) -> None:
    """Returns once `server` answers all nets."""
    deadline = time.monotonic() + _START_SECONDS
    for net in NETS:
        while True:
            try:
                _clients(server, net, "latency", 1, 0.1)
                break
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


def _shape(net: Net) -> str:
    return "x".join(map(str, (1, *net.shape)))


if __name__ == "__main__":
    sys.exit(main())
