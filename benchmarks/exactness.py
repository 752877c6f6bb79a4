"""Kills a hub again and again while agents send, and counts what its lake holds: each window once, none twice.

The hub is a process of its own (`python -m cloud_hub`) with its embedded broker, killed with SIGKILL at random moments
(during commits, between them, while it starts) and started again at once, on the same data folder and ports.
"""

import argparse
import contextlib
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from benchmarks.figure import Figure, report
from benchmarks.swarm import SwarmAgent
from cloud_hub.ports import free_port

_READY_SECONDS = 90.0
_STALLED_SECONDS = 120.0
#: One kill in so many strikes while the hub starts, the others while it works.
_STARTING_ONE_IN = 5


@dataclass(frozen=True)
class Outcome:
    """What was sent, what is there, and how it went."""

    expected: int
    lost: int
    twice: int
    foreign: int
    database_wrong: int
    kills: int
    seconds: float
    working_seconds: float
    commits: int
    batches: int


class HubProcess:
    """A hub on one data folder and one pair of ports, however often it is started."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "hub"
        self.port = free_port("127.0.0.1", 0)
        self.mqtt_port = free_port("127.0.0.1", 0)
        self._log = folder / "hub.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._offset = 0

    def start(self) -> None:
        """Returns at once."""
        with self._log.open("ab") as log:
            self._offset = log.tell()
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "cloud_hub", "--data", str(self.data)),
                    *("--port", str(self.port), "--mqtt-port", str(self.mqtt_port)),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_ready(self) -> float:
        """Seconds until it answered. Raises RuntimeError with its log when it ends or does not come up."""
        began = time.monotonic()
        while b"hub ready" not in self._said():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > began + _READY_SECONDS:
                raise RuntimeError("The hub did not come up.")
            time.sleep(0.05)
        return time.monotonic() - began

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when that does not help."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        self.kill()

    def last_words(self) -> str:
        """The end of its log."""
        return self._said().decode(errors="replace")[-4000:]

    def _said(self) -> bytes:
        with self._log.open("rb") as log:
            log.seek(self._offset)
            return log.read()


def run(folder: Path, *, agents: int, records: int, kills: int, seed: int) -> Outcome:
    """One run in `folder`. Raises RuntimeError when the hub does not come up, or nothing moves for minutes."""
    chance = random.Random(seed)
    hub = HubProcess(folder)
    hub.start()
    starting = hub.wait_ready()
    swarm = [SwarmAgent(f"gateway-{at:02d}", hub.mqtt_port, seed + at) for at in range(agents)]
    began = time.monotonic()
    working = 0.0
    try:
        for agent in swarm:
            agent.start()
        for phase in range(kills + 1):
            # Some of the records become sendable in each phase, so that each kill meets a hub at work.
            _allow(swarm, records * (phase + 1) // (kills + 1))
            phase_began = time.monotonic()
            if phase == kills:
                _wait_acked(swarm, records)
                working += time.monotonic() - phase_began
                break
            if phase % _STARTING_ONE_IN == _STARTING_ONE_IN - 1:
                # It has just become ready: kill it, and the next one somewhere while it starts.
                hub.kill()
                hub.start()
                time.sleep(chance.uniform(0, starting))
            else:
                _wait_acked(swarm, _acked(swarm) + chance.randint(1, records // (kills + 1)), patience=5.0)
                time.sleep(chance.uniform(0, 0.3))
                working += time.monotonic() - phase_began
            hub.kill()
            print(f"kill {phase + 1} of {kills}: {_acked(swarm):,} of {records:,} records acked", flush=True)
            hub.start()
            starting = hub.wait_ready()
        seconds = time.monotonic() - began
    except RuntimeError as error:
        raise RuntimeError(f"{error} The hub said last: {hub.last_words()}") from error
    finally:
        for agent in swarm:
            agent.stop()
        hub.stop()
    return _judge(hub.data, swarm, kills + kills // _STARTING_ONE_IN, seconds, working)


def _allow(swarm: Sequence[SwarmAgent], windows: int) -> None:
    for at, agent in enumerate(swarm):
        agent.allow(windows // len(swarm) + (at < windows % len(swarm)))


def _acked(swarm: Sequence[SwarmAgent]) -> int:
    return sum(agent.acked for agent in swarm)


def _wait_acked(swarm: Sequence[SwarmAgent], windows: int, patience: float | None = None) -> None:
    """Until so many are acked. After `patience` seconds it goes on without; without any, standing still is an error."""
    began = moved = time.monotonic()
    before = _acked(swarm)
    while (now := _acked(swarm)) < windows:
        if now > before:
            before, moved = now, time.monotonic()
        if patience is not None and time.monotonic() > began + patience:
            return
        if time.monotonic() > moved + _STALLED_SECONDS:
            raise RuntimeError(f"Nothing has moved for {_STALLED_SECONDS:g} s at {now:,} of {windows:,} records.")
        time.sleep(0.01)


def _judge(data: Path, swarm: Sequence[SwarmAgent], kills: int, seconds: float, working: float) -> Outcome:
    expected = set().union(*(agent.expected() for agent in swarm))
    table = DeltaTable(data / "lake" / "windows")
    held = Counter(_names(table.to_pyarrow_table(columns=["device", "boot", "sequence"])))
    with sqlite3.connect(data / "hub.sqlite") as database:
        rows = Counter(database.execute("SELECT device, boot, sequence FROM windows"))
        (sliced,) = database.execute("SELECT sum(records) FROM window_slices").fetchone()
    return Outcome(
        expected=len(expected),
        lost=len(expected - held.keys()),
        twice=sum(count - 1 for count in held.values()),
        foreign=len(held.keys() - expected),
        database_wrong=len(expected ^ rows.keys()) + (rows.total() - len(rows)) + abs(sliced // 10 - len(expected)),
        kills=kills,
        seconds=seconds,
        working_seconds=working,
        commits=sum(one.get("operation") == "WRITE" for one in table.history()),
        batches=sum(agent.sent_batches for agent in swarm),
    )


def _names(table: pa.Table) -> Iterator[tuple[str, str, int]]:
    columns = (
        pc.cast(table.column(name), kind).to_pylist()
        for name, kind in (("device", pa.string()), ("boot", pa.string()), ("sequence", pa.int64()))
    )
    return zip(*columns, strict=True)


def figures(outcome: Outcome, kills: int) -> list[Figure]:
    """What is promised of `outcome`."""
    return [
        Figure("records lost", outcome.lost, 0, "records"),
        Figure("records in the lake twice", outcome.twice, 0, "records"),
        Figure("records nobody sent", outcome.foreign, 0, "records"),
        Figure("database wrong about records", outcome.database_wrong, 0, "records"),
        Figure("SIGKILLs of the hub", outcome.kills, kills, "kills", at_least=True),
        Figure(
            "acked while the hub is up",
            outcome.expected / outcome.working_seconds,
            500,
            "records/s",
            at_least=True,
        ),
    ]


def main() -> int:
    """0 when no record is lost and none is there twice."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exactness", description=__doc__)
    parser.add_argument("--agents", type=int, default=20)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vedette-exactness-") as folder:
        outcome = run(Path(folder), agents=given.agents, records=given.records, kills=given.kills, seed=given.seed)
    print(
        f"{outcome.expected:,} records from {given.agents} agents in {outcome.seconds:.0f} s: {outcome.batches:,} "
        f"batches, {outcome.commits:,} commits in the log, {outcome.kills} kills, seed {given.seed}"
    )
    return report(figures(outcome, given.kills))


if __name__ == "__main__":
    sys.exit(main())
