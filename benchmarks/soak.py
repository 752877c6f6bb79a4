"""An agent at work for an hour: requests, swaps, restarts of hub and broker, and faults of the network.

Real parts: a hub with its broker, an agent that serves digits on its Unix socket to one client at 100 requests a
second, and a wire between agent and broker that is cut, or carries nothing for a while. Every request must be answered
by a version that was ordered, every answered record must be in the lake once, and the agent's memory must not grow:
the slope of what it holds beside pages of files is fitted to its means over rounds of all that happens, the first left
out, and its 99 % lower bound must not be above zero. Those pages are no growth: the agent unmaps the code that only
loading needs after each update, and what it needs again comes back, 18 MB to and fro. Nor is what each thread's cache
in the C library takes until it is full, about 1 MB in all: some dozen swaps come before the hour.
"""

import argparse
import http.client
import json
import math
import random
import re
import shutil
import signal
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.figure import Figure, report
from benchmarks.relay import Relay
from fleet_client.errors import HubUnreachable
from tests.built import built_digits
from tests.fleet.world import Agent, Hub, eventually, make_agent, rolled_out

REQUESTS_PER_SECOND = 100.0
_SAMPLE_SECONDS = 5.0
#: What happens in turn.
_EVENTS = ("swap", "cut", "hub killed", "swap", "black hole", "hub restarted", "swap", "agent's config read again")
#: Before the hour. By then the heap has grown by 1.0 of the 1.1 MB that it grows by in twice as many, nearly all of it
#: those caches.
_SWAPS_BEFORE = 30
_HOLE_SECONDS = 20.0
_AWAY_SECONDS = 5.0
#: The quantiles of Student's t for a one-sided 99 %, for 1, 2... degrees of freedom.
_T99 = (31.82, 6.965, 4.541, 3.747, 3.365, 3.143, 2.998, 2.896, 2.821, 2.764, 2.718, 2.681, 2.650, 2.624, 2.602)


class Sample(NamedTuple):
    """What the agent's process holds at a moment of the soak, in the round of events with that number."""

    round: int
    at_seconds: float
    resident_mb: float
    own_mb: float
    """Of that, and of what was swapped out, what no file holds: heap, stacks, memory made for clients."""


class Growth(NamedTuple):
    """Of what the process holds of its own, in MB a second."""

    slope: float
    error: float
    """The standard error of that."""
    at_least: float
    """The 99 % lower bound of it."""


@dataclass
class Load:
    """One client that asks at a fixed rate, and notes what it was answered."""

    path: Path
    image: list[list[float]]
    answered: int = 0
    failed: list[str] = field(default_factory=list)
    versions: set[str] = field(default_factory=set)
    latencies: list[float] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        """Asks until `stop` is set."""
        body = json.dumps(
            {"inputs": [{"name": "pixels", "datatype": "FP32", "shape": [1, 64], "data": self.image}]}
        ).encode()
        connection = _Local(str(self.path))
        due = time.monotonic()
        while not stop.is_set():
            due += 1 / REQUESTS_PER_SECOND
            stop.wait(due - time.monotonic())
            began = time.perf_counter()
            try:
                connection.request("POST", "/v2/models/digits/infer", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                said = json.loads(answer.read())
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.failed.append(repr(error))
                connection.close()
                continue
            if answer.status != 200:
                self.failed.append(f"{answer.status}: {said}")
                continue
            self.latencies.append(time.perf_counter() - began)
            self.answered += 1
            self.versions.add(said["model_version"])


class _Local(http.client.HTTPConnection):
    """HTTP over the Unix socket at `path`."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def main() -> int:
    """Prints the figures; 0 when every promise is kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long (default: 60)")
    parser.add_argument("--every", type=float, default=45.0, help="seconds between two events (default: 45)")
    options = parser.parse_args()
    seconds = options.minutes * 60
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cache = Path(__file__).parent.parent / ".pytest_cache" / "d" / "vedette"
        cache.mkdir(parents=True, exist_ok=True)
        built = built_digits(cache)
        builds = [Path(shutil.copytree(one, folder / one.name)) for one in (built.good, built.worse)]
        image = np.load(built.replay)["inputs/pixels"][:1].tolist()
        hub = Hub(folder)
        versions = [hub.client.models.register(one).version for one in builds]
        agent = make_agent(hub, folder, Path(shutil.copy(built.replay, folder)), "gateway")
        wire = _wired(hub, agent)
        try:
            rolled_out(hub, versions[0], agent)
            return report(
                _soak(hub, agent, wire, versions, Load(agent.state / "vedette.sock", image), seconds, options.every)
            )
        finally:
            agent.stop()
            wire.close()
            hub.client.close()
            hub.stop()


def _wired(hub: Hub, agent: Agent) -> Relay:
    """Puts a wire that can fail between `agent`, which loses its own source of records, and the broker."""
    agent.stop()
    wire = Relay(hub.mqtt_port)
    identity = agent.state / "identity.json"
    text, replaced = re.subn(rf'("port": *){hub.mqtt_port}\b', rf"\g<1>{wire.port}", identity.read_text())
    assert replaced == 1
    identity.write_text(text)
    config = agent.gateway.config
    config.write_text(config.read_text().split("[[sources]]")[0])
    agent.start()
    return wire


def _soak(
    hub: Hub, agent: Agent, wire: Relay, versions: Sequence[int], load: Load, seconds: float, every: float
) -> list[Figure]:
    stop = threading.Event()
    client = threading.Thread(target=load.run, args=(stop,))
    client.start()
    swaps = 0
    while swaps < _SWAPS_BEFORE:
        swaps += 1
        _happen("swap", hub, agent, wire, versions[swaps % 2])
    began = time.monotonic()
    samples: list[Sample] = []
    turns = 0
    next_event = began + every
    while (now := time.monotonic()) < began + seconds:
        assert agent.child.returncode is None, f"The agent ended:\n{agent.child.tail(40)}"
        samples.append(_sample(turns // len(_EVENTS), now - began, agent.child.pid))
        if now >= next_event:
            event = _EVENTS[turns % len(_EVENTS)]
            swaps += event == "swap"
            _happen(event, hub, agent, wire, versions[swaps % 2])
            turns += 1
            next_event = time.monotonic() + every
            sys.stderr.write(
                f"{(now - began) / 60:5.1f} min: {event}; {load.answered:,} answered, {len(load.failed)} failed, "
                f"{samples[-1].resident_mb:.1f} MB, {samples[-1].own_mb:.2f} of them its own\n"
            )
        time.sleep(_SAMPLE_SECONDS)
    stop.set()
    client.join()
    wire.let_go()
    in_lake = _in_lake(hub, agent, load.answered)
    growth = _growth([one for one in samples if 0 < one.round < turns // len(_EVENTS)])
    print(
        f"{seconds / 60:.0f} minutes, {turns} events, {swaps - _SWAPS_BEFORE} swaps, {load.answered:,} answers; growth "
        f"{growth.slope * 3600:+.3f} MB an hour (standard error {growth.error * 3600:.3f}); latency p50 "
        f"{statistics.median(load.latencies) * 1e3:.2f} ms, slowest {max(load.latencies) * 1e3:.0f} ms"
    )
    for complaint in load.failed[:5]:
        print(f"failed: {complaint}")
    strange = load.versions - {str(version) for version in versions}
    return [
        Figure("requests that failed", len(load.failed), 0, "requests"),
        Figure("versions that answered and were not ordered", len(strange), 0, "versions"),
        Figure("answered records missing from the lake", max(0, load.answered - in_lake), 0, "records"),
        Figure("records in the lake twice", max(0, in_lake - load.answered), 0, "records"),
        Figure("memory growth, 99 % lower bound", growth.at_least * 3600, 0, "MB/h"),
        Figure("resident memory, median", statistics.median(one.resident_mb for one in samples), 80, "MB"),
    ]


def _happen(event: str, hub: Hub, agent: Agent, wire: Relay, version: int) -> None:
    match event:
        case "swap":
            rolled_out(hub, version, agent)
        case "cut":
            wire.cut()
        case "black hole":
            wire.hold()
            time.sleep(_HOLE_SECONDS)
            wire.let_go()
            wire.cut()
        case "hub killed":
            hub.kill()
            time.sleep(random.uniform(0, _AWAY_SECONDS))
            hub.start()
        case "hub restarted":
            hub.stop()
            hub.start()
        case "agent's config read again":
            agent.child.signal(signal.SIGHUP)
        case _:
            raise ValueError(event)


def _in_lake(hub: Hub, agent: Agent, answered: int) -> int:
    """How many records of the agent are in the lake, once all that it kept has come."""
    sql = f"SELECT coalesce(sum(count), 0) AS n FROM windows WHERE device = '{agent.name}'"

    there = 0

    def all_there() -> bool:
        nonlocal there
        # An hour of windows may take a busy machine longer than a client waits: an hour's figures do not hang on it.
        with suppress(HubUnreachable):
            there = int(hub.client.lake.query(sql).rows[0][0])
        return there >= answered

    with suppress(AssertionError):
        eventually(all_there, "all records are in the lake", 300, pause=1.0)
    return there


def _growth(samples: Sequence[Sample]) -> Growth:
    """By least squares over the means of each round.

    What happens in turn makes memory go up and down by 0.4 MB, so that one minute resembles the next (their residuals
    are correlated by 0.67): what is left of that after a whole round is one witness.
    """
    rounds: dict[int, list[Sample]] = {}
    for one in samples:
        rounds.setdefault(one.round, []).append(one)
    xs = [statistics.fmean(one.at_seconds for one in each) for each in rounds.values()]
    ys = [statistics.fmean(one.own_mb for one in each) for each in rounds.values()]
    if len(xs) < 3:
        return Growth(0.0, math.inf, -math.inf)
    slope, intercept = statistics.linear_regression(xs, ys)
    freedom = len(xs) - 2
    left = sum((y - intercept - slope * x) ** 2 for x, y in zip(xs, ys, strict=True)) / freedom
    spread = sum((x - statistics.fmean(xs)) ** 2 for x in xs)
    error = math.sqrt(left / spread)
    return Growth(slope, error, slope - _T99[min(freedom, len(_T99)) - 1] * error)


def _sample(turn: int, at_seconds: float, pid: int) -> Sample:
    # Counted page by page: the counters in "status" lag behind.
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    held = {name: int(kb) * 1024 / 1_000_000 for name, kb in re.findall(r"^(\w+): +(\d+) kB$", text, re.MULTILINE)}
    return Sample(turn, at_seconds, held["Rss"], held["Pss_Anon"] + held["Pss_Shmem"] + held["SwapPss"])


if __name__ == "__main__":
    sys.exit(main())
