"""The way in: from a device's message to its rows in the lake, each exactly once, and only then its ack.

Of what came together, rows go into the database first (once more changes nothing there), then rows and marks into
the lake as one fact, then acks go out. A crash anywhere leaves devices without an ack; they send again, and the marks
tell what is new. So nothing is acked that is not durable, and nothing in this process has to survive.

Wiring: `Ingest(Location.of(lake_url, TABLE, endpoint_url), database, link, changes, refusals, now)`; `offer` is the
link's `on_telemetry`, and with the channel of samples its `on_samples`.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import msgspec
from sqlalchemy.exc import InterfaceError, OperationalError

from cloud_hub.broker.link import Link
from cloud_hub.changes import Changes
from cloud_hub.database import Database
from cloud_hub.errors import HubError
from cloud_hub.lake.admission import admit
from cloud_hub.lake.backpressure import Backpressure, offered
from cloud_hub.lake.inbox import Delivery, Inbox
from cloud_hub.lake.lanes import LaneTable, Source, began, lane_tables
from cloud_hub.lake.location import Location
from cloud_hub.lake.marks import Boot, plan
from cloud_hub.lake.rows import Origin
from cloud_hub.lake.store import origins
from cloud_hub.lake.table import LakeContested, LakeUnavailable
from cloud_hub.monitoring import store
from cloud_hub.monitoring.store import Arrived
from cloud_hub.refusals import Refusals
from fleet_contract.because import Because
from fleet_contract.encoding import encode
from fleet_contract.errors import ContractError, VedetteError
from fleet_contract.telemetry import Ack, Lane, Record, Window, fingerprint
from fleet_contract.topics import Address, Channel

_log = logging.getLogger(__name__)
_FIRST_RETRY_SECONDS = 0.5
_LONGEST_RETRY_SECONDS = 30.0
_REMEMBERED_SECONDS = 60.0
#: A lake that is far away may keep a commit waiting for minutes.
_STOP_SECONDS = 10.0


class TelemetryUnusable(HubError):
    """A batch that passed every check, and that the hub still could not store."""

    code = "telemetry-unusable"


@dataclass(frozen=True)
class Pace:
    """How much is done at once: records that may wait, records in one commit, and seconds between things."""

    capacity: int = 50_000
    round_windows: int = 5_000
    linger_seconds: float = 0.25
    compact_seconds: float = 300.0
    clean_seconds: float = 3600.0


@dataclass(frozen=True)
class IngestCounts:
    """Since the hub started: records `taken` into the lake, batches that were repeats, came after a gap, or found no
    room (`turned_away`), and commits."""

    taken: int = 0
    repeats: int = 0
    gaps: int = 0
    turned_away: int = 0
    commits: int = 0


class Ingest:
    """One thread beside the link's. `start` once, `stop` once."""

    def __init__(
        self,
        location: Location,
        database: Database,
        link: Link,
        changes: Changes,
        refusals: Refusals,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        pace: Pace | None = None,
    ) -> None:
        self._pace = pace or Pace()
        self._lanes = lane_tables(location)
        self._database = database
        self._link = link
        self._changes = changes
        self._refusals = refusals
        self._now = now
        self._inbox = Inbox(self._pace.capacity, self._pace.round_windows, self._pace.linger_seconds)
        self._turned_away: deque[float] = deque(maxlen=10_000)
        self._backpressure = Backpressure(time.monotonic())
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)
        self._trouble: Because | None = None
        self._upkeep_trouble: Because | None = None
        self.counts = IngestCounts()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends after the commit under way, if that does not take long: what was not acked will be sent again."""
        self._stopping.set()
        self._inbox.close()
        self._thread.join(_STOP_SECONDS)

    def offer(self, address: Address, payload: bytes, channel: Channel = Channel.TELEMETRY) -> None:
        """Takes a message that the device at `address` sent on `channel`. Raises `ContractError` when it may not come
        in; the device is told, for no repeat of it would be any better.

        With no room left the message is dropped and counted, and the device is told how long to stay away.
        """
        name = fingerprint(payload)
        if self._inbox.knows(address, name):
            return
        # Before it is unpacked, which is most of what it costs to turn a batch away.
        found_room = not self._inbox.full
        if found_room:
            try:
                batch = admit(address, payload, channel)
            except ContractError as error:
                self._refuse(address, name, error)
                raise
            found_room = self._inbox.put(Delivery(address, batch, name))
        self._backpressure = offered(self._backpressure, found_room=found_room, now=time.monotonic())
        if not found_room:
            self._turned_away.append(time.monotonic())
            self.counts = replace(self.counts, turned_away=self.counts.turned_away + 1)
            wait = round(self._backpressure.wait_seconds)
            self._answer(address, Ack(address.device, "", 0, batch=name, wait_seconds=wait))

    def troubles(self) -> list[Because]:
        """What is wrong now."""
        recent = sum(at > time.monotonic() - _REMEMBERED_SECONDS for at in tuple(self._turned_away))
        behind = Because(
            "ingest-behind",
            f"{recent} batches of telemetry were turned away in the last minute, for {self._inbox.windows} records "
            f"wait for the lake. Devices keep them and send them again.",
        )
        found = (self._trouble, self._upkeep_trouble, behind if recent else None)
        return [trouble for trouble in found if trouble is not None]

    def _run(self) -> None:
        now = time.monotonic()
        compacted, cleaned, compacted_commits = now, now, 0
        while not self._stopping.is_set():
            now = time.monotonic()
            if now >= compacted + self._pace.compact_seconds:
                if self.counts.commits > compacted_commits:
                    self._maintain(self._compact)
                compacted, compacted_commits = time.monotonic(), self.counts.commits
            if now >= cleaned + self._pace.clean_seconds:
                self._maintain(self._clean)
                cleaned = time.monotonic()
            due = min(compacted + self._pace.compact_seconds, cleaned + self._pace.clean_seconds)
            if deliveries := self._inbox.take(max(0.0, due - time.monotonic())):
                self._store(deliveries)

    def _store(self, deliveries: Sequence[Delivery]) -> None:
        """Tries until it is done or the hub stops."""
        delay = _FIRST_RETRY_SECONDS
        while not self._stopping.is_set():
            try:
                self._round(deliveries)
            except (LakeContested, LakeUnavailable, OperationalError, InterfaceError) as error:
                self._failing(error)
                self._stopping.wait(delay)
                delay = min(delay * 2, _LONGEST_RETRY_SECONDS)
            except Exception as error:  # noqa: BLE001  (nothing that a device sends may hold up the others)
                if len(deliveries) > 1:
                    for one in deliveries:
                        self._store([one])
                else:
                    one = deliveries[0]
                    _log.exception("A batch of %s cannot be stored", one.address.device)
                    unusable = TelemetryUnusable(f"The hub cannot store it: {error!r}.")
                    self._refusals.refuse(one.address, unusable)
                    self._refuse(one.address, one.fingerprint, unusable)
                return
            else:
                self._trouble = None
                return

    def _round(self, deliveries: Sequence[Delivery]) -> None:
        for lane, table in self._lanes.items():
            if mine := [one for one in deliveries if one.batch.lane is lane]:
                self._lane_round(lane, table, mine)

    def _lane_round(self, lane: Lane, table: LaneTable, deliveries: Sequence[Delivery]) -> None:
        now = self._now()
        addresses: dict[Boot, Address] = {}
        oldest: dict[Boot, datetime] = {}
        for one in deliveries:
            boot = Boot(one.batch.device, one.batch.boot)
            addresses[boot] = one.address
            oldest[boot] = min((oldest.get(boot, now), *map(began, one.batch.records)))
        round_ = plan(table.ledger.marks(oldest, now), (one.batch for one in deliveries))
        if round_.rows:
            known = self._into_database(round_.rows, now)
            sources = {boot: Source(addresses[boot], boot, known.get(boot.device, Origin())) for boot in round_.marks}
            rows = table.rows([(sources[boot], record) for boot, record in round_.rows], now)
            table.ledger.commit(rows, round_.marks, now)
        for boot, mark in round_.answers.items():
            self._answer(addresses[boot], Ack(boot.device, boot.boot, mark, lane.value))
        self.counts = replace(
            self.counts,
            taken=self.counts.taken + len(round_.rows),
            repeats=self.counts.repeats + round_.repeats,
            gaps=self.counts.gaps + round_.gaps,
            commits=self.counts.commits + bool(round_.rows),
        )
        if round_.rows:
            self._changes.bump("telemetry")

    def _into_database(self, rows: Sequence[tuple[Boot, Record]], now: datetime) -> dict[str, Origin]:
        """Keeps the windows for the gates, and gives what is known of the devices."""
        with self._database.session() as session:
            if arrived := [Arrived(*boot, now, record) for boot, record in rows if isinstance(record, Window)]:
                store.insert(session, arrived)
            return origins(session, sorted({boot.device for boot, _ in rows}))

    def _refuse(self, address: Address, batch: str, error: VedetteError) -> None:
        self._answer(address, Ack(address.device, "", 0, batch=batch, refused=error.because))

    def _answer(self, address: Address, answer: Ack) -> None:
        self._link.publish(address, Channel.ACK, encode(msgspec.structs.replace(answer, sent_at=self._now())))

    def _failing(self, error: Exception) -> None:
        match error:
            case LakeContested():
                _log.info("Another hub writes to the same lake: %s", error)
                return
            case LakeUnavailable():
                trouble = error.because
            case _:
                cause = getattr(error, "orig", None) or error
                trouble = Because("database-unavailable", f"Telemetry cannot be written to the database: {cause}.")
        if trouble != self._trouble:
            _log.error("Telemetry waits: %s", trouble)
        self._trouble = trouble

    def _maintain(self, work: Callable[[], str]) -> None:
        try:
            _log.info("%s", work())
        except (LakeContested, LakeUnavailable, OperationalError, InterfaceError) as error:
            # Only tidiness suffers; it is tried again at the next interval.
            _log.warning("Upkeep of the lake has to wait: %s", error)
            self._upkeep_trouble = Because("lake-upkeep", f"The lake could not be tidied up: {error}")
        else:
            self._upkeep_trouble = None

    def _compact(self) -> str:
        merged = sum(table.ledger.compact() for table in self._lanes.values())
        return f"Compaction merged {merged} files of the lake"

    def _clean(self) -> str:
        deleted = sum(table.ledger.vacuum() for table in self._lanes.values())
        with self._database.session() as session:
            forgotten = store.forget(session, self._now() - store.KEPT)
        return f"Deleted {deleted} unused files of the lake, and {forgotten} old windows from the database"
