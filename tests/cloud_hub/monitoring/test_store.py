"""A window counts once, whatever is written again, and whoever writes; on SQLite and on PostgreSQL."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from cloud_hub.database import Database, clock_ahead
from cloud_hub.monitoring import store
from cloud_hub.monitoring.evidence import memory_of
from cloud_hub.monitoring.reader import EvidenceReader
from cloud_hub.monitoring.store import CLOCK_AHEAD, SETTLED_AFTER, Arrived
from cloud_hub.monitoring.tables import TelemetrySlice, TelemetryWindow
from cloud_hub.monitoring.witnessed import Witnessed
from tests.fakes.lake import NOW, window

MINUTE = timedelta(minutes=1)


def arrived(
    *sequences: int,
    device: str = "gateway-1",
    at: datetime = NOW,
    ingested_at: datetime | None = None,
    **changes: object,
) -> list[Arrived]:
    return [Arrived(device, "b0", ingested_at or at, window(one, started_at=at, **changes)) for one in sequences]


def now(off: timedelta) -> datetime:
    """What a clock says that is off by so much."""
    return datetime.now(UTC) + off


def insert(database: Database, windows: Sequence[Arrived]) -> int:
    with database.session() as session:
        return store.insert(session, windows)


def clear(database: Database) -> None:
    with database.session() as session:
        session.execute(delete(TelemetryWindow))
        session.execute(delete(TelemetrySlice))


def evidence(
    database: Database, since: datetime = NOW - MINUTE, version: int | None = None, not_version: int | None = None
) -> Witnessed:
    with database.reading() as session:
        return store.evidence(session, "digits", since, version=version, not_version=not_version)


def test_what_is_written_is_evidence(database: Database) -> None:
    assert insert(database, arrived(1, 2)) == 2
    found = evidence(database)
    assert (found.devices, found.records, found.total.errors) == (1, 20, 2)
    assert found.total.latency == {100: 12, 120: 8}
    assert found.total.predictions == {"3": 14, "8": 6}
    assert found.total.error_codes == {"output-shape": 2}
    assert list(found.confidence.values()) == [(0, 8, 12)]


def test_what_windows_say_of_features_labels_memory_and_temperature_is_evidence(database: Database) -> None:
    said = {"memory_bytes": 1 << 26, "temperature_c": 61.4, "labelled": 8, "correct": 6}
    insert(database, [*arrived(1, 2, **said), *arrived(3)])
    total = evidence(database).total
    assert [counts for (_, name), counts in total.features.items() if name == "image.mean"] == [(3, 27)]
    assert (total.labelled, total.correct) == (16, 12)
    assert [memory_of(bucket) for bucket in total.memory] == [1 << 26], "who does not know it says nothing of it"
    assert total.temperature == {61: 2}


def test_what_is_written_again_counts_once(database: Database) -> None:
    insert(database, arrived(1, 2))
    assert insert(database, arrived(2, 3, 3)) == 1
    assert evidence(database).total.windows == 3
    with database.reading() as session:
        (slice_,) = store.slices(session, "digits", NOW, NOW + MINUTE)
    assert slice_.tally.records == 30


def test_nothing_written_is_nothing_shown(database: Database) -> None:
    assert insert(database, []) == 0
    assert evidence(database) == Witnessed()


def test_more_windows_than_one_statement_takes(database: Database) -> None:
    windows = [one for device in range(3) for one in arrived(*range(1, 501), device=f"gateway-{device}")]
    assert insert(database, windows) == 1500
    assert evidence(database).total.windows == 1500


def test_evidence_is_of_one_version_or_of_all_others(database: Database) -> None:
    insert(database, [*arrived(1, 2), *arrived(3, version=2), *arrived(1, device="gateway-2", version=3)])
    insert(database, arrived(9, model="faces"))
    assert evidence(database, version=2).total.windows == 1
    assert evidence(database, not_version=2).total.windows == 3
    assert evidence(database).total.windows == 4


def test_evidence_starts_with_windows_that_started_since(database: Database) -> None:
    insert(database, [*arrived(1, at=NOW - MINUTE), *arrived(2, at=NOW)])
    assert evidence(database, since=NOW).total.windows == 1
    assert evidence(database, since=NOW - MINUTE).total.windows == 2


def test_two_writers_of_the_same_windows_write_them_once(database: Database) -> None:
    windows = [one for device in range(4) for one in arrived(*range(1, 51), device=f"gateway-{device}")]
    written: list[int] = []
    orders = (windows, list(reversed(windows)), windows[50:] + windows[:50])
    threads = [
        threading.Thread(target=lambda order=order: written.append(insert(database, order)))  # type: ignore[misc]  # mypy cannot type a default of a lambda
        for order in orders
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(written) == 200
    with database.reading() as session:
        slices = store.slices(session, "digits", NOW - MINUTE, NOW + MINUTE)
    assert sum(one.tally.records for one in slices) == 2000


def test_slices_hold_ten_seconds_of_one_version(database: Database) -> None:
    later = NOW + timedelta(seconds=10)
    insert(database, [*arrived(1, at=NOW), *arrived(2, at=later, version=2), *arrived(3, at=later)])
    with database.reading() as session:
        slices = store.slices(session, "digits", NOW, NOW + MINUTE)
    assert [(one.version, one.started_at_ms // 1000) for one in slices] == [
        (1, int(NOW.timestamp())),
        (1, int(later.timestamp())),
        (2, int(later.timestamp())),
    ]


def test_a_devices_slices_are_its_own(database: Database) -> None:
    insert(database, [*arrived(1, 2), *arrived(1, device="gateway-2")])
    with database.reading() as session:
        (own,) = store.device_slices(session, "gateway-1", "digits", NOW, NOW + MINUTE)
        (all_of,) = store.slices(session, "digits", NOW, NOW + MINUTE)
    assert (own.tally.records, all_of.tally.records) == (20, 30)


def test_a_device_whose_clock_is_ahead_leaves_no_slice_that_never_grows_old(database: Database) -> None:
    insert(database, arrived(1, at=NOW + timedelta(days=400), ingested_at=NOW))
    with database.reading() as session:
        assert store.slices(session, "digits", NOW, NOW + timedelta(days=500)) == []
    assert evidence(database).total.windows == 1


@pytest.mark.parametrize("ahead", [-2 * CLOCK_AHEAD, 2 * CLOCK_AHEAD])
def test_a_hub_whose_clock_is_wrong_takes_no_device_for_one_that_is_ahead_and_none_for_one_that_is_not(
    database: Database, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
) -> None:
    monkeypatch.setattr(store, "clock_ahead", lambda _session: ahead)
    insert(database, arrived(1, ingested_at=NOW + ahead))
    insert(database, arrived(2, at=NOW + CLOCK_AHEAD + MINUTE, ingested_at=NOW + ahead))
    with database.reading() as session:
        (found,) = store.slices(session, "digits", NOW - MINUTE, NOW + 3 * CLOCK_AHEAD)
    assert found.tally.records == 10


def test_what_is_old_is_forgotten(database: Database) -> None:
    insert(database, [*arrived(1, at=NOW - 3 * MINUTE), *arrived(2, at=NOW)])
    with database.session() as session:
        assert store.forget(session, NOW - MINUTE) == 1
    with database.reading() as session:
        assert len(store.slices(session, "digits", NOW - 5 * MINUTE, NOW + MINUTE)) == 1
    assert evidence(database, since=NOW - 5 * MINUTE).total.windows == 1


class TestReadingOn:
    """A reader that carries on finds what reading everything finds."""

    @pytest.fixture
    def reader(self) -> EvidenceReader:
        return EvidenceReader()

    def read(self, reader: EvidenceReader, database: Database) -> Witnessed:
        with database.reading() as session:
            return reader.evidence(session, "digits", NOW - MINUTE, version=1)

    def test_it_finds_what_has_come_since(self, reader: EvidenceReader, database: Database) -> None:
        assert self.read(reader, database).records == 0
        for count in range(1, 4):
            insert(database, arrived(count))
            assert self.read(reader, database).records == 10 * count

    @settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.permutations(range(1, 7)), st.sets(st.integers(1, 6)))
    def test_it_finds_windows_of_writers_that_were_slower_to_commit(
        self, database: Database, commits: list[int], looks: set[int]
    ) -> None:
        clear(database)
        insert(database, arrived(*range(1, 7)))
        with database.session() as session:
            numbered = [row.model_dump() for row in session.execute(select(TelemetryWindow)).scalars()]
            session.execute(delete(TelemetryWindow))
        reader = EvidenceReader()
        for committed, at in enumerate(commits, 1):
            with database.session() as session:
                session.execute(TelemetryWindow.__table__.insert(), [numbered[at - 1]])  # type: ignore[attr-defined]
            if committed in looks:
                assert self.read(reader, database) == evidence(database, version=1)
        assert self.read(reader, database).total.windows == 6

    @pytest.mark.parametrize("ahead", [-2 * SETTLED_AFTER, 2 * SETTLED_AFTER])
    def test_it_finds_windows_of_a_slower_hub_though_anothers_clock_is_wrong(
        self, reader: EvidenceReader, database: Database, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
    ) -> None:
        if database.is_sqlite:
            pytest.skip("all who have a file open are on one host, with one clock")
        # The first is written, and late to be committed; the second comes to the same hub, the third to another one.
        for sequence, clock in ((1, timedelta(0)), (2, timedelta(0)), (3, ahead)):
            with monkeypatch.context() as patched:
                patched.setattr(store, "clock_ahead", lambda session, off=clock: clock_ahead(session, lambda: now(off)))
                insert(database, arrived(sequence, ingested_at=now(clock)))
        with database.session() as session:
            numbered = [row.model_dump() for row in session.execute(select(TelemetryWindow)).scalars()]
            session.execute(delete(TelemetryWindow))
        for found, late in enumerate((1, 2, 0), 1):
            with database.session() as session:
                session.execute(TelemetryWindow.__table__.insert(), [numbered[late]])  # type: ignore[attr-defined]
            assert self.read(reader, database).total.windows == found

    def test_it_reads_no_window_twice(self, reader: EvidenceReader, database: Database) -> None:
        insert(database, arrived(1, 2))
        insert(database, arrived(3, ingested_at=NOW + 2 * SETTLED_AFTER))
        assert self.read(reader, database).total.windows == 3
        with database.session() as session:
            assert store.forget(session, NOW + SETTLED_AFTER) == 2
        insert(database, arrived(4, ingested_at=NOW + 3 * SETTLED_AFTER))
        assert self.read(reader, database).total.windows == 4

    def test_it_misses_nothing_once_all_that_it_read_is_forgotten(
        self, reader: EvidenceReader, database: Database
    ) -> None:
        insert(database, arrived(1, 2))
        insert(database, arrived(3, ingested_at=NOW + 2 * SETTLED_AFTER))
        assert self.read(reader, database).total.windows == 3
        with database.session() as session:
            store.forget(session, NOW + 100 * MINUTE)
        insert(database, arrived(4, 5, ingested_at=NOW + 101 * MINUTE))
        assert self.read(reader, database).total.windows == 5

    def test_what_was_made_of_evidence_serves_until_there_is_more(
        self, reader: EvidenceReader, database: Database
    ) -> None:
        insert(database, arrived(1, 2))
        before = self.read(reader, database)
        assert self.read(reader, database) is before
        insert(database, arrived(3, version=2))
        assert self.read(reader, database) is before

    def test_who_hears_nothing_does_not_look_through_all_that_others_said_again(self, database: Database) -> None:
        insert(database, arrived(1, 2))
        insert(database, arrived(3, 4, ingested_at=NOW + 2 * SETTLED_AFTER))
        with database.reading() as session:
            numbers = session.execute(select(TelemetryWindow.number).order_by("number")).scalars().all()
            silent = store.read_evidence(session, store.nothing_read(), "digits", NOW - MINUTE, 2, None)
        assert (silent.number, silent.evidence.records) == (numbers[1], 0)

    def test_it_keeps_questions_apart(self, reader: EvidenceReader, database: Database) -> None:
        insert(database, [*arrived(1, 2), *arrived(3, version=2)])
        with database.reading() as session:
            assert reader.evidence(session, "digits", NOW, version=1).total.windows == 2
            assert reader.evidence(session, "digits", NOW, not_version=1).total.windows == 1
            assert reader.evidence(session, "digits", NOW + MINUTE, version=1).total.windows == 0
            assert reader.evidence(session, "digits", NOW, version=1).total.windows == 2

    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(
            st.tuples(st.integers(1, 30), st.sampled_from(["gateway-1", "gateway-2"]), st.integers(0, 40)), max_size=30
        )
    )
    def test_it_always_agrees_with_reading_everything(
        self, database: Database, steps: list[tuple[int, str, int]]
    ) -> None:
        clear(database)
        reader, now = EvidenceReader(), NOW
        for sequence, device, seconds in steps:
            now += timedelta(seconds=seconds)
            insert(database, arrived(sequence, device=device, ingested_at=now))
            assert self.read(reader, database) == evidence(database, version=1)
