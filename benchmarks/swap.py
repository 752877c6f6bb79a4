"""What callers notice of an update, and of a challenger that runs in the shadow of the live model.

Real parts: the updater that downloads, proves and switches, the engine and the Unix socket, in one process; and eight
client processes that ask without a pause and check for each answer that it is of the version that it says it is. The
anchor of every figure is the same clients in the same run while nothing is updated and nothing is in the shadow.
A shadow runs in the gaps between calls: beside one client that rests between two, as a camera does, and beside those
that leave no gap.
"During" a swap is from the order until the new version has settled: download, golden replay and switch.
"""

import json
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figure import Figure, report
from benchmarks.nets import NETS, Net, session

CLIENTS = 8
SWAPS = 20
#: Short turns, with a shadow and without, whichever comes first in turn: what else the machine does meets both alike.
ROUNDS = 16
#: How much of the steady p99 it may be during a swap, and beside a shadow.
SWAP_REACH = 2.0
SHADOW_REACH = 1.1
#: How long a client that rests does so.
PAUSE_SECONDS = 0.01
_STEADY_SECONDS = 0.7
_ROUND_SECONDS = 1.0
#: A challenger comes by an update, which has figures of its own.
_SETTLE_SECONDS = 0.5
#: An order is carried out within a second, or not at all.
_HANGS_SECONDS = 60.0
_CLIENT = Path(__file__).parent / "peers" / "load_versions.py"
_Span = tuple[float, float]


@dataclass(frozen=True)
class Asked:
    """One answer that a client got."""

    at: float
    took_us: float
    version: str
    right: bool


def main() -> int:
    """Prints the figures; 0 when every promise is kept."""
    figures = []
    for net in NETS[:2]:
        figures += _swaps(net)
    figures += _shadow(NETS[1])
    return report(figures)


def _swaps(net: Net) -> list[Figure]:
    with tempfile.TemporaryDirectory() as name, _host(Path(name), net) as host:
        host.order("1")
        with host.clients(CLIENTS) as asked:
            steady, swapping = [], []
            for turn in range(SWAPS):
                steady.append(_rest(_STEADY_SECONDS))
                began = time.monotonic()
                host.order(str(2 - turn % 2))
                swapping.append((began, time.monotonic()))
    wrong = sum(not one.right for one in asked if one.version != "0")
    failed = sum(one.version == "0" for one in asked)
    before, during = _p99(asked, steady), _p99(asked, swapping)
    versions = len({one.version for one in asked} - {"0"})
    what = f"{SWAPS} swaps, {CLIENTS} clients, {net.name}"
    return [
        Figure(f"{what}: requests failed", failed, 0, "requests", len(asked)),
        Figure(f"{what}: answers of a wrong version", wrong, 0, "answers", len(asked)),
        Figure(f"{what}: versions that answered", versions, 2, "versions", at_least=True),
        Figure(f"{what}: p99 during, over steady", during / before, SWAP_REACH, "x", before / 1000),
    ]


def _shadow(net: Net) -> list[Figure]:
    figures = []
    # One caller that leaves gaps, one that leaves a core free and no gap, and so many that no core is left.
    for count, pause_seconds in ((1, PAUSE_SECONDS), (1, 0.0), (CLIENTS, 0.0)):
        with tempfile.TemporaryDirectory() as name, _host(Path(name), net) as host:
            alone: list[_Span] = []
            beside: list[_Span] = []
            compared = 0
            host.order("1")
            with host.clients(count, pause_seconds) as asked:
                for number in range(ROUNDS):
                    for order, spans in (("1", alone), ("1 2", beside))[:: 1 if number % 2 else -1]:
                        host.order(order)
                        time.sleep(_SETTLE_SECONDS)
                        spans.append(_rest(_ROUND_SECONDS))
                        compared += host.order("1")
        who = f"{count} client{'s' * (count > 1)}"
        what = f"with a shadow, {who}{' that rests' * bool(pause_seconds)}, {net.name}"
        ratio = _p99(asked, beside) / _p99(asked, alone)
        medians = _quantile(asked, beside, 0.5) / _quantile(asked, alone, 0.5)
        answered = sum(any(begin <= one.at < end for begin, end in beside) for one in asked)
        figures.append(Figure(f"{what}: p50 over without", medians, SHADOW_REACH, "x", 1.0))
        figures.append(Figure(f"{what}: p99 over without", ratio, SHADOW_REACH, "x", 1.0))
        if count == 1:
            figures.append(Figure(f"{what}: compared", compared, 1, "records", answered, at_least=True))
    return figures


class Host:
    """The process under test."""

    def __init__(self, folder: Path, net: Net) -> None:
        self._folder = folder
        self._net = net
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.host", str(folder), net.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def order(self, line: str) -> int:
        """Has `line` carried out. How many records a shadow was compared on since the order before."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], _HANGS_SECONDS)[0]:
            self._process.kill()
            raise AssertionError(f"The process under test hangs: told {line!r}, it has said nothing.")
        said = self._process.stdout.readline()
        assert said, "the host ended"
        return int(said)

    @contextmanager
    def clients(self, count: int, pause_seconds: float = 0.0) -> Iterator[list[Asked]]:
        """Asks while the block runs; afterwards the list holds all that was answered."""
        expected = self._folder / "expected.json"
        record = {"x": self._net.record()}
        scores = {str(seed): session(self._net.onnx(seed)).run(None, record)[0][0].tolist() for seed in (1, 2)}
        expected.write_text(json.dumps(scores))
        shape = "x".join(map(str, (1, *self._net.shape)))
        outs = [self._folder / f"client-{number}" for number in range(count)]
        socket = self._folder / "vedette.sock"
        runs = [
            subprocess.Popen(
                [
                    sys.executable,
                    str(_CLIENT),
                    str(socket),
                    self._net.name,
                    shape,
                    str(expected),
                    str(out),
                    str(pause_seconds),
                ],
                stdin=subprocess.PIPE,
            )
            for out in outs
        ]
        try:
            deadline = time.monotonic() + 30
            while not all(out.exists() and out.stat().st_size for out in outs):
                assert time.monotonic() < deadline, "the clients do not ask"
                time.sleep(0.05)
            asked: list[Asked] = []
            yield asked
            assert all(run.poll() is None for run in runs), "a client ended"
        finally:
            for run in runs:
                run.communicate()
        for out in outs:
            for line in out.read_text().splitlines():
                at, took_us, version, right = line.split()
                asked.append(Asked(float(at), float(took_us), version, right == "1"))

    def stop(self) -> None:
        try:
            self._process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


@contextmanager
def _host(folder: Path, net: Net) -> Iterator[Host]:
    host = Host(folder, net)
    try:
        yield host
    finally:
        host.stop()


def _rest(seconds: float) -> _Span:
    began = time.monotonic()
    time.sleep(seconds)
    return began, time.monotonic()


def _p99(asked: Sequence[Asked], spans: Sequence[_Span]) -> float:
    return _quantile(asked, spans, 0.99)


def _quantile(asked: Sequence[Asked], spans: Sequence[_Span], share: float) -> float:
    took = sorted(one.took_us for one in asked if any(begin <= one.at < end for begin, end in spans))
    return took[min(len(took) - 1, int(len(took) * share))]


if __name__ == "__main__":
    sys.exit(main())
