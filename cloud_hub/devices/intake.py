"""Takes reports in, in order, on a thread of its own: many in one transaction when many come."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime

from sqlalchemy.exc import InterfaceError, OperationalError

from cloud_hub.database import Database
from cloud_hub.devices.reports import take
from cloud_hub.devices.service import DeviceService
from cloud_hub.errors import HubError
from cloud_hub.refusals import Refusals
from fleet_contract.because import Because
from fleet_contract.encoding import decode
from fleet_contract.errors import ContractError, DeviceWrong
from fleet_contract.report import Report
from fleet_contract.topics import Address, check_id

logger = logging.getLogger(__name__)
MAX_BATCH = 500
#: Beyond this the oldest are dropped: a device's next report says the same and more.
MAX_WAITING = 20_000


class ReportUnusable(HubError):
    """A report that is well formed and still cannot be stored."""

    code = "report-unusable"


class ReportsDropped(HubError):
    """More reports came than the database could take."""

    code = "reports-dropped"


class DeviceUnknown(HubError):
    """A message of a device that never joined this hub."""

    code = "device-unknown"


class ReportIntake:
    """`offer` never blocks and never raises; `run` is the thread's work."""

    def __init__(
        self, database: Database, devices: DeviceService, refusals: Refusals, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._devices = devices
        self._refusals = refusals
        self._now = now
        self._waiting: deque[Report] = deque()
        self._condition = threading.Condition()
        self._stopping = False
        self._trouble: Because | None = None

    def offer(self, address: Address, payload: bytes) -> None:
        """Takes one message of the device at `address`; a bad one is refused and noted."""
        try:
            report = decode(payload, Report)
            _check(report, address)
        except ContractError as error:
            self._refusals.refuse(address, error)
            return
        dropped = None
        with self._condition:
            if len(self._waiting) >= MAX_WAITING:
                dropped = self._waiting.popleft()
            self._waiting.append(report)
            self._condition.notify()
        if dropped is not None:
            self._refusals.refuse(
                Address(dropped.fleet, dropped.device),
                ReportsDropped(f"{MAX_WAITING} reports wait for the database; the oldest was dropped."),
            )

    def troubles(self) -> list[Because]:
        """What is wrong now."""
        return [self._trouble] if self._trouble else []

    def run(self) -> None:
        """Works until `stop`; what waits then is taken in first."""
        while True:
            with self._condition:
                self._condition.wait_for(lambda: bool(self._waiting) or self._stopping, timeout=60)
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))]
                if not batch and self._stopping:
                    return
            self._take(batch)

    def stop(self) -> None:
        """Ends `run` soon."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()

    def _take(self, batch: list[Report]) -> None:
        if batch and not self._attempt(lambda: self._store(batch)):
            # One that the database cannot hold (a NUL in a text) must not take others along.
            for report in batch:
                self._take_alone(report)

    def _take_alone(self, report: Report) -> None:
        if not self._attempt(lambda: self._store([report])):
            error = ReportUnusable("The report holds a value that cannot be stored; the hub's log says which.")
            self._refusals.refuse(Address(report.fleet, report.device), error)

    def _attempt(self, work: Callable[[], None]) -> bool:
        """Does `work`, again and again while the database is away; False when it cannot be done at all."""
        pause = 0.1
        while True:
            try:
                work()
            except (OperationalError, InterfaceError) as error:
                self._trouble = Because("database-failing", f"Reports cannot be stored: {error.orig}.")
                logger.error("%s Trying again in %g s.", self._trouble.sentence, pause)
                with self._condition:
                    if self._condition.wait_for(lambda: self._stopping, timeout=pause):
                        return True
                pause = min(pause * 2, 10.0)
            except Exception:
                logger.exception("A batch of reports could not be stored")
                return False
            else:
                self._trouble = None
                return True

    def _store(self, batch: list[Report]) -> None:
        with self._database.session() as session:
            taken = take(session, batch, self._now())
        for report in taken.unknown:
            error = DeviceUnknown(f"{report.device!r} never joined this hub.", "Join it with a token.")
            self._refusals.refuse(Address(report.fleet, report.device), error)
        self._devices.tell_reported(taken.generations, taken.lost)


def _check(report: Report, address: Address) -> None:
    if (report.fleet, report.device) != address:
        raise DeviceWrong(f"A report on the topic of {address.device!r} claims to be from {report.device!r}.")
    # These are indexed, and an index refuses what is long: no bad name may look like a database that is failing.
    check_id(report.target, "hardware target")
    for model in report.models:
        check_id(model.model, "model name")
        if model.rollout is not None:
            check_id(model.rollout, "rollout id")
