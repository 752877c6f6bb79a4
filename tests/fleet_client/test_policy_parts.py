"""Rates, groups, approvals and windows from a command line."""

from typing import Any

import pytest

from fleet_client.errors import PolicyWrong
from fleet_client.policy_parts import parts_of, window_of


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({}, {}),
        ({"second_person": False, "per_minute": None}, {}),
        ({"per_minute": 9.0, "until_proven": True}, {"rate": {"devices_per_minute": 9.0, "until_proven": True}}),
        ({"per_minute": 10.0, "jitter": 5.0}, {"rate": {"devices_per_minute": 10.0, "jitter_seconds": 5.0}}),
        ({"group": "pair"}, {"group": {"label": "pair"}}),
        ({"group": "rack=3"}, {"group": {"label": "rack", "max_in_flight": 3}}),
        ({"approval": "after-first"}, {"approval": {"waves": "after-first"}}),
        ({"second_person": True}, {"approval": {"waves": "all", "second_person": True}}),
        ({"window": "02:00-06:00"}, {"window": {"start": "02:00", "end": "06:00"}}),
    ],
)
def test_what_is_given_becomes_a_part_and_what_is_not_stays_away(given: dict[str, Any], parts: dict[str, Any]) -> None:
    assert parts_of({}, given) == parts


def test_what_is_given_goes_over_what_the_policy_has() -> None:
    base = {"rate": {"devices_per_minute": 10, "jitter_seconds": 30}, "approval": {"waves": "after-first"}}
    assert parts_of(base, {"growth": 2.0, "second_person": True}) == {
        "rate": {"devices_per_minute": 10, "jitter_seconds": 30, "growth_factor": 2.0},
        "approval": {"waves": "after-first", "second_person": True},
    }


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("mon-wed 22:00-04:00", ["mon", "tue", "wed"]),
        ("sat,sun 22:00-04:00", ["sat", "sun"]),
        ("Fri-Mon,wed  22:00-04:00", ["fri", "sat", "sun", "mon", "wed"]),
        ("sun 22:00-04:00", ["sun"]),
    ],
)
def test_a_window_has_days_and_hours(text: str, days: list[str]) -> None:
    assert window_of(text) == {"days": days, "start": "22:00", "end": "04:00"}


@pytest.mark.parametrize(
    "text", ["", "mon", "22:00", "2:00-4:00", "mo 22:00-04:00", "mon- 22:00-04:00", ", 22:00-04:00"]
)
def test_what_is_no_window_says_how_one_is_written(text: str) -> None:
    with pytest.raises(PolicyWrong, match="mon-fri 22:00-04:00"):
        window_of(text)


@pytest.mark.parametrize("given", [{"group": "=2"}, {"group": "a=0"}, {"group": "a=x"}, {"jitter": 5.0}])
def test_half_a_part_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(PolicyWrong):
        parts_of({}, given)
