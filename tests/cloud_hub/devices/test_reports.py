"""Reports as they are stored, on both databases."""

from datetime import timedelta

from cloud_hub.database import Database
from cloud_hub.devices.reports import Taken, take
from cloud_hub.devices.service import DeviceService
from cloud_hub.page import PageRequest
from fleet_contract.because import Because
from fleet_contract.report import CaptureReport, Phase, Presence, Release, Report, SpoolReport
from tests.cloud_hub.devices.conftest import Join
from tests.fakes.clock import StoppedClock
from tests.fakes.reports import DIGEST, INVENTORY, model_report, report


def take_in(database: Database, clock: StoppedClock, *reports: Report) -> Taken:
    with database.session() as session:
        return take(session, reports, clock())


def history(devices: DeviceService, device: str = "gw-1") -> list[tuple[str, str]]:
    """(kind, code) of its events, oldest first, without joining."""
    events = devices.events(device, PageRequest(sort="number")).items
    return [(event.kind, event.because.code) for event in events if event.kind != "joined"]


def test_all_that_a_report_says_is_shown(
    database: Database, clock: StoppedClock, devices: DeviceService, join: Join
) -> None:
    join("gw-1")
    full = report(
        generation=7,
        models=(model_report(rollout="r-1", previous=Release(4, DIGEST)),),
        refused=Because("expired", "Too old."),
        inventory=INVENTORY,
        spool=SpoolReport(3, 400, 1),
        captures=CaptureReport(2, 8192, {"quota": 1}),
        troubles=(Because("disk-full", "No room."),),
    )
    taken = take_in(database, clock, full)
    shown = devices.get("gw-1")
    assert taken.generations == {"gw-1": 7}
    assert (shown.presence, shown.last_heard_at, shown.generation_reported) == ("online", clock(), 7)
    assert (shown.hostname, shown.inventory and shown.inventory["cores"]) == ("gateway-7", 2)
    assert shown.refused and shown.refused.code == "expired"
    assert shown.spool and shown.spool.records == 3
    assert shown.captures and (shown.captures.files, shown.captures.dropped) == (2, {"quota": 1})
    assert [trouble.code for trouble in shown.troubles] == ["disk-full"]
    (model,) = shown.models
    assert (model.model, model.phase, model.rollout) == ("digits", "settled", "r-1")
    assert model.running and model.running.version == 1
    assert model.previous and model.previous.version == 4
    assert history(devices) == [("presence", "online"), ("refused", "expired"), ("phase", "as-wanted")]


def test_what_a_later_report_no_longer_says_is_gone(
    database: Database, clock: StoppedClock, devices: DeviceService, join: Join
) -> None:
    join("gw-1")
    troubled = report(
        models=(model_report("digits"), model_report("cats")),
        refused=Because("expired", ""),
        troubles=(Because("disk-full", ""),),
        captures=CaptureReport(2, 8192),
        inventory=INVENTORY,
    )
    take_in(database, clock, troubled)
    take_in(database, clock, report(number=2, models=(model_report("cats"),)))
    shown = devices.get("gw-1")
    assert [model.model for model in shown.models] == ["cats"]
    assert shown.refused is None
    assert shown.troubles == []
    assert shown.captures is None
    assert shown.inventory is not None, "an inventory is sent only when it changes"
    assert devices.summary().troubled == 0


def test_repeats_and_late_reports_change_nothing(
    database: Database, clock: StoppedClock, devices: DeviceService, join: Join
) -> None:
    join("gw-1")
    take_in(database, clock, report(number=2, generation=2))
    before = devices.get("gw-1")
    clock.pass_seconds(5)
    taken = take_in(database, clock, report(number=2, generation=2), report(number=1, generation=1))
    assert taken.generations == {}
    assert devices.get("gw-1") == before


def test_a_batch_ends_where_its_last_reports_say(
    database: Database, clock: StoppedClock, devices: DeviceService, join: Join
) -> None:
    for device in ("gw-1", "gw-2"):
        join(device)
    batch = [
        report("gw-1", 1, models=(model_report(phase=Phase.FETCHING, because=Because("fetching", "")),)),
        report("gw-2", 1),
        report("gw-1", 2, models=(model_report(phase=Phase.SETTLED),), generation=3),
        report("gw-2", 9, presence=Presence.LOST),
    ]
    taken = take_in(database, clock, *batch)
    assert taken.generations == {"gw-1": 3, "gw-2": 1}
    assert taken.lost == {"gw-2"}
    assert devices.get("gw-1").models[0].phase == "settled"
    assert devices.get("gw-2").presence == "lost"
    assert history(devices) == [("presence", "online"), ("phase", "fetching"), ("phase", "as-wanted")]


def test_a_device_that_is_back_before_its_last_will_is_stored_is_not_lost(
    database: Database, clock: StoppedClock, devices: DeviceService, join: Join
) -> None:
    join("gw-1")
    taken = take_in(database, clock, report(number=1), report(number=9, presence=Presence.LOST), report(number=11))
    assert (taken.lost, taken.generations) == (set(), {"gw-1": 1})
    assert devices.get("gw-1").presence == "online"
    assert history(devices) == [("presence", "online"), ("presence", "lost"), ("presence", "online")]


def test_a_last_will_says_only_that_the_connection_broke(
    database: Database, clock: StoppedClock, devices: DeviceService, join: Join
) -> None:
    join("gw-1")
    take_in(database, clock, report(number=5, generation=4, models=(model_report(),)))
    heard = clock()
    clock.pass_seconds(20)
    taken = take_in(database, clock, report(number=9, generation=0, presence=Presence.LOST))
    shown = devices.get("gw-1")
    assert (taken.lost, taken.generations) == ({"gw-1"}, {})
    assert (shown.presence, shown.last_heard_at, shown.generation_reported) == ("lost", heard, 4)
    assert len(shown.models) == 1
    assert history(devices)[-1] == ("presence", "lost")
    take_in(database, clock, report(number=11))
    take_in(database, clock, report(number=9, presence=Presence.LOST))
    assert devices.get("gw-1").presence == "online", "a last will that comes after the device is back says nothing"


def test_the_last_will_of_an_older_boot_is_ignored(
    database: Database, clock: StoppedClock, devices: DeviceService, join: Join
) -> None:
    join("gw-1")
    take_in(database, clock, report(boot="b1"), report(boot="b2"))
    take_in(database, clock, report(boot="b1", number=9, presence=Presence.LOST))
    assert devices.get("gw-1").presence == "online"


def test_devices_that_never_joined_are_named_and_not_stored(
    database: Database, clock: StoppedClock, devices: DeviceService, join: Join
) -> None:
    join("gw-1")
    taken = take_in(database, clock, report("gw-1"), report("stranger"))
    assert [one.device for one in taken.unknown] == ["stranger"]
    assert devices.summary().total == 1


def test_an_unchanged_heartbeat_adds_no_history(
    database: Database, clock: StoppedClock, devices: DeviceService, join: Join
) -> None:
    join("gw-1")
    for number in range(1, 5):
        clock.pass_seconds(30)
        take_in(database, clock, report(number=number, models=(model_report(),)))
    assert history(devices) == [("presence", "online"), ("phase", "as-wanted")]
    assert devices.get("gw-1").last_heard_at == clock()


def test_silence_shows_once_the_heartbeat_is_overdue(
    database: Database, clock: StoppedClock, devices: DeviceService, join: Join
) -> None:
    join("gw-1")
    assert devices.get("gw-1").presence == "never"
    take_in(database, clock, report())
    clock.pass_seconds(90)
    assert devices.get("gw-1").presence == "online"
    assert devices.summary().presence["online"] == 1, "the list and the device must agree to the second"
    clock.pass_seconds(1)
    shown = devices.get("gw-1")
    assert shown.presence == "silent"
    assert "90 s" in shown.presence_because.sentence
    assert "2026-11-02 12:00:00 UTC" in shown.presence_because.sentence
    assert devices.summary().presence["silent"] == 1


def test_a_device_that_said_goodbye_is_not_called_silent(
    database: Database, clock: StoppedClock, devices: DeviceService, join: Join
) -> None:
    join("gw-1")
    take_in(database, clock, report(presence=Presence.CLOSING))
    clock.now += timedelta(days=1)
    assert devices.get("gw-1").presence == "closing"
