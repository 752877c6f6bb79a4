"""A switch waits for its window by the wall clock of the site, also on the two odd nights of the year."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.maintenance import GLANCE_SECONDS, Wall, closed
from fleet_contract.window import DAYS, MaintenanceWindow, is_open

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = MaintenanceWindow((), "02:15", "02:45")


def wall(text: str, zone: ZoneInfo = BERLIN) -> Wall:
    """`text` is in UTC: that names every moment once."""
    return Wall(datetime.fromisoformat(text).replace(tzinfo=UTC).astimezone(zone))


def opening(window: MaintenanceWindow, at: Wall) -> str:
    held = closed(3, window, at)
    assert held is not None
    assert held.because.code == "window-closed"
    return held.because.sentence.partition(" opens on ")[2].rstrip(".")


def test_without_a_window_nothing_waits() -> None:
    assert closed(3, None, None) is None


def test_in_an_open_window_nothing_waits() -> None:
    assert closed(3, NIGHT, wall("2026-11-27 01:15")) is None


def test_a_closed_window_says_when_it_opens_by_the_clock_on_the_wall() -> None:
    held = closed(3, MaintenanceWindow(("sat",), "22:00", "04:00"), wall("2026-11-27 12:00"))
    assert held is not None
    assert held.because.sentence == (
        "Version 3 has passed its pre-flight, and its maintenance window (sat 22:00-04:00) opens on Saturday, "
        "2026-11-28 at 22:00 local time (CET)."
    )


def test_the_sentence_stays_the_same_while_it_waits() -> None:
    assert opening(NIGHT, wall("2026-11-27 12:00")) == opening(NIGHT, wall("2026-11-27 23:59:59"))


def test_by_the_hubs_time_it_says_so() -> None:
    at = Wall(wall("2026-11-27 12:00").local, by_hub=True)
    assert opening(NIGHT, at).endswith(", by the hub's clock, for this device's is wrong")


def test_where_nobody_knows_the_time_it_waits_and_looks_again() -> None:
    held = closed(3, NIGHT, None)
    assert held is not None
    assert (held.because.code, held.seconds) == ("window-closed", GLANCE_SECONDS)
    assert "its hub has not said the time yet" in held.because.sentence


@pytest.mark.parametrize(("before", "seconds"), [(5, 5.0), (59, 59.0), (61, GLANCE_SECONDS), (80_000, GLANCE_SECONDS)])
def test_it_is_looked_at_again_when_it_opens_and_once_a_minute(before: int, seconds: float) -> None:
    at = Wall(wall("2026-11-27 01:15").local - timedelta(seconds=before))
    held = closed(3, NIGHT, at)
    assert held is not None
    assert held.seconds == seconds


SPRING = [
    # On 29 March 2026 the wall clock jumps from 02:00 to 03:00, at 01:00 UTC.
    (NIGHT, "2026-03-29 00:59", "Monday, 2026-03-30 at 02:15 local time (CEST)"),
    (MaintenanceWindow((), "02:15", "03:30"), "2026-03-29 00:59", "Sunday, 2026-03-29 at 03:00 local time (CEST)"),
    (MaintenanceWindow((), "02:15", "02:45"), "2026-03-28 12:00", "Monday, 2026-03-30 at 02:15 local time (CEST)"),
    (
        MaintenanceWindow(("sun",), "02:15", "02:45"),
        "2026-03-28 12:00",
        "Sunday, 2026-04-05 at 02:15 local time (CEST)",
    ),
    # On 25 October it goes back from 03:00 to 02:00, at 01:00 UTC.
    (NIGHT, "2026-10-25 00:00", "Sunday, 2026-10-25 at 02:15 local time (CEST)"),
    (NIGHT, "2026-10-25 01:10", "Sunday, 2026-10-25 at 02:15 local time (CET)"),
    (NIGHT, "2026-10-25 01:50", "Monday, 2026-10-26 at 02:15 local time (CET)"),
]


@pytest.mark.parametrize(("window", "at", "expected"), SPRING)
def test_on_the_nights_when_the_wall_clock_jumps_or_repeats_an_hour(
    window: MaintenanceWindow, at: str, expected: str
) -> None:
    assert opening(window, wall(at)) == expected


@pytest.mark.parametrize("at", ["2026-10-25 00:15", "2026-10-25 01:15"])
def test_in_an_hour_that_comes_twice_it_is_open_twice(at: str) -> None:
    assert closed(3, NIGHT, wall(at)) is None


def test_a_site_that_skips_a_day_opens_on_the_next() -> None:
    # Samoa had no 30 December 2011: the dateline moved.
    friday = MaintenanceWindow((), "00:00", "01:00")
    assert opening(friday, wall("2011-12-30 09:59", ZoneInfo("Pacific/Apia"))).startswith(
        "Saturday, 2011-12-31 at 00:00"
    )


CLOCKS = st.times().map(lambda one: f"{one:%H:%M}")
WINDOWS = st.builds(MaintenanceWindow, st.lists(st.sampled_from(DAYS), max_size=7).map(tuple), CLOCKS, CLOCKS)
ZONES = st.sampled_from(["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "UTC", "Asia/Kathmandu"])
MOMENTS = st.datetimes(
    datetime.fromisoformat("2026-01-01"), datetime.fromisoformat("2027-01-01"), timezones=st.just(UTC)
)


@given(WINDOWS, MOMENTS, ZONES)
def test_who_looks_again_when_told_to_finds_it_open_at_its_first_minute(
    window: MaintenanceWindow, moment: datetime, zone: str
) -> None:
    held = closed(3, window, Wall(moment.astimezone(ZoneInfo(zone))))
    if held is None or held.seconds == GLANCE_SECONDS:
        return
    then = moment + timedelta(seconds=held.seconds)
    assert held.seconds > 0
    assert closed(3, window, Wall(then.astimezone(ZoneInfo(zone)))) is None
    just_before = (then - timedelta(microseconds=1)).astimezone(ZoneInfo(zone))
    assert not is_open(window, just_before.replace(tzinfo=None))
