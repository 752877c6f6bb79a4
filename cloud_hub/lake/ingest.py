"""The way in: from a device's message to its rows in the lake, each exactly once, and only then its ack.

Of what came together, rows go into the database first (once more changes nothing there), then rows and marks into
the lake as one fact, then acks go out. A crash anywhere leaves devices without an ack; they send again, and the marks
tell what is new. So nothing is acked that is not durable, and nothing in this process has to survive.

Wiring: `Ingest(Location.of(lake_url, TABLE, endpoint_url), database, link, changes, refusals, now)`; `offer` is the
link's `on_telemetry`.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy.exc import InterfaceError, OperationalError

from cloud_hub.broker.link import Link
from cloud_hub.changes import Changes
from cloud_hub.database import Database
from cloud_hub.errors import HubError
from cloud_hub.lake.admission import admit
from cloud_hub.lake.inbox import Delivery, Inbox
from cloud_hub.lake.ledger import Ledger
from cloud_hub.lake.location import Location
from cloud_hub.lake.marks import Boot, plan
from cloud_hub.lake.schema import PARTITION, SCHEMA, Origin, Row, rows_table
from cloud_hub.lake.store import origins
from cloud_hub.lake.table import LakeContested, LakeTable, LakeUnavailable
from cloud_hub.monitoring import store
from cloud_hub.monitoring.store import Arrived
from cloud_hub.refusals import Refusals
from fleet_contract.because import Because
from fleet_contract.desired import DEFAULT_SLOT
from fleet_contract.encoding import encode
from fleet_contract.telemetry import Ack
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
    """How much is done at once: windows that may wait, windows in one commit, and seconds between things."""

    capacity: int = 50_000
    round_windows: int = 5_000
    linger_seconds: float = 0.25
    compact_seconds: float = 300.0
    clean_seconds: float = 3600.0


@dataclass(frozen=True)
class IngestCounts:
    """Since the hub started: windows `taken` into the lake, batches that were repeats, came after a gap, or found no
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
        self._ledger = Ledger(LakeTable(location, SCHEMA, PARTITION))
        self._database = database
        self._link = link
        self._changes = changes
        self._refusals = refusals
        self._now = now
        self._inbox = Inbox(self._pace.capacity, self._pace.round_windows, self._pace.linger_seconds)
        self._turned_away: deque[float] = deque(maxlen=10_000)
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

    def offer(self, address: Address, payload: bytes) -> None:
        """Takes a message from the device at `address`. Raises `ContractError` when it may not come in.

        With no room left the message is dropped and counted: the device, hearing no ack, sends it again later.
        """
        if not self._inbox.put(Delivery(address, admit(address, payload))):
            self._turned_away.append(time.monotonic())
            self.counts = replace(self.counts, turned_away=self.counts.turned_away + 1)

    def troubles(self) -> list[Because]:
        """What is wrong now."""
        recent = sum(at > time.monotonic() - _REMEMBERED_SECONDS for at in tuple(self._turned_away))
        behind = Because(
            "ingest-behind",
            f"{recent} batches of telemetry were turned away in the last minute, for {self._inbox.windows} windows "
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
                    _log.exception("A batch of %s cannot be stored", deliveries[0].address.device)
                    self._refusals.refuse(
                        deliveries[0].address, TelemetryUnusable(f"The hub cannot store it: {error!r}.")
                    )
                return
            else:
                self._trouble = None
                return

    def _round(self, deliveries: Sequence[Delivery]) -> None:
        now = self._now()
        addresses: dict[Boot, Address] = {}
        oldest: dict[Boot, datetime] = {}
        for one in deliveries:
            boot = Boot(one.batch.device, one.batch.boot)
            addresses[boot] = one.address
            starts = [datetime.fromtimestamp(window.started_at_ms / 1000, UTC) for window in one.batch.windows]
            oldest[boot] = min((oldest.get(boot, now), *starts))
        round_ = plan(self._ledger.marks(oldest, now), (one.batch for one in deliveries))
        if round_.rows:
            with self._database.session() as session:
                # A shadow answered nobody: what it did is no evidence of how its version serves.
                live = [one for one in round_.rows if one[1].slot == DEFAULT_SLOT]
                store.insert(session, [Arrived(*boot, now, window) for boot, window in live])
                known = origins(session, sorted({boot.device for boot in round_.marks}))
            nothing = Origin()
            rows = [
                Row(addresses[boot].fleet, *boot, known.get(boot.device, nothing), window)
                for boot, window in round_.rows
            ]
            self._ledger.commit(rows_table(rows, now), round_.marks, now)
        for boot, mark in round_.answers.items():
            self._link.publish(addresses[boot], Channel.ACK, encode(Ack(boot.device, boot.boot, mark)))
        self.counts = replace(
            self.counts,
            taken=self.counts.taken + len(round_.rows),
            repeats=self.counts.repeats + round_.repeats,
            gaps=self.counts.gaps + round_.gaps,
            commits=self.counts.commits + bool(round_.rows),
        )
        if round_.rows:
            self._changes.bump("telemetry")

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
        return f"Compaction merged {self._ledger.compact()} files of the lake"

    def _clean(self) -> str:
        deleted = self._ledger.vacuum()
        with self._database.session() as session:
            forgotten = store.forget(session, self._now() - store.KEPT)
        return f"Deleted {deleted} unused files of the lake, and {forgotten} old windows from the database"
