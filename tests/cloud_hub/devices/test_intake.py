"""Reports on their way in: bad ones are refused, and harm no others."""

import threading
from collections.abc import Iterator, Sequence
from datetime import datetime

import pytest
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from cloud_hub.changes import Changes
from cloud_hub.database import Database
from cloud_hub.devices import intake as intake_module
from cloud_hub.devices.intake import ReportIntake
from cloud_hub.devices.reports import Taken
from cloud_hub.devices.service import DeviceService
from cloud_hub.refusals import Refusals
from fleet_contract.because import Because
from fleet_contract.encoding import encode
from fleet_contract.report import Report
from fleet_contract.topics import Address
from tests.cloud_hub.devices.conftest import Join
from tests.fakes.clock import StoppedClock
from tests.fakes.reports import model_report, report
from tests.fakes.waiting import until


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.reported: list[tuple[str, int]] = []

    def on_device_reported(self, device: str, generation: int) -> None:
        self.reported.append((device, generation))

    def on_device_joined(self, device: str) -> None:
        pass


class Broken(Heard):
    def on_device_reported(self, device: str, generation: int) -> None:
        raise RuntimeError("the listener's own fault")


@pytest.fixture
def refusals(clock: StoppedClock) -> Refusals:
    return Refusals(clock)


@pytest.fixture
def heard(devices: DeviceService) -> Heard:
    heard = Heard()
    devices.listen(heard)
    return heard


@pytest.fixture
def intake(
    database: Database, devices: DeviceService, refusals: Refusals, clock: StoppedClock, heard: Heard
) -> Iterator[ReportIntake]:
    intake = ReportIntake(database, devices, refusals, clock)
    thread = threading.Thread(target=intake.run)
    thread.start()
    yield intake
    intake.stop()
    thread.join(10)
    assert not thread.is_alive()


def address(device: str) -> Address:
    return Address("default", device)


def test_a_report_is_stored_and_told(intake: ReportIntake, heard: Heard, changes: Changes, join: Join) -> None:
    join("gw-1")
    with changes.listener("device:gw-1") as listener:
        intake.offer(address("gw-1"), encode(report(generation=3)))
        assert listener.wait(10) == {"device:gw-1"}
    until(lambda: heard.reported == [("gw-1", 3)])


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"\x00\xff not JSON", "undecodable"),
        (b"{}", "undecodable"),
        (encode(report("gw-2")), "device-wrong"),
        (encode(report(fleet="other")), "device-wrong"),
        (encode(report(target="Not A Target")), "id-wrong"),
        (encode(report(models=(model_report("x" * 4000),))), "id-wrong"),
        (encode(report("gw-1", 10**30)), "undecodable"),
    ],
)
def test_a_bad_report_is_refused_and_the_next_one_taken(
    intake: ReportIntake, refusals: Refusals, heard: Heard, join: Join, payload: bytes, code: str
) -> None:
    join("gw-1")
    join("gw-2")
    intake.offer(address("gw-1"), payload)
    intake.offer(address("gw-1"), encode(report()))
    until(lambda: heard.reported == [("gw-1", 1)])
    assert refusals.counts == {code: 1}
    assert refusals.last is not None
    assert refusals.last.device == "gw-1"


def test_one_that_no_database_can_hold_takes_no_other_along(
    intake: ReportIntake,
    refusals: Refusals,
    heard: Heard,
    devices: DeviceService,
    join: Join,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for device in ("gw-1", "gw-2", "gw-3"):
        join(device)
    gate = threading.Event()
    take = intake_module.take

    def choosy(session: Session, batch: Sequence[Report], now: datetime) -> Taken:
        gate.wait(10)
        if any(one.device == "gw-2" for one in batch):
            raise OverflowError("no column holds it")
        return take(session, batch, now)

    monkeypatch.setattr(intake_module, "take", choosy)
    intake.offer(address("gw-1"), encode(report("gw-1")))  # keeps the thread busy, so that the rest is one batch
    intake.offer(address("gw-1"), encode(report("gw-1", 2, generation=3)))
    intake.offer(address("gw-2"), encode(report("gw-2", generation=4)))
    intake.offer(address("gw-3"), encode(report("gw-3")))
    gate.set()
    until(lambda: ("gw-3", 1) in heard.reported and sum(refusals.counts.values()))
    assert "report-unusable" in refusals.counts
    assert devices.get("gw-2").presence == "never"
    assert devices.get("gw-3").presence == "online"


def test_a_device_that_never_joined_is_refused(intake: ReportIntake, refusals: Refusals) -> None:
    intake.offer(address("stranger"), encode(report("stranger")))
    until(lambda: refusals.counts == {"device-unknown": 1})


def test_a_listener_that_fails_harms_no_report(
    intake: ReportIntake, devices: DeviceService, heard: Heard, join: Join, refusals: Refusals
) -> None:
    devices._listeners.insert(0, Broken())
    join("gw-1")
    intake.offer(address("gw-1"), encode(report()))
    until(lambda: heard.reported == [("gw-1", 1)])
    assert refusals.counts == {}


def test_reports_wait_for_a_database_that_is_away(
    intake: ReportIntake, heard: Heard, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    join("gw-1")
    away = True
    take = intake_module.take

    def sometimes(*given: object) -> object:
        if away:
            raise OperationalError("UPDATE", {}, Exception("the database is away"))
        return take(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(intake_module, "take", sometimes)
    intake.offer(address("gw-1"), encode(report()))
    until(lambda: intake.troubles() != [])
    assert intake.troubles() == [Because("database-failing", "Reports cannot be stored: the database is away.")]
    away = False
    until(lambda: heard.reported == [("gw-1", 1)])
    assert intake.troubles() == []


def test_when_too_many_wait_the_oldest_are_dropped_and_counted(
    database: Database, devices: DeviceService, refusals: Refusals, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "MAX_WAITING", 2)
    idle = ReportIntake(database, devices, refusals, clock)
    for number in range(1, 4):
        idle.offer(address("gw-1"), encode(report(number=number)))
    assert refusals.counts == {"reports-dropped": 1}
    assert [waiting.number for waiting in idle._waiting] == [2, 3]
