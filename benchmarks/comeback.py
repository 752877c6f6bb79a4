"""Ten thousand devices come back at once, each with an hour of windows: what their hub has to bear, and for how long.

The fleet is simulated, event by event, with the deciding code of both sides as it is: `edge_agent.core.drain` on each
device, `cloud_hub.lake.backpressure` at the hub. The hub's speed is measured first, in the same run: a real ingest
(SQLite, Delta in a folder) drained by real batches, with so little room that it has to turn most of them away. The
anchor is the same fleet without chance and without the hub's word: all send at once, and again when they hear nothing.
"""

import heapq
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from benchmarks.figure import Figure, report
from benchmarks.windows import Digits
from cloud_hub.changes import Changes
from cloud_hub.database import Database
from cloud_hub.lake.backpressure import Backpressure, offered
from cloud_hub.lake.ingest import Ingest, Pace
from cloud_hub.lake.location import Location
from cloud_hub.lake.rows import PARTITION
from cloud_hub.lake.schema import SCHEMA, TABLE
from cloud_hub.lake.table import LakeTable
from cloud_hub.refusals import Refusals
from edge_agent.core.drain import Backlog, Drain, Send, Wait, acked, chance, connected, following, sent, turned_down
from fleet_contract.encoding import decode
from fleet_contract.telemetry import Ack, Batch, Window, encode_batch, fingerprint
from fleet_contract.topics import Address, Channel

DEVICES = 10_000
WINDOWS = 360
REAL_DEVICES = 100
REAL_WINDOWS = 120
#: A broker and two networks.
WAY_SECONDS = 0.03
RECONNECT_SECONDS = 15.0


def main() -> int:
    """Prints the figures; 0 when every promise is kept."""
    real = _real()
    speed = real.windows / real.seconds
    ours, naive = Fleet(speed, polite=True), Fleet(speed, polite=False)
    ours.run()
    naive.run()
    ideal = DEVICES * WINDOWS / speed
    return report(
        [
            Figure("a real hub, drained with little room", speed, 500, "windows/s", at_least=True),
            Figure("... windows not there exactly once", real.wrong, 0, "windows"),
            Figure("... batches that it turned away", real.turned_away, 1, "batches", at_least=True),
            Figure("10,000 devices: windows lost", DEVICES * WINDOWS - ours.stored, 0, "windows"),
            Figure("... until the last is drained, over no wait", ours.now / ideal, 1.3, "x", naive.now / ideal),
            Figure("... most messages in a second", ours.busiest, 2_000, "messages", naive.busiest),
            Figure("... messages turned away for each taken", ours.waste, 3.0, "x", naive.waste),
        ]
    )


@dataclass
class _Device:
    """One device of the simulated fleet: `mark` is what it knows that the hub has, `woken` how often it looked."""

    name: str
    drain: Drain
    mark: int = 0
    woken: int = 0


@dataclass(order=True)
class _Due:
    at: float
    number: int
    act: Callable[[], None] = field(compare=False)


class Fleet:
    """The simulation. `polite` devices leave it to chance when to begin, and a hub tells them when to come again."""

    def __init__(self, windows_a_second: float, *, polite: bool, devices: int = DEVICES) -> None:
        self.now = 0.0
        self.stored = self.taken = self.turned_away = 0
        self._speed = windows_a_second
        self._polite = polite
        self._due: list[_Due] = []
        self._numbers = 0
        self._messages: Counter[int] = Counter()
        self._pace = Pace()
        self._inbox: list[tuple[_Device, int, int]] = []
        self._held: set[tuple[str, int, int]] = set()
        self._waiting = 0
        self._working = False
        self._backpressure = Backpressure(0.0)
        self._marks: Counter[str] = Counter()
        for number in range(devices):
            device = _Device(f"gateway-{number}", Drain(f"gateway-{number}"))
            # Each of them finds out after another while that the network is there again.
            self._at(RECONNECT_SECONDS * chance("reconnects", number), lambda one=device: self._connects(one))  # type: ignore[misc]

    @property
    def busiest(self) -> int:
        """The most messages that came to the hub in one second."""
        return max(self._messages.values())

    @property
    def waste(self) -> float:
        """Messages turned away for each that was taken."""
        return self.turned_away / self.taken

    def run(self) -> None:
        """Until every device is drained."""
        while self._due:
            due = heapq.heappop(self._due)
            self.now = due.at
            due.act()

    def _at(self, at: float, act: Callable[[], None]) -> None:
        self._numbers += 1
        heapq.heappush(self._due, _Due(at, self._numbers, act))

    def _connects(self, device: _Device) -> None:
        if self._polite:
            device.drain = connected(device.drain, WINDOWS, self.now)
        self._turns(device)

    def _wakes(self, device: _Device, woken: int) -> None:
        # It has one clock: what made it look since has set it anew.
        if device.woken == woken:
            self._turns(device)

    def _turns(self, device: _Device) -> None:
        device.woken += 1
        backlog = Backlog("b", device.mark, WINDOWS) if device.mark < WINDOWS else None
        match following(device.drain, backlog, self.now):
            case Send() as step:
                last = min(step.since + step.records, WINDOWS)
                name = f"{device.name}/{device.drain.drawn}"
                device.drain = sent(device.drain, step, last, self.now, last - step.since, name)
                self._at(self.now + WAY_SECONDS, lambda: self._arrives(device, step.after, last, name))
                self._turns(device)
            case Wait(until) if until is not None:
                woken = device.woken
                self._at(until, lambda: self._wakes(device, woken))
            case Wait():
                pass

    def _arrives(self, device: _Device, after: int, last: int, name: str) -> None:
        self._messages[int(self.now)] += 1
        held = (device.name, after, last) in self._held
        room = held or not self._inbox or self._waiting + last - after <= self._pace.capacity
        self._backpressure = offered(self._backpressure, found_room=room, now=self.now)
        if held:
            return
        if room:
            self.taken += 1
            self._inbox.append((device, after, last))
            self._held.add((device.name, after, last))
            self._waiting += last - after
            if not self._working:
                self._working = True
                self._at(self.now + self._pace.linger_seconds, self._commits)
        else:
            self.turned_away += 1
            if self._polite:
                busy = Ack(device.name, "", 0, batch=name, wait_seconds=round(self._backpressure.wait_seconds))
                self._at(self.now + WAY_SECONDS, lambda: self._hears(device, busy))

    def _commits(self) -> None:
        """What the ingest takes at a time; it is at the next as soon as this is done."""
        windows, at = 0, 0
        while at < len(self._inbox) and windows < self._pace.round_windows:
            windows += self._inbox[at][2] - self._inbox[at][1]
            at += 1
        taken, self._inbox = self._inbox[:at], self._inbox[at:]
        self._waiting -= windows
        done = self.now + windows / self._speed
        for device, after, last in taken:
            self._held.discard((device.name, after, last))
            mark = self._marks[device.name]
            if after <= mark < last:
                self.stored += last - mark
                self._marks[device.name] = last
            ack = Ack(device.name, "b", self._marks[device.name])
            self._at(done + WAY_SECONDS, lambda device=device, ack=ack: self._hears(device, ack))  # type: ignore[misc]
        if self._inbox:
            self._at(done, self._commits)
        else:
            self._working = False

    def _hears(self, device: _Device, ack: Ack) -> None:
        if ack.batch:
            device.drain, _ = turned_down(device.drain, ack, self.now)
        else:
            device.drain = acked(device.drain, ack, device.mark)
            device.mark = max(device.mark, ack.through)
        self._turns(device)


@dataclass
class _Real:
    """What came of draining a real hub."""

    windows: int = 0
    seconds: float = 0.0
    turned_away: int = 0
    wrong: int = 0


class _Link:
    """A link to devices in this process: what the hub says waits until they read it."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Ack]] = []

    def publish(self, address: Address, channel: Channel, payload: bytes, *, retain: bool = False) -> None:
        assert channel is Channel.ACK
        assert not retain
        self.said.append((address.device, decode(payload, Ack)))


def _real() -> _Real:
    with tempfile.TemporaryDirectory() as name:
        location = Location.of(str(Path(name) / "lake"), TABLE)
        database = Database(f"sqlite:///{name}/hub.sqlite")
        database.migrate()
        link, now = _Link(), _now
        ingest = Ingest(location, database, link, Changes(), Refusals(now), now, Pace(capacity=1_000))
        ingest.start()
        try:
            result = _drained(ingest, link)
        finally:
            ingest.stop()
            database.dispose()
        rows = LakeTable(location, SCHEMA, PARTITION).dataset().to_table(columns=["device", "sequence"]).to_pylist()
        made = {(f"gateway-{n}", sequence) for n in range(REAL_DEVICES) for sequence in range(1, REAL_WINDOWS + 1)}
        found = Counter((row["device"], row["sequence"]) for row in rows)
        result.wrong = len(made ^ found.keys()) + sum(count - 1 for count in found.values())
        return result


def _drained(ingest: Ingest, link: _Link) -> _Real:
    """Devices that know only what the deciding code knows, one after the other in one thread."""
    windows = [
        msgspec.structs.replace(one, sequence=at) for at, one in enumerate(Digits().windows(REAL_WINDOWS, 10), 1)
    ]
    devices = [_Device(f"gateway-{number}", Drain(f"gateway-{number}")) for number in range(REAL_DEVICES)]
    named = {one.name: one for one in devices}
    began = time.monotonic()
    result = _Real(REAL_DEVICES * REAL_WINDOWS)
    while any(one.mark < REAL_WINDOWS for one in devices):
        assert time.monotonic() - began < 600, "the fleet does not drain"
        for device in devices:
            _send(device, windows, ingest)
        while link.said:
            name, ack = link.said.pop(0)
            device = named[name]
            if ack.batch:
                device.drain, given_up = turned_down(device.drain, ack, time.monotonic())
                assert given_up is None
            else:
                device.drain = acked(device.drain, ack, device.mark)
                device.mark = max(device.mark, ack.through)
        time.sleep(0.05)
    result.seconds = time.monotonic() - began
    result.turned_away = ingest.counts.turned_away
    return result


def _send(device: _Device, windows: list[Window], ingest: Ingest) -> None:
    now = time.monotonic()
    backlog = Backlog("b", device.mark, REAL_WINDOWS) if device.mark < REAL_WINDOWS else None
    step = following(device.drain, backlog, now)
    if isinstance(step, Send):
        some = tuple(windows[step.since : step.since + step.records])
        payload = encode_batch(Batch(device.name, step.boot, step.after, some))
        device.drain = sent(device.drain, step, some[-1].sequence, now, len(some), fingerprint(payload))
        ingest.offer(Address("default", device.name), payload)


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    sys.exit(main())
