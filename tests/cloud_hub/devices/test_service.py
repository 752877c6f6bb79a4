"""Finding devices: filters, sorting and pages, in SQL, the same on both databases."""

from dataclasses import replace
from datetime import datetime

import pytest
from sqlmodel import select

from cloud_hub import forgetting
from cloud_hub.changes import Changes
from cloud_hub.database import Database
from cloud_hub.devices import store
from cloud_hub.devices.reports import take
from cloud_hub.devices.service import EVENT_DAYS, DeviceService
from cloud_hub.devices.store import DeviceFilter
from cloud_hub.devices.tables import DeviceRun
from cloud_hub.errors import Invalid, NotFound
from cloud_hub.page import PageRequest
from fleet_contract.because import Because
from fleet_contract.report import Phase, Presence
from tests.cloud_hub.devices.conftest import Join
from tests.fakes.clock import StoppedClock
from tests.fakes.reports import model_report, report


@pytest.fixture
def fleet(database: Database, clock: StoppedClock, join: Join) -> None:
    """gw-1 to gw-5: two sites, two targets, presences of all kinds."""
    join("gw-1", site="lyon", line="1")
    join("gw-2", site="lyon", line="2")
    join("gw-3", target="cpu-vnni", site="oslo", line="1")
    join("gw-4", target="cpu-vnni")
    join("gw-5")
    with database.session() as session:
        take(session, [report("gw-5", models=(model_report("digits", version=1),))], clock())
    clock.pass_seconds(100)
    on_trial = model_report("digits", Phase.TRIAL, 2, rollout="r-1")
    rejected = model_report("digits", Phase.REJECTED, 1, rollout="r-1")
    reports = [
        report("gw-1", models=(on_trial,)),
        report("gw-2", models=(rejected,)),
        report("gw-3", models=(model_report("cats", version=2),), target="cpu-vnni"),
        report("gw-3", 2, presence=Presence.LOST),
        report("gw-1", 2, troubles=(Because("disk-full", ""),), models=(on_trial,)),
    ]
    with database.session() as session:
        take(session, reports, clock())


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (DeviceFilter(), "12345"),
        (DeviceFilter(q="GW-3"), "3"),
        (DeviceFilter(q="host-gw-2"), "2"),
        (DeviceFilter(q="YON"), "12"),
        (DeviceFilter(q="%"), ""),
        (DeviceFilter(q="_"), ""),
        (DeviceFilter(labels={"site": "lyon"}), "12"),
        (DeviceFilter(labels={"site": "lyon", "line": "2"}), "2"),
        (DeviceFilter(labels={"line": "1"}), "13"),
        (DeviceFilter(labels={"site": "lima"}), ""),
        (DeviceFilter(target="cpu-vnni"), "34"),
        (DeviceFilter(presence="online"), "12"),
        (DeviceFilter(presence="silent"), "5"),
        (DeviceFilter(presence="lost"), "3"),
        (DeviceFilter(presence="never"), "4"),
        (DeviceFilter(model="digits"), "125"),
        (DeviceFilter(model="digits", version=2), "1"),
        (DeviceFilter(version=2), "13"),
        (DeviceFilter(phase="rejected"), "2"),
        (DeviceFilter(rollout="r-1"), "12"),
        (DeviceFilter(rollout="r-1", phase="trial", labels={"site": "lyon"}), "1"),
        (DeviceFilter(model="cats", phase="rejected"), ""),
        (DeviceFilter(troubled=True), "12"),
        (DeviceFilter(troubled=True, phase="trial"), "1"),
    ],
)
def test_all_that_a_filter_says_must_hold(devices: DeviceService, wanted: DeviceFilter, found: str) -> None:
    page = devices.page(wanted, PageRequest())
    assert "".join(device.id.removeprefix("gw-") for device in page.items) == found
    assert page.total == len(found)


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("id", "12345"),
        ("-id", "54321"),
        ("target", "12534"),
        ("-target", "43521"),
        ("last_heard_at", "45123"),
        ("-last_heard_at", "32154"),
        ("presence", "34125"),
        ("joined_at", "12345"),
        ("hostname", "12345"),
        ("agent_version", "41235"),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 50])
def test_pages_of_any_length_make_up_the_sorted_list(devices: DeviceService, sort: str, order: str, limit: int) -> None:
    request, seen = PageRequest(limit, None, sort), ""
    while True:
        page = devices.page(DeviceFilter(), request)
        assert page.total == 5
        assert len(page.items) <= limit
        seen += "".join(device.id.removeprefix("gw-") for device in page.items)
        if page.next is None:
            break
        request = replace(request, cursor=page.next)
    assert seen == order


@pytest.mark.usefixtures("fleet")
def test_a_device_that_comes_between_two_pages_is_neither_shown_twice_nor_hides_another(
    devices: DeviceService, join: Join
) -> None:
    first = devices.page(DeviceFilter(), PageRequest(2))
    join("gw-0")
    second = devices.page(DeviceFilter(), PageRequest(2, first.next))
    assert [device.id for device in second.items] == ["gw-3", "gw-4"]


@pytest.mark.usefixtures("fleet")
def test_an_unknown_sort_and_a_strange_cursor_are_refused(devices: DeviceService) -> None:
    cursor = devices.page(DeviceFilter(), PageRequest(1)).next
    for request, code in [
        (PageRequest(sort="colour"), "sort-unknown"),
        (PageRequest(cursor="rubbish"), "cursor-wrong"),
        (PageRequest(cursor="é"), "cursor-wrong"),
        (PageRequest(cursor=cursor, sort="target"), "cursor-wrong"),
    ]:
        with pytest.raises(Invalid) as raised:
            devices.page(DeviceFilter(), request)
        assert raised.value.code == code


@pytest.mark.usefixtures("fleet")
def test_the_summary_counts_the_fleet(devices: DeviceService) -> None:
    summary = devices.summary()
    assert summary.total == 5
    assert summary.presence == {"online": 2, "silent": 1, "closing": 0, "lost": 1, "never": 1}
    assert summary.targets == {"cpu-avx2": 3, "cpu-vnni": 2}
    running = [(one.model, one.version, one.devices) for one in summary.running]
    assert running == [("cats", 2, 1), ("digits", 1, 2), ("digits", 2, 1)]
    assert summary.troubled == 2, "one with a trouble, one that rejected a version"


def test_labels_are_set_and_taken_away(devices: DeviceService, changes: Changes, join: Join) -> None:
    join("gw-1", site="lyon", line="1")
    with changes.listener("devices", "device:gw-1") as listener:
        shown = devices.relabel("gw-1", {"line": None, "site": "oslo", "room": "B 12"})
        assert listener.take() == {"devices", "device:gw-1"}
    assert shown.labels == {"room": "B 12", "site": "oslo"}


@pytest.mark.parametrize("labels", [{"Site": "x"}, {"site": ""}, {"site": "a\x00b"}, {f"k{n}": "v" for n in range(33)}])
def test_labels_that_cannot_be_are_refused_and_nothing_changes(
    devices: DeviceService, join: Join, labels: dict[str, str | None]
) -> None:
    join("gw-1", site="lyon")
    with pytest.raises(Invalid) as raised:
        devices.relabel("gw-1", labels)
    assert raised.value.code == "label-wrong"
    assert devices.get("gw-1").labels == {"site": "lyon"}


def test_a_device_that_is_not_there_is_not_found(devices: DeviceService) -> None:
    for ask in (devices.get, lambda device: devices.events(device, PageRequest()), lambda d: devices.relabel(d, {})):
        with pytest.raises(NotFound) as raised:
            ask("gw-1")
        assert raised.value.code == "device-unknown"


def test_history_is_forgotten_after_its_time(devices: DeviceService, clock: StoppedClock, join: Join) -> None:
    join("gw-1")
    clock.pass_seconds(EVENT_DAYS * 86400 + 1)
    join("gw-2")
    devices.forget_old_events()
    assert devices.events("gw-1", PageRequest()).total == 0
    assert devices.events("gw-2", PageRequest()).total == 1


def test_history_is_forgotten_a_few_rows_at_a_time(
    database: Database, devices: DeviceService, clock: StoppedClock, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "AT_ONCE", 2)
    monkeypatch.setattr(forgetting, "PAUSE_SECONDS", 0.0)
    for number in range(5):
        join(f"gw-{number}")
        with database.session() as session:
            session.add(_run(f"gw-{number}", clock(), until=clock()))
            session.add(_run(f"gw-{number}", clock(), until=None))
    clock.pass_seconds(EVENT_DAYS * 86400 + 1)
    sizes = []
    deleted = store.delete_runs_before
    monkeypatch.setattr(store, "delete_runs_before", lambda *of: sizes.append(deleted(*of)) or sizes[-1])
    devices.forget_old_events()
    assert sizes == [2, 2, 1], "who writes meanwhile waits for no more than these"
    assert sum(devices.events(f"gw-{number}", PageRequest()).total for number in range(5)) == 0
    with database.reading() as session:
        assert [run.until for run in session.exec(select(DeviceRun))] == [None] * 5, "what runs still is kept"


def _run(device: str, since: datetime, until: datetime | None) -> DeviceRun:
    return DeviceRun(device=device, model="digits", version=1, digest="sha256:a", since=since, until=until)


def test_the_generation_that_is_wanted_comes_from_the_orders(
    database: Database, changes: Changes, clock: StoppedClock, join: Join
) -> None:
    join("gw-1")
    service = DeviceService(
        database,
        changes,
        clock,
        silent_after_seconds=90,
        generations_wanted=lambda _session, ids: dict.fromkeys(ids, 9),
    )
    assert service.get("gw-1").generation_wanted == 9
