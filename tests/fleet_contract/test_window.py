"""A maintenance window: open from its start to before its end, on its days, across midnight where it crosses it."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_contract.encoding import decode, encode
from fleet_contract.errors import Undecodable
from fleet_contract.window import DAYS, MaintenanceWindow, is_open, opens_next

NIGHT = MaintenanceWindow(("fri", "sat"), "22:30", "04:00")
NOON = MaintenanceWindow((), "12:00", "13:00")
ALWAYS = MaintenanceWindow()
SUNDAY = MaintenanceWindow(("sun",))
LATE_SUNDAY = MaintenanceWindow(("sun",), "18:00", "18:00")


def at(text: str) -> datetime:
    """A time of the week of Monday, 23 November 2026: "fri 22:30"."""
    day, clock = text.split()
    return datetime.fromisoformat(f"2026-11-{23 + DAYS.index(day):02}T{clock}")  # type: ignore[arg-type]


OPEN = [
    (NOON, "mon 12:00", True),
    (NOON, "sun 12:59:59", True),
    (NOON, "mon 13:00", False),
    (NOON, "mon 11:59:59", False),
    (NIGHT, "fri 22:30", True),
    (NIGHT, "sat 03:59", True),
    (NIGHT, "sun 03:59", True),  # of Saturday's
    (NIGHT, "sat 04:00", False),
    (NIGHT, "fri 03:00", False),  # Thursday's night is none
    (NIGHT, "sun 22:30", False),
    (ALWAYS, "wed 00:00", True),
    (SUNDAY, "sun 00:00", True),
    (SUNDAY, "sun 23:59:59", True),
    (SUNDAY, "mon 00:00", False),
    (LATE_SUNDAY, "sun 18:00", True),
    (LATE_SUNDAY, "mon 17:59", True),  # of the Sunday before
    (LATE_SUNDAY, "sun 17:59", False),
]
NEXT = [
    (NOON, "mon 11:00", "mon 12:00"),
    (NOON, "mon 12:30", "mon 12:30"),
    (NOON, "mon 13:00", "tue 12:00"),
    (NIGHT, "mon 00:00", "fri 22:30"),
    (NIGHT, "sat 12:00", "sat 22:30"),
    (SUNDAY, "mon 00:00", "sun 00:00"),
]


@pytest.mark.parametrize(("window", "local", "expected"), OPEN)
def test_a_window_is_open_from_its_start_to_before_its_end_on_its_days(
    window: MaintenanceWindow, local: str, expected: bool
) -> None:
    assert is_open(window, at(local)) == expected


@pytest.mark.parametrize(("window", "local", "expected"), NEXT)
def test_a_closed_window_opens_at_its_next_start(window: MaintenanceWindow, local: str, expected: str) -> None:
    assert opens_next(window, at(local)) == at(expected)


def test_a_window_of_one_day_that_is_over_opens_in_a_week() -> None:
    noon = MaintenanceWindow(("mon",), "12:00", "13:00")
    assert opens_next(noon, at("mon 13:00")) == at("mon 12:00") + timedelta(days=7)


CLOCKS = st.times().map(lambda one: f"{one:%H:%M}")
WINDOWS = st.builds(MaintenanceWindow, st.lists(st.sampled_from(DAYS), max_size=7).map(tuple), CLOCKS, CLOCKS)
LOCAL = st.datetimes(datetime.fromisoformat("2020-01-01"), datetime.fromisoformat("2040-01-01"))


@given(WINDOWS, LOCAL)
def test_a_window_opens_within_a_week_and_is_closed_until_then(window: MaintenanceWindow, local: datetime) -> None:
    opening = opens_next(window, local)
    assert local <= opening <= local + timedelta(days=7)
    assert is_open(window, opening)
    if opening > local:
        assert not is_open(window, local)
        assert not is_open(window, opening - timedelta(microseconds=1))
        assert not is_open(window, local + (opening - local) / 2)


@given(WINDOWS)
def test_a_window_survives_the_wire(window: MaintenanceWindow) -> None:
    assert decode(encode(window), MaintenanceWindow) == window


@pytest.mark.parametrize(
    "wrong",
    [
        '{"start": "24:00"}',
        '{"start": "9:00"}',
        '{"end": "12:60"}',
        '{"end": "12:00\\n"}',
        '{"end": "12:00:00"}',
        '{"end": "١٢:٠٠"}',
        '{"days": ["monday"]}',
        '{"days": "mon"}',
        '{"days": ["mon", "mon", "mon", "mon", "mon", "mon", "mon", "mon"]}',
    ],
)
def test_a_window_out_of_its_bounds_is_refused(wrong: str) -> None:
    with pytest.raises(Undecodable):
        decode(wrong.encode(), MaintenanceWindow)


def test_a_window_reads_as_a_sentence_can_hold_it() -> None:
    assert str(NIGHT) == "fri, sat 22:30-04:00"
    assert str(MaintenanceWindow((), "01:00", "02:00")) == "every day 01:00-02:00"
