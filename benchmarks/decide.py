"""One decision on a rollout that has reached a million devices, in the hub's SQLite database.

Every device has been offered the version: nine in ten run it, one in 200 rejected it, the others are on their way. The
decision is the hub's own `RolloutService.tick`, in a process that does nothing else; the slowest of five counts. The
anchor reads the same million offers once, without an index: what it costs to count them as they lie. Then the same
with 2,000 rollouts that are over in place of 10, where the usual look is compared.
"""

import json
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks import releases
from benchmarks.figure import Figure, report
from cloud_hub.blobs.capability import Capabilities
from cloud_hub.blobs.folder import FolderBlobs
from cloud_hub.changes import Changes
from cloud_hub.database import Database
from cloud_hub.rollouts import store
from cloud_hub.rollouts.orders import Orders
from cloud_hub.rollouts.outlook import nothing_seen
from cloud_hub.rollouts.policy import Policy
from cloud_hub.rollouts.service import RolloutService
from cloud_hub.rollouts.tables import RolloutRow
from cloud_hub.rollouts.waves import Stander, draw
from fleet_contract.signing import PrivateKey
from fleet_contract.topics import Address, Channel

DEVICES = 1_000_000
TARGETS = tuple(f"target-{number}" for number in range(6))
NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
FEW, MANY = 10, 2_000
_LOOKS = 5
_POLICY = Policy(soak_seconds=0)


class Nowhere:
    """The port `Link`, to no broker."""

    def publish(self, address: Address, channel: Channel, payload: bytes, *, retain: bool = False) -> None:
        """Nobody listens."""


def main() -> int:
    """Prints the figures; 0 when every promise is kept."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "hub.db"
        _fill(file)
        few = _decided(file)
        _add_finished(file, FEW, MANY)
        many = _decided(file)
    return report(
        [
            Figure("one decision, 1,000,000 devices", few["seconds"], 1.0, "s", few["anchor"]),
            Figure("... its memory at the peak", few["memory"], 500, "MB"),
            Figure("... with 2,000 rollouts over, not 10", many["usual"] / few["usual"], 1.5, "x", 1.0),
        ]
    )


def _decided(file: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.decide", str(file)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def decide(file: Path) -> dict[str, float]:
    """Decides on what is in `file` again and again; the slowest and the usual look,
    in seconds, and the process's peak, in MB."""
    database = Database(f"sqlite:///{file}")
    blobs = FolderBlobs(file.parent / "blobs", Capabilities(b"k" * 32), 1_000_000)
    now = NOW
    orders = Orders(database, Nowhere(), blobs, PrivateKey(b"h" * 32), lambda: now, silent_after=timedelta(seconds=90))
    # The sweep at a hub's start looks at all devices, a batch at each look; this is a hub that has started.
    orders._swept_to = None
    rollouts = RolloutService(database, orders, Changes(), lambda: now, silent_after_seconds=90)
    looks = []
    for _ in range(_LOOKS):
        now += timedelta(seconds=1)
        began = time.perf_counter()
        rollouts.tick()
        looks.append(time.perf_counter() - began)
    (rollout,) = rollouts.page(state="running").items
    counts = rollouts.get(rollout.id).counts
    assert (counts.offered, counts.succeeded) == (DEVICES, DEVICES * 9 // 10), counts
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    connection = sqlite3.connect(file)
    scans = []
    for _ in range(_LOOKS):
        began = time.perf_counter()
        connection.execute("SELECT outcome, count(*) FROM offers NOT INDEXED GROUP BY outcome").fetchall()
        scans.append(time.perf_counter() - began)
    return {"seconds": max(looks), "usual": statistics.median(looks), "anchor": max(scans), "memory": memory}


def _fill(file: Path) -> None:
    database = Database(f"sqlite:///{file}")
    database.migrate()
    with database.session() as session:
        releases.register(session, "digits", 2, TARGETS, NOW)
        releases.register(session, "parts", 1, TARGETS, NOW)
    lines = draw(_POLICY, "5a17", (Stander(f"d{n}", TARGETS[n % len(TARGETS)]) for n in range(0, DEVICES, 100)))
    with database.session() as session:
        row = _rollout("digits-v2", 2, "running")
        row.lines, row.wave, row.exposed, row.wave_started_at = store.stored(lines), 3, 4, NOW
        row.because_code = "devices-pending"
        session.add(row)
    database.dispose()
    _add_finished(file, 0, FEW)
    connection = sqlite3.connect(file)
    _insert(connection, "devices", _DEVICE)
    _insert(connection, "device_models", _REPORTED)
    _insert(connection, "offers", _OFFER)
    connection.execute("ANALYZE")
    connection.close()


def _add_finished(file: Path, start: int, stop: int) -> None:
    """Rollouts of another model that are over; each newer one has hidden the one before."""
    database = Database(f"sqlite:///{file}")
    with database.session() as session:
        for number in range(start, stop):
            row = _rollout(f"parts-{number:05}", 1, "completed" if number % 2 else "reverted")
            row.model, row.in_force = "parts", False
            session.add(row)
    database.dispose()


def _rollout(name: str, version: int, state: str) -> RolloutRow:
    return RolloutRow(
        id=name,
        model="digits",
        version=version,
        salt="5a17",
        state=state,
        because_code="completed",
        because_sentence="It is so.",
        policy=_POLICY.model_dump(mode="json"),
        seen=nothing_seen(),
        created_at=NOW,
        updated_at=NOW,
        created_by="benchmark",
    )


_AT = "'2026-11-02 11:59:30.000000'"
_TARGET = f"'target-' || (n % {len(TARGETS)})"
_NEW, _BAD = "n % 20 < 18", "n % 200 = 199"
_DEVICE = {
    "id": "'d' || n",
    "fleet": "'default'",
    "target": _TARGET,
    "key": "'k'",
    "hostname": "'gateway-' || n",
    "agent_version": "'0.1.0'",
    "joined_at": _AT,
    "presence": "'online'",
    "last_heard_at": _AT,
    "number": "1",
    "generation": "1",
    "troubles": "'[]'",
    "troubled": "0",
    "inventory": "'" + json.dumps({"hostname": "gateway", "arch": "x86_64", "features": ["x" * 300]}) + "'",
}
_REPORTED = {
    "device": "'d' || n",
    "model": "'digits'",
    "slot": "'default'",
    "phase": f"CASE WHEN {_NEW} THEN 'settled' WHEN {_BAD} THEN 'rejected' ELSE 'fetching' END",
    "because_code": f"CASE WHEN {_NEW} THEN 'settled' ELSE 'too-slow' END",
    "because_sentence": "'It is so.'",
    "since": _AT,
    "wanted_version": "2",
    "running_version": f"CASE WHEN {_NEW} THEN 2 ELSE 1 END",
    "heard_at": _AT,
}
_OFFER = {
    "device": "'d' || n",
    "model": "'digits'",
    "slot": "'default'",
    "version": "2",
    "digest": f"printf('sha256:%032d%032d', 2, n % {len(TARGETS)})",
    "rollout": "'digits-v2'",
    "wave": "CASE WHEN n % 100 = 0 THEN 0 WHEN n % 100 < 5 THEN 1 WHEN n % 100 < 25 THEN 2 ELSE 3 END",
    "generation": "1",
    "before": "'[]'",
    "retry": "0",
    "tries": "0",
    "undoes": "0",
    "outcome": f"CASE WHEN {_NEW} THEN 'succeeded' WHEN {_BAD} THEN 'rejected' ELSE 'underway' END",
    "offered_at": _AT,
}


def _insert(connection: sqlite3.Connection, table: str, columns: dict[str, str]) -> None:
    numbers = f"WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {DEVICES - 1})"
    connection.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) {numbers} SELECT {', '.join(columns.values())} FROM numbers"
    )
    connection.commit()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(decide(Path(sys.argv[1]))))
        sys.exit(0)
    sys.exit(main())
