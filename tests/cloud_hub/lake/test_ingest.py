"""From a message to its rows and its ack: once, in order, and only when safe."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from cloud_hub.changes import Changes
from cloud_hub.database import Database
from cloud_hub.devices.tables import Device, DeviceLabel
from cloud_hub.lake import lanes
from cloud_hub.lake.ingest import Ingest, Pace
from cloud_hub.lake.location import Location
from cloud_hub.lake.table import MARKS_KEPT, LakeTable, LakeUnavailable
from cloud_hub.monitoring import store
from cloud_hub.monitoring.tables import TelemetryWindow
from cloud_hub.refusals import Refusals
from fleet_contract.errors import ContractError, DeviceWrong, Undecodable
from fleet_contract.telemetry import Ack, Batch, Event, Lane, batch_of, channel_of, encode_batch, fingerprint
from fleet_contract.topics import Address, Channel
from tests.fakes.clock import StoppedClock
from tests.fakes.lake import NOW, rows, sample, window
from tests.fakes.link import RecordingLink

ADDRESS = Address("default", "gateway-1")
QUICK = Pace(linger_seconds=0.02)
Open = Callable[[Location], LakeTable]


def message(after: int, *sequences: int, device: str = "gateway-1", boot: str = "b0", **changes: object) -> bytes:
    return encode_batch(Batch(device, boot, after, tuple(window(one, **changes) for one in sequences)))  # type: ignore[arg-type]  # as `window`


class Hub:
    """An ingest and what it stands on; `restart` is a new process on the same lake and database."""

    def __init__(self, location: Location, database: Database, clock: StoppedClock) -> None:
        self.location, self.database, self.clock = location, database, clock
        self.link, self.changes, self.refusals = RecordingLink(), Changes(), Refusals(clock)
        self.ingests: list[Ingest] = []

    def start(self, pace: Pace = QUICK) -> Ingest:
        ingest = Ingest(self.location, self.database, self.link, self.changes, self.refusals, self.clock, pace)
        self.ingests.append(ingest)
        ingest.start()
        return ingest

    def windows_in_database(self) -> int:
        with self.database.reading() as session:
            return session.execute(select(func.count()).select_from(TelemetryWindow)).scalar_one()


@pytest.fixture
def hub(folder: Location, database: Database, clock: StoppedClock) -> Iterator[Hub]:
    clock.now = NOW
    hub = Hub(folder, database, clock)
    yield hub
    for ingest in hub.ingests:
        ingest.stop()


def lake(hub: Hub, open_table: Open) -> list[tuple[str, int]]:
    table = open_table(hub.location).dataset().to_table(columns=["device", "sequence"])
    return sorted(zip(table.column("device").to_pylist(), table.column("sequence").to_pylist(), strict=True))


def test_a_batch_is_in_lake_and_database_when_its_ack_goes_out(hub: Hub, open_table: Open) -> None:
    hub.start().offer(ADDRESS, message(0, 1, 2, 3))
    assert hub.link.wait_for_acks(1) == [Ack("gateway-1", "b0", 3)]
    assert hub.link.published[0][0] == ADDRESS
    assert lake(hub, open_table) == [("gateway-1", 1), ("gateway-1", 2), ("gateway-1", 3)]
    assert hub.windows_in_database() == 3


def test_what_a_shadow_did_is_in_the_lake_and_is_evidence_of_the_shadow_alone(hub: Hub, open_table: Open) -> None:
    hub.start().offer(ADDRESS, message(0, 1, 2, slot="shadow", compared=9, agreed=7))
    hub.link.wait_for_acks(1)
    table = open_table(hub.location).dataset().to_table(columns=["slot", "compared", "agreed"])
    assert table.to_pylist() == [{"slot": "shadow", "compared": 9, "agreed": 7}] * 2
    long_ago = NOW - timedelta(days=1)
    with hub.database.reading() as session:
        answering, shadow = (
            store.evidence(session, "digits", long_ago, slot=slot).total for slot in ("default", "shadow")
        )
    assert answering.records == 0
    assert (shadow.compared, shadow.agreed) == (18, 14)


def test_what_nobody_knows_of_memory_and_temperature_is_null_in_the_lake(hub: Hub, open_table: Open) -> None:
    said: dict[str, object] = {"memory_bytes": 90_000_000, "temperature_c": 61.4, "labelled": 8, "correct": 6}
    ingest = hub.start()
    ingest.offer(ADDRESS, message(0, 1, **said))
    hub.link.wait_for_acks(1)
    ingest.offer(ADDRESS, message(1, 2))
    hub.link.wait_for_acks(2)
    table = open_table(hub.location).dataset().to_table(columns=["sequence", *said])
    first, second = sorted(table.to_pylist(), key=lambda row: row["sequence"])
    assert first == {"sequence": 1, **said}
    assert second == {"sequence": 2, "memory_bytes": None, "temperature_c": None, "labelled": 0, "correct": 0}


def test_it_works_the_same_on_s3(s3: Any, database: Database, clock: StoppedClock, open_table: Open) -> None:
    clock.now = NOW
    hub = Hub(Location.of(f"{s3.url}/lake", "windows", s3.endpoint), database, clock)
    ingest = hub.start()
    ingest.offer(ADDRESS, message(0, 1, 2))
    hub.link.wait_for_acks(1)
    ingest.stop()
    again = hub.start()
    again.offer(ADDRESS, message(0, 1, 2, 3))
    assert hub.link.wait_for_acks(2)[-1] == Ack("gateway-1", "b0", 3)
    again.stop()
    assert lake(hub, open_table) == [("gateway-1", 1), ("gateway-1", 2), ("gateway-1", 3)]


def test_a_repeat_is_acked_again_and_not_written_again(hub: Hub, open_table: Open) -> None:
    ingest = hub.start()
    for count in (1, 2):
        ingest.offer(ADDRESS, message(0, 1, 2))
        assert hub.link.wait_for_acks(count)[-1] == Ack("gateway-1", "b0", 2)
    assert len(lake(hub, open_table)) == 2
    assert (ingest.counts.taken, ingest.counts.repeats) == (2, 1)


def test_what_follows_a_missing_batch_is_answered_with_the_mark(hub: Hub, open_table: Open) -> None:
    ingest = hub.start()
    ingest.offer(ADDRESS, message(0, 1, 2))
    hub.link.wait_for_acks(1)
    ingest.offer(ADDRESS, message(5, 6, 7))
    assert hub.link.wait_for_acks(2)[-1] == Ack("gateway-1", "b0", 2)
    ingest.offer(ADDRESS, message(2, 3, 4, 5, 6, 7))
    assert hub.link.wait_for_acks(3)[-1] == Ack("gateway-1", "b0", 7)
    assert [sequence for _, sequence in lake(hub, open_table)] == [1, 2, 3, 4, 5, 6, 7]


def test_a_new_process_knows_what_the_lake_has(hub: Hub, open_table: Open) -> None:
    first = hub.start()
    first.offer(ADDRESS, message(0, 1, 2))
    hub.link.wait_for_acks(1)
    first.stop()
    hub.start().offer(ADDRESS, message(0, 1, 2, 3))
    assert hub.link.wait_for_acks(2)[-1] == Ack("gateway-1", "b0", 3)
    assert [sequence for _, sequence in lake(hub, open_table)] == [1, 2, 3]


def test_two_hubs_on_one_lake_write_each_window_once(hub: Hub, open_table: Open) -> None:
    one, other = hub.start(), hub.start()
    for after in range(0, 60, 3):
        batch = message(after, after + 1, after + 2, after + 3)
        threads = [threading.Thread(target=ingest.offer, args=(ADDRESS, batch)) for ingest in (one, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    hub.link.wait_for_acks(2)
    for ingest in (one, other):
        ingest.offer(ADDRESS, message(0, *range(1, 61)))
    _wait_for(lambda: Ack("gateway-1", "b0", 60) in hub.link.acks())
    assert [sequence for _, sequence in lake(hub, open_table)] == list(range(1, 61))
    assert hub.windows_in_database() == 60


def test_many_devices_share_a_commit(hub: Hub) -> None:
    ingest = hub.start(Pace(linger_seconds=0.5))
    for number in range(20):
        device = f"gateway-{number}"
        ingest.offer(Address("default", device), message(0, 1, 2, device=device))
    hub.link.wait_for_acks(20)
    assert ingest.counts.commits <= 2


def test_rows_carry_what_the_hub_knows_of_the_device(hub: Hub, open_table: Open) -> None:
    with hub.database.session() as session:
        session.add(Device(id="gateway-1", fleet="default", target="cpu-avx2", key="k", joined_at=NOW))
        session.flush()
        session.add(DeviceLabel(device="gateway-1", key="site", value="north"))
    hub.start().offer(ADDRESS, message(0, 1))
    hub.link.wait_for_acks(1)
    (row,) = open_table(hub.location).dataset().to_table().to_pylist()
    assert (row["fleet"], row["target"], row["labels"]) == ("default", "cpu-avx2", [("site", "north")])


def test_rubbish_is_refused_where_it_comes_in_and_its_sender_is_told(hub: Hub) -> None:
    with pytest.raises(Undecodable):
        hub.start().offer(ADDRESS, b"rubbish")
    (answer,) = hub.link.turned_down()
    assert (answer.device, answer.batch) == ("gateway-1", fingerprint(b"rubbish"))
    assert answer.refused is not None
    assert answer.refused.code == "undecodable"


AT_MS = int(NOW.timestamp() * 1000)
#: What devices send in each lane, and what of it is in the lane's table then.
SENT = {
    Lane.WINDOWS: (
        (window(1), window(2, version=2)),
        [{"model": "digits", "version": 1, "started_at": NOW}, {"model": "digits", "version": 2, "started_at": NOW}],
    ),
    Lane.EVENTS: (
        (
            Event(1, AT_MS, "started", "started", "Agent 0.1.0 started."),
            Event(2, AT_MS, "phase", "on-trial", "It proves itself.", "digits", "default", 3, "trial", "r-1"),
        ),
        [
            {"kind": "started", "model": None, "version": None, "at": NOW},
            {"kind": "phase", "model": "digits", "version": 3, "at": NOW},
        ],
    ),
    Lane.SAMPLES: (
        (
            sample(1),
            sample(2, reason="disagreement", label="7", confidence=0.5, margin=0.25, beside="1", beside_version=2),
        ),
        [
            {"reason": "random", "capture": "cd" * 32, "size_bytes": 1_204, "captured_at": NOW, "version": 1}
            | dict.fromkeys(("label", "confidence", "margin", "beside", "beside_version")),
            {"reason": "disagreement", "label": "7", "confidence": 0.5, "margin": 0.25}
            | {"beside": "1", "beside_version": 2},
        ],
    ),
}


def offer(ingest: Ingest, lane: Lane, after: int = 0) -> bytes:
    """Sends the lane's records after sequence `after`, as a device does."""
    records = tuple(one for one in SENT[lane][0] if one.sequence > after)
    payload = encode_batch(batch_of("gateway-1", "b0", after, lane, records))
    ingest.offer(ADDRESS, payload, channel_of(lane))
    return payload


def in_lake(hub: Hub, lane: Lane) -> list[dict[str, Any]]:
    """The rows of the lane's table, as another process would read them."""
    name, schema = lanes.TABLES[lane]
    table = LakeTable(hub.location.beside(name), schema, "day").dataset().to_table()
    return sorted(table.to_pylist(), key=lambda row: row["sequence"])


@pytest.mark.parametrize("lane", Lane)
def test_a_lanes_records_are_in_its_table_once_and_acked_in_the_lane_though_a_hub_ends(hub: Hub, lane: Lane) -> None:
    ingest = hub.start()
    for other in Lane:
        offer(ingest, other)
    hub.link.wait_for_acks(3)
    offer(ingest, lane)
    hub.link.wait_for_acks(4)
    _wait_for(lambda: ingest.counts.repeats == 1)
    ingest.stop()
    # A new process knows what the lake has only from the lake.
    offer(hub.start(), lane, after=1)
    assert hub.link.wait_for_acks(5)[-1] == Ack("gateway-1", "b0", 2, lane)
    found = in_lake(hub, lane)
    assert [(row["device"], row["boot"], row["sequence"], row["fleet"]) for row in found] == [
        ("gateway-1", "b0", sequence, "default") for sequence in (1, 2)
    ]
    for row, expected in zip(found, SENT[lane][1], strict=True):
        assert {name: row[name] for name in expected} == expected


@pytest.mark.parametrize("lane", Lane)
def test_a_lanes_marks_say_nothing_of_another_lane(hub: Hub, lane: Lane) -> None:
    ingest = hub.start()
    for other in Lane:
        if other is not lane:
            offer(ingest, other)
    hub.link.wait_for_acks(2)
    offer(ingest, lane, after=1)
    assert hub.link.wait_for_acks(3)[-1] == Ack("gateway-1", "b0", 0, lane), "the first is missing"
    assert in_lake(hub, lane) == []


def test_samples_on_the_channel_of_windows_are_refused_and_their_sender_is_told(hub: Hub) -> None:
    payload = encode_batch(batch_of("gateway-1", "b0", 0, Lane.SAMPLES, SENT[Lane.SAMPLES][0]))
    with pytest.raises(ContractError, match="samples on up/telemetry"):
        hub.start().offer(ADDRESS, payload, Channel.TELEMETRY)
    (answer,) = hub.link.turned_down()
    assert answer.batch == fingerprint(payload)
    assert answer.refused is not None
    assert answer.refused.code == "telemetry-wrong"


def test_samples_are_no_evidence_and_no_windows_of_the_database(hub: Hub) -> None:
    offer(hub.start(), Lane.SAMPLES)
    hub.link.wait_for_acks(1)
    assert hub.windows_in_database() == 0


def test_upkeep_merges_the_files_of_samples_too(hub: Hub) -> None:
    ingest = hub.start(Pace(linger_seconds=0, compact_seconds=0.5))
    for after in range(6):
        batch = Batch("gateway-1", "b0", after, samples=(sample(after + 1),), lane=Lane.SAMPLES)
        ingest.offer(ADDRESS, encode_batch(batch), Channel.SAMPLES)
        hub.link.wait_for_acks(after + 1)
    name, schema = lanes.TABLES[Lane.SAMPLES]
    _wait_for(lambda: LakeTable(hub.location.beside(name), schema, "day").size().files == 1)
    assert [row["sequence"] for row in in_lake(hub, Lane.SAMPLES)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(("lane", "rows_of"), [(Lane.EVENTS, "event_rows"), (Lane.SAMPLES, "sample_rows")])
def test_records_that_cannot_be_stored_hold_up_no_windows(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, lane: Lane, rows_of: str
) -> None:
    def broken(*_: object) -> pa.Table:
        raise ValueError("poison")

    monkeypatch.setattr(lanes, rows_of, broken)
    ingest = hub.start(Pace(linger_seconds=0.2))
    payload = offer(ingest, lane)
    ingest.offer(ADDRESS, message(0, 1))
    assert hub.link.wait_for_acks(1)[0] == Ack("gateway-1", "b0", 1)
    _wait_for(hub.link.turned_down)
    (answer,) = hub.link.turned_down()
    assert answer.batch == fingerprint(payload)
    assert answer.refused is not None
    assert answer.refused.code == "telemetry-unusable"


def test_a_batch_that_claims_another_device_is_refused(hub: Hub) -> None:
    with pytest.raises(DeviceWrong, match="gateway-1 sent a batch of telemetry that claims to be gateway-2's"):
        hub.start().offer(ADDRESS, message(0, 1, device="gateway-2"))


def test_with_no_room_left_a_batch_is_turned_away_and_taken_when_it_comes_again(hub: Hub, open_table: Open) -> None:
    ingest = Ingest(
        hub.location, hub.database, hub.link, hub.changes, hub.refusals, hub.clock, Pace(capacity=4, linger_seconds=0)
    )
    hub.ingests.append(ingest)
    ingest.offer(ADDRESS, message(0, 1, 2, 3))
    ingest.offer(ADDRESS, message(3, 4, 5))
    assert [trouble.code for trouble in ingest.troubles()] == ["ingest-behind"]
    (put_off,) = hub.link.turned_down()
    assert put_off.batch == fingerprint(message(3, 4, 5))
    assert put_off.wait_seconds >= 2
    assert put_off.refused is None
    ingest.start()
    hub.link.wait_for_acks(1)
    ingest.offer(ADDRESS, message(3, 4, 5))
    assert hub.link.wait_for_acks(2)[-1] == Ack("gateway-1", "b0", 5)
    assert ingest.counts.turned_away == 1
    assert len(lake(hub, open_table)) == 5


def test_a_batch_that_comes_again_while_it_waits_takes_no_more_room(hub: Hub, open_table: Open) -> None:
    ingest = Ingest(
        hub.location, hub.database, hub.link, hub.changes, hub.refusals, hub.clock, Pace(capacity=4, linger_seconds=0)
    )
    hub.ingests.append(ingest)
    for _ in range(5):
        ingest.offer(ADDRESS, message(0, 1, 2, 3))
    assert hub.link.turned_down() == []
    ingest.start()
    assert hub.link.wait_for_acks(1) == [Ack("gateway-1", "b0", 3)]
    ingest.offer(ADDRESS, message(0, 1, 2, 3))
    hub.link.wait_for_acks(2)
    assert (ingest.counts.taken, ingest.counts.repeats) == (3, 1)
    assert len(lake(hub, open_table)) == 3


def test_while_the_lake_is_away_nothing_is_acked_and_health_says_so(
    hub: Hub, open_table: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = threading.Event()
    away.set()
    append = LakeTable.append

    def failing(table: LakeTable, rows: pa.Table, marks: Any, seen: int, now: datetime) -> int:
        if away.is_set():
            raise LakeUnavailable("The lake at /data/lake cannot be written: no space left on device.")
        return append(table, rows, marks, seen, now)

    monkeypatch.setattr(LakeTable, "append", failing)
    ingest = hub.start()
    ingest.offer(ADDRESS, message(0, 1))
    _wait_for(lambda: [one.code for one in ingest.troubles()] == ["lake-unavailable"])
    assert "no space left" in ingest.troubles()[0].sentence
    assert hub.link.acks() == []
    away.clear()
    assert hub.link.wait_for_acks(1) == [Ack("gateway-1", "b0", 1)]
    assert ingest.troubles() == []
    assert lake(hub, open_table) == [("gateway-1", 1)]
    assert hub.windows_in_database() == 1


def test_a_commit_that_landed_though_it_seemed_to_fail_is_not_repeated(
    hub: Hub, open_table: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, failed = LakeTable.append, []

    def lands_then_fails(table: LakeTable, rows: pa.Table, marks: Any, seen: int, now: datetime) -> int:
        version = append(table, rows, marks, seen, now)
        if not failed:
            failed.append(True)
            raise LakeUnavailable("The answer got lost.")
        return version

    monkeypatch.setattr(LakeTable, "append", lands_then_fails)
    hub.start().offer(ADDRESS, message(0, 1, 2))
    assert hub.link.wait_for_acks(1) == [Ack("gateway-1", "b0", 2)]
    assert len(lake(hub, open_table)) == 2


def test_a_database_that_is_away_holds_acks_back_too(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    insert, failures = store.insert, [1, 2]

    def failing(session: Any, arrived: Any) -> int:
        if failures:
            failures.pop()
            raise OperationalError("INSERT", {}, Exception("database is locked"))
        return insert(session, arrived)

    monkeypatch.setattr(store, "insert", failing)
    ingest = hub.start()
    ingest.offer(ADDRESS, message(0, 1))
    _wait_for(lambda: [one.code for one in ingest.troubles()] == ["database-unavailable"])
    assert hub.link.wait_for_acks(1) == [Ack("gateway-1", "b0", 1)]


def test_a_batch_that_no_store_can_take_is_refused_and_holds_up_no_other(
    hub: Hub, open_table: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = store.insert

    def poisoned(session: Any, arrived: Any) -> int:
        if any(one.device == "gateway-9" for one in arrived):
            raise ValueError("poison")
        return insert(session, arrived)

    monkeypatch.setattr(store, "insert", poisoned)
    ingest = hub.start(Pace(linger_seconds=0.2))
    ingest.offer(ADDRESS, message(0, 1))
    ingest.offer(Address("default", "gateway-9"), message(0, 1, device="gateway-9"))
    ingest.offer(Address("default", "gateway-2"), message(0, 1, device="gateway-2"))
    assert {ack.device for ack in hub.link.wait_for_acks(2)} == {"gateway-1", "gateway-2"}
    assert lake(hub, open_table) == [("gateway-1", 1), ("gateway-2", 1)]
    assert hub.refusals.counts == {"telemetry-unusable": 1}
    assert hub.refusals.last is not None
    assert hub.refusals.last.device == "gateway-9"
    (answer,) = hub.link.turned_down()
    assert (answer.device, answer.batch) == ("gateway-9", fingerprint(message(0, 1, device="gateway-9")))
    assert answer.refused is not None


def test_a_boot_whose_mark_has_expired_is_asked_of_the_rows(hub: Hub, open_table: Open) -> None:
    table = open_table(hub.location)
    long_ago = NOW - MARKS_KEPT - timedelta(days=5)
    seen, _ = table.marks()
    # As the log is once the mark has gone from it: the rows are there, and no mark.
    table.append(rows(1, 2, 3, now=long_ago), {}, seen, long_ago)
    hub.start().offer(ADDRESS, message(0, 2, 3, 4, started_at=long_ago))
    assert hub.link.wait_for_acks(1) == [Ack("gateway-1", "b0", 4)]
    assert [sequence for _, sequence in lake(hub, open_table)] == [1, 2, 3, 4]


def test_listeners_hear_of_new_telemetry_and_not_of_repeats(hub: Hub) -> None:
    ingest = hub.start()
    with hub.changes.listener("telemetry") as listener:
        ingest.offer(ADDRESS, message(0, 1))
        hub.link.wait_for_acks(1)
        assert listener.wait(5) == {"telemetry"}
        ingest.offer(ADDRESS, message(0, 1))
        hub.link.wait_for_acks(2)
        assert listener.take() == set()


def test_upkeep_merges_files_and_forgets_old_windows_while_ingest_goes_on(hub: Hub, open_table: Open) -> None:
    ingest = hub.start(Pace(linger_seconds=0, compact_seconds=0.5, clean_seconds=0.5))
    for after in range(6):
        ingest.offer(ADDRESS, message(after, after + 1))
        hub.link.wait_for_acks(after + 1)
    _wait_for(lambda: open_table(hub.location).size().files == 1)
    hub.clock.now += store.KEPT + timedelta(seconds=1)
    _wait_for(lambda: hub.windows_in_database() == 1)
    ingest.offer(ADDRESS, message(6, 7))
    assert hub.link.wait_for_acks(7)[-1] == Ack("gateway-1", "b0", 7)
    assert [sequence for _, sequence in lake(hub, open_table)] == [1, 2, 3, 4, 5, 6, 7]


def test_upkeep_that_fails_is_a_trouble_and_stops_nothing(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_table: LakeTable) -> int:
        raise LakeUnavailable("The lake at /data/lake cannot be compacted: no space left on device.")

    monkeypatch.setattr(LakeTable, "compact", failing)
    ingest = hub.start(Pace(linger_seconds=0, compact_seconds=0.2))
    ingest.offer(ADDRESS, message(0, 1))
    _wait_for(lambda: [one.code for one in ingest.troubles()] == ["lake-upkeep"])
    ingest.offer(ADDRESS, message(1, 2))
    assert hub.link.wait_for_acks(2)[-1] == Ack("gateway-1", "b0", 2)


def test_stopping_does_not_wait_for_a_lake_that_is_away(tmp_path: Path, hub: Hub) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    hub.location = Location.of(str(in_the_way), "windows")
    ingest = hub.start()
    ingest.offer(ADDRESS, message(0, 1))
    _wait_for(lambda: bool(ingest.troubles()))
    ingest.stop()
    assert hub.link.acks() == []


def _wait_for(condition: Callable[[], bool], timeout_seconds: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
