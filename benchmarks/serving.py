"""What serving costs over the bare runtime, and what the peers of the field make of the same files.

Each peer runs in an environment of its own (`benchmarks/peers`), the agent as it is on a gateway, all with one thread
an inference. One client asks one after the other for the latency that is added over `session.run` in a process that
does nothing else. For the rate, a compiled load generator sends the very bytes of that client over eight connections
at once, by gRPC and by HTTP where a server has both. A round is short and goes round all servers, and what is compared
is compared within it: whatever else the machine does hits both. The median of the rounds counts. What is sent through
shared memory is compared a few requests at a time: its clients, several in each round, run the bare net themselves, in
turn with them.
"""

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, report
from benchmarks.load import program
from benchmarks.nets import NETS, Net, session
from benchmarks.servers import (
    SEALED,
    SHARED,
    Client,
    Server,
    ServerFailed,
    agent,
    bentoml,
    client,
    kserve,
    litserve,
    mlserver,
)

STARTS = (agent, kserve, mlserver, bentoml, litserve)
CLIENTS = 8
#: How much of KServe's added latency ours may be, and at least how much of the best peer's and of bare rate, by net.
LATENCY_OF_KSERVE = {"small": 1 / 15, "middle": 1 / 6, "large": 1 / 4}
RATE_OF_BEST_PEER = {"small": 10.0, "middle": 2.5, "large": 1.8}
RATE_OF_BARE = {"small": 0.35, "middle": 0.7, "large": 0.9}
SHARED_NET, SHARED_OVER_BARE = "large", 0.02
_LATENCY_SECONDS = 0.6
_IN_TURN_SECONDS = 4.0
_DRAWS = 3
_REST_SECONDS = 0.3
_RATE_SECONDS = 1.0

_IN_TURN = (SEALED, SHARED)

#: By net and then by server.
_Rounds = dict[str, dict[str, list[float]]]


def main() -> int:
    """Prints the figures; 0 when every promise is kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="how often each server is measured (default: 15)")
    parser.add_argument("--only", nargs="*", help="measure these servers only, beside bare; no promise is judged")
    options = parser.parse_args()
    program()
    try:
        measured = _run(options.rounds, options.only)
    except ServerFailed as error:
        sys.exit(str(error))
    return 0 if options.only else report(_figures(*measured))


def _run(rounds: int, only: Sequence[str] | None) -> tuple[_Rounds, _Rounds]:
    """As `_measured`, of `only` those servers, or all. Raises `ServerFailed`."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        models = folder / "models"
        models.mkdir()
        for net in NETS:
            (models / f"{net.name}.onnx").write_bytes(net.onnx())
            session(net.onnx()).run(None, {"x": net.record()})[0].tofile(folder / f"{net.name}.scores")
        servers = []
        for start in STARTS:
            if not only or start.__name__ in only:
                servers += stack.enter_context(start(folder, models))
        return _measured(servers, rounds)


def _measured(servers: Sequence[Server], rounds: int) -> tuple[_Rounds, _Rounds]:
    """Microseconds added over bare, and answers a second, both by net and then by server, of each round."""
    latency: _Rounds = {}
    rates: _Rounds = {}
    with ExitStack() as stack:
        asking = [(one.name, stack.enter_context(client(one))) for one in servers if one.name not in _IN_TURN]
        for net in NETS:
            added, done = latency.setdefault(net.name, {}), rates.setdefault(net.name, {})
            bare = session(net.onnx())
            for turn in range(rounds):
                sys.stderr.write(f"{net.name}: round {turn + 1} of {rounds}, load {os.getloadavg()[0]:.1f}\n")
                for name, one in asking:
                    # The bare runtime before each: the machine may be another from one moment to the next.
                    alone = _bare_latency(bare, net)
                    added.setdefault("bare", []).append(alone)
                    added.setdefault(name, []).append(one.latency_us(net, _LATENCY_SECONDS) - alone)
                for server in servers:
                    if server.name in _IN_TURN and net.name == SHARED_NET:
                        for alone, over in _draws(server, net):
                            added.setdefault(_bare_beside(server.name), []).append(alone)
                            added.setdefault(server.name, []).append(over)
                done.setdefault("bare", []).append(_bare_rate(bare, net))
                for name, one in asking:
                    done.setdefault(name, []).append(_rate(one, net))
            _table(net, added, done)
    return latency, rates


def _draws(server: Server, net: Net) -> Iterator[tuple[float, float]]:
    """As `Client.over_bare_us`. Where the bare net happens to lie in a process's memory makes up to 7 %, for as long as
    the process lives: each draws anew."""
    for _ in range(_DRAWS):
        with client(server) as one:
            yield one.over_bare_us(net, _IN_TURN_SECONDS)


def _rate(one: Client, net: Net) -> float:
    found = one.rate(net, CLIENTS, _RATE_SECONDS)
    # A server may still be at work for those who have gone.
    time.sleep(_REST_SECONDS)
    return found


def _bare_beside(name: str) -> str:
    """What the bare net took is kept under, in turn with the server of that name."""
    return f"bare beside {name}"


def _figures(latency: _Rounds, rates: _Rounds) -> list[Figure]:
    figures = []
    for net in NETS:
        added = latency[net.name]
        what = f"added p50, {net.input_bytes:,} B, beside KServe's"
        figures.append(_beside(what, added["agent"], added["kserve"], LATENCY_OF_KSERVE[net.name], "us"))
    added = latency[SHARED_NET]
    what = "added p50, shared memory, beside bare"
    figures.append(_beside(what, added[SEALED], added[_bare_beside(SEALED)], SHARED_OVER_BARE, "us"))
    for net in NETS:
        by, what = rates[net.name], f"{CLIENTS} clients, {net.name}, beside"
        best = max((by[peer] for peer in by if peer not in ("agent", "bare")), key=statistics.median)
        for theirs, reach, whose in (
            (best, RATE_OF_BEST_PEER[net.name], "best peer's"),
            (by["bare"], RATE_OF_BARE[net.name], "bare's"),
        ):
            figures.append(_beside(f"{what} {whose}", by["agent"], theirs, reach, "answers/s", at_least=True))
    return figures


def _beside(
    what: str, ours: Sequence[float], theirs: Sequence[float], reach: float, unit: str, *, at_least: bool = False
) -> Figure:
    """Judged by the ratio that the median round has: what is told of ours is that much of the anchor's median."""
    anchor = statistics.median(theirs)
    ratio = statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
    return Figure(what, ratio * anchor, reach * anchor, unit, anchor, at_least)


def _table(net: Net, added: dict[str, list[float]], done: dict[str, list[float]]) -> None:
    each = ", ".join(f"{name} {statistics.median(values):,.0f}" for name, values in added.items())
    print(f"{net.name}: us for bare, us added by each: {each}")
    each = ", ".join(f"{name} {statistics.median(values):,.0f}" for name, values in done.items())
    print(f"{net.name}: answers/s: {each}", flush=True)


def _bare_latency(bare: Any, net: Net) -> float:
    record = {"x": net.record()}
    took = []
    end = time.perf_counter() + _LATENCY_SECONDS / 2
    while (before := time.perf_counter()) < end:
        bare.run(None, record)
        took.append(time.perf_counter() - before)
    return statistics.median(took) * 1e6


def _bare_rate(bare: Any, net: Net) -> float:
    """Of two threads in one process that do nothing else."""
    record = {"x": net.record()}
    counts = [0, 0]
    began = time.perf_counter()
    end = began + _RATE_SECONDS

    def work(which: int) -> None:
        while time.perf_counter() < end:
            bare.run(None, record)
            counts[which] += 1

    threads = [threading.Thread(target=work, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - began)


if __name__ == "__main__":
    sys.exit(main())
