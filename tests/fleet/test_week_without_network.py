"""A week without a network, and then a hub: nothing that fitted is lost, and what did not fit was counted."""

import hashlib
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cloud_hub.changes import Changes
from cloud_hub.database import Database
from cloud_hub.lake.ingest import Ingest, Pace
from cloud_hub.lake.lanes import TABLES
from cloud_hub.lake.location import Location
from cloud_hub.lake.rows import PARTITION
from cloud_hub.lake.schema import TABLE
from cloud_hub.lake.table import LakeTable
from cloud_hub.refusals import Refusals
from edge_agent.core.drain import Drain, Send, acked, connected, following, sent, turned_down
from edge_agent.telemetry.spool import Spool
from edge_agent.uplink import BATCH_BYTES
from fleet_contract.encoding import decode
from fleet_contract.report import SpoolReport
from fleet_contract.telemetry import Ack, Event, Lane, Sample, Window, batch_of, channel_of, encode_batch, fingerprint
from fleet_contract.topics import Address, Channel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ADDRESS = Address("default", "press-1")
START_MS = 1_795_377_600_000
WEEK = 7 * 8640
EVENTS_EVERY = 360
SAMPLES_EVERY = 60


def windows(count: int) -> Iterator[Window]:
    """One every ten seconds, that differ as windows do."""
    chance = random.Random(7)
    for number in range(count):
        started_at_ms = START_MS + number * 10_000
        yield Window(
            sequence=0,
            model="digits",
            version=1,
            digest="sha256:" + "0" * 64,
            started_at_ms=started_at_ms,
            ended_at_ms=started_at_ms + 10_000,
            count=100,
            errors=0,
            latency={170 + number % 7: 60, 180 + number % 11: 40},
            predictions={str(label): 10 + (number * label) % 5 for label in range(10)},
            confidence=tuple(chance.getrandbits(5) for _ in range(20)),
        )


def sample(number: int, at_ms: int) -> Sample:
    capture = hashlib.sha256(str(number).encode()).hexdigest()
    digest = "sha256:" + "0" * 64
    return Sample(0, at_ms, "digits", 1, digest, "low-margin", capture, 1_204, "7", 0.5, number % 64 / 256)


class Device:
    """A gateway whose agent is started anew each day, without network."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.days = 0
        self.made: Counter[str] = Counter()
        self.starts()

    def starts(self) -> None:
        self.days += 1
        self.boot = f"day{self.days}"
        self.spool = Spool(self.folder, ".".join(ADDRESS), self.boot, self.max_bytes)

    def lives_a_week(self) -> None:
        for number, window in enumerate(windows(WEEK), 1):
            assert self.spool.append(window)
            self.made[self.boot] += 1
            if number % EVENTS_EVERY == 0:
                event = Event(0, window.ended_at_ms, "trouble", "hot", f"It is {number % 90} degrees.")
                assert self.spool.note(event)
            if number % SAMPLES_EVERY == 0:
                assert self.spool.keep(sample(number, window.ended_at_ms))
            if number % 8640 == 0 and number < WEEK:
                self.starts()


class Net:
    """The link of an ingest in this process: what the hub says waits until the device reads it."""

    def __init__(self) -> None:
        self.said: list[Ack] = []

    def publish(self, address: Address, channel: Channel, payload: bytes, *, retain: bool = False) -> None:
        self.said.append(decode(payload, Ack))


def drain(device: Device, ingest: Ingest, net: Net, advance: Callable[[], float]) -> int:
    """Hands all over as the uplink does, and gives the number of messages; each tenth is lost on the way."""
    drains = {lane: connected(Drain(str(lane)), device.spool.waiting(lane), 0.0) for lane in Lane}
    messages = itertools.count(1)
    number = 0
    while any(device.spool.waiting(lane) for lane in Lane):
        now = advance()
        for lane in Lane:
            step = following(drains[lane], device.spool.backlog(lane), now)
            if isinstance(step, Send):
                records = device.spool.read(step.boot, step.since, BATCH_BYTES, step.records, lane)
                payload = encode_batch(batch_of(ADDRESS.device, step.boot, step.after, lane, records))
                drains[lane] = sent(drains[lane], step, records[-1].sequence, now, len(records), fingerprint(payload))
                number = next(messages)
                if number % 10:
                    ingest.offer(ADDRESS, payload, channel_of(lane))
        while net.said:
            ack = net.said.pop(0)
            for lane in Lane:
                if ack.batch:
                    drains[lane], given_up = turned_down(drains[lane], ack, now)
                    assert given_up is None
                elif ack.lane == lane:
                    drains[lane] = acked(drains[lane], ack, device.spool.mark(ack.boot, lane))
                    device.spool.forget(ack.boot, ack.through, lane)
    return number


@pytest.fixture
def no_syncs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A week has 60,000 of them, and no power is cut here."""
    for name in ("fdatasync", "fsync"):
        monkeypatch.setattr(f"os.{name}", lambda _: None)


def arrives(device: Device, folder: Path) -> dict[str, list[tuple[str, int]]]:
    """What is in the lake once the device is drained into a real hub."""
    location, net = Location.of(str(folder / "lake"), TABLE), Net()
    database = Database(f"sqlite:///{folder}/hub.sqlite")
    database.migrate()
    ticks = itertools.count()
    ingest = Ingest(
        location,
        database,
        net,
        Changes(),
        Refusals(lambda: datetime.now(UTC)),
        pace=Pace(linger_seconds=0.01),
    )
    ingest.start()
    try:
        drain(device, ingest, net, lambda: _tick(ticks))
    finally:
        ingest.stop()
        database.dispose()
    found = {}
    for name, schema in TABLES.values():
        table = LakeTable(location.beside(name), schema, PARTITION).dataset().to_table(columns=["boot", "sequence"])
        found[name] = sorted((row["boot"], row["sequence"]) for row in table.to_pylist())
    return found


def _tick(ticks: Iterator[int]) -> float:
    # Seconds pass a hundred times as fast as the hub works.
    time.sleep(0.005)
    return next(ticks) * 0.5


def test_a_week_that_fits_arrives_whole_and_once(tmp_path: Path, no_syncs: None) -> None:
    device = Device(tmp_path / "spool", 64 * 1024 * 1024)
    device.lives_a_week()
    before = device.spool.report()
    assert (before.records, before.dropped) == (WEEK, 0)
    assert before.lanes["events"].records == WEEK // EVENTS_EVERY
    assert before.lanes["samples"].records == WEEK // SAMPLES_EVERY
    found = arrives(device, tmp_path)
    assert found[TABLE] == sorted((boot, one) for boot, made in device.made.items() for one in range(1, made + 1))
    assert len(found["events"]) == len(set(found["events"])) == WEEK // EVENTS_EVERY
    assert len(found["samples"]) == len(set(found["samples"])) == WEEK // SAMPLES_EVERY
    assert device.spool.report().dropped == 0


def test_of_a_week_that_does_not_fit_the_newest_arrive_and_the_rest_is_counted(tmp_path: Path, no_syncs: None) -> None:
    device = Device(tmp_path / "spool", 1024 * 1024)
    device.lives_a_week()
    before: SpoolReport = device.spool.report()
    assert before.size_bytes <= 1024 * 1024
    assert before.dropped > 0
    assert before.records + before.dropped == WEEK
    assert "spool-full" in [one.code for one in device.spool.troubles()]
    found = arrives(device, tmp_path)
    made: list[Any] = [(boot, one) for boot, count in device.made.items() for one in range(1, count + 1)]
    assert found[TABLE] == sorted(made[before.dropped :])
    assert msgspec.to_builtins(device.spool.report().lanes["windows"].dropped) == {"spool-full": before.dropped}
    told = device.spool.report().lanes["samples"].dropped["spool-full"]
    assert 0 < len(found["samples"]) == len(set(found["samples"])) == WEEK // SAMPLES_EVERY - told
