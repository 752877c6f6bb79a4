"""What is read again and again is kept in bounded memory, for as long as somebody asks for it."""

from datetime import timedelta

import pytest
from sqlalchemy import delete

from cloud_hub.database import Database
from cloud_hub.devices.tables import Device
from cloud_hub.monitoring import store
from cloud_hub.monitoring.reader import EvidenceReader
from cloud_hub.monitoring.store import Arrived
from cloud_hub.monitoring.tables import TelemetryWindow
from cloud_hub.monitoring.witnessed import Witnessed
from tests.fakes.lake import NOW, window

DEVICES, PERIODS = 40, 6
SINCE = NOW - timedelta(minutes=5)


@pytest.fixture
def telemetry(database: Database) -> Database:
    """So many devices in so many periods."""
    with database.session() as session:
        store.insert(
            session,
            [
                Arrived(f"gateway-{number}", "b0", at, window(period + 1, started_at=at))
                for period in range(PERIODS)
                for at in [NOW - timedelta(seconds=200 - 10 * period)]
                for number in range(DEVICES)
            ],
        )
    return database


def test_a_rare_target_has_its_own_devices_among_those_that_are_kept_apart(telemetry: Database) -> None:
    with telemetry.session() as session:
        session.add_all(
            Device(id=f"gateway-{n}", fleet="default", target="rare" if n < 3 else "common", key="k", joined_at=NOW)
            for n in range(DEVICES - 1)
        )
    with telemetry.reading() as session:
        shown = EvidenceReader().evidence(session, "digits", SINCE, version=1, apart=8)
    assert {f"gateway-{n}" for n in range(3)} <= shown.sample.names
    assert len(shown.sample.names - shown.sample.for_target_alone) == 8
    # Nor is what a device showed forgotten with the device.
    assert shown.records == 10 * DEVICES * PERIODS


def read(reader: EvidenceReader, database: Database, of: str) -> Witnessed:
    with database.reading() as session:
        return reader.evidence(session, "digits", SINCE, version=1, of=of)


def apart(shown: Witnessed) -> int:
    return max((evidence.devices for evidence in shown.periods.shown.values()), default=0)


def test_many_rollouts_together_take_no_more_than_is_allowed_and_every_record_counts(telemetry: Database) -> None:
    one = EvidenceReader()
    assert apart(read(one, telemetry, "r0")) == DEVICES
    reader = EvidenceReader(most_bytes=5 * one.size_bytes)
    for _ in range(2):
        for number in range(10):
            shown = read(reader, telemetry, f"r{number}")
            assert (shown.records, shown.devices) == (10 * DEVICES * PERIODS, DEVICES)
            assert reader.size_bytes <= 5 * one.size_bytes
    # Whose devices are fewer now are all still read on with, and none anew.
    assert 0 < min(apart(read(reader, telemetry, f"r{number}")) for number in range(10)) < DEVICES


def test_a_reading_that_was_narrowed_is_read_on_with_and_not_anew(telemetry: Database) -> None:
    size = EvidenceReader()
    read(size, telemetry, "r0")
    reader = EvidenceReader(most_bytes=size.size_bytes * 3 // 2)
    for name in ("r0", "r1"):
        read(reader, telemetry, name)
    with telemetry.session() as session:
        session.execute(delete(TelemetryWindow))
    assert read(reader, telemetry, "r0").records == 10 * DEVICES * PERIODS


def test_what_is_over_takes_nothing_at_once(telemetry: Database) -> None:
    reader = EvidenceReader()
    for name in ("r0", "r1"):
        read(reader, telemetry, name)
    both = reader.size_bytes
    reader.keep({"r1"})
    assert reader.size_bytes == both // 2
    reader.keep(())
    assert reader.size_bytes == 0
    assert read(reader, telemetry, "r0").records == 10 * DEVICES * PERIODS


def test_who_is_read_for_has_one_reading_of_a_kind(telemetry: Database) -> None:
    reader = EvidenceReader()
    once = read(reader, telemetry, "r0")
    size = reader.size_bytes
    with telemetry.reading() as session:
        later = reader.evidence(session, "digits", SINCE, version=1, of="r0", cut_from=NOW - timedelta(minutes=4))
    assert (later.records, reader.size_bytes) == (once.records, size)


def test_however_many_rollouts_run_none_is_read_anew_at_the_next_look(
    telemetry: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_hub.monitoring.reader._READINGS", 4)
    reader = EvidenceReader()
    for number in range(6):
        read(reader, telemetry, f"r{number}")
    with telemetry.session() as session:
        session.execute(delete(TelemetryWindow))
    for number in range(6):
        assert read(reader, telemetry, f"r{number}").records == 10 * DEVICES * PERIODS


def test_what_nobody_owns_is_bounded_by_number(telemetry: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud_hub.monitoring.reader._READINGS", 2)
    sizes = []
    reader = EvidenceReader()
    with telemetry.reading() as session:
        for minute in range(4):
            reader.evidence(session, "digits", SINCE - timedelta(minutes=10 * minute), version=1)
            sizes.append(reader.size_bytes)
    assert sizes[0] < sizes[1]
    assert max(sizes) < 3 * sizes[0]
