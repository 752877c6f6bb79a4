"""Figures and times read as people say them."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cloud_hub.console import words

NOW = datetime(2026, 11, 2, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "now"), (0, "now"), (1.9, "now"), (2, "2 s ago"), (59, "59 s ago"), (60, "1 min ago"),
        (3599, "59 min ago"), (3600, "1 h ago"), (86399, "23 h ago"), (86400, "1 d ago"), (900_000, "10 d ago"),
    ],
)  # fmt: skip
def test_a_moment_is_told_in_one_unit(seconds: float, said: str) -> None:
    assert words.ago(NOW - timedelta(seconds=seconds), NOW) == said


def test_the_browser_tells_moments_in_the_same_units() -> None:
    source = (Path(words.__file__).parent / "assets" / "clock.js").read_text()
    steps = [(int(below), int(unit), name) for below, unit, name in re.findall(r'\[(\d+), (\d+), "(\w+)"\]', source)]
    assert tuple(steps) == words.AGO


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (45, "45 s"), (60, "1 min"), (95, "1 min 35 s"), (5400, "1 h 30 min"), (90_000, "1 d 1 h")],
)
def test_a_duration_has_a_second_unit_where_it_says_something(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0"), (1234, "1,234"), (9999, "9,999"), (12_345, "12.3 k"), (4_600_000, "4.6 M")]
)
def test_a_count_is_exact_while_that_is_readable(number: int, said: str) -> None:
    assert words.count(number) == said


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (None, "–"),
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.9833, "98.3 %"),
        (0.5, "50 %"),
        (-0.013, "−1.3 %"),
        (-0.0001, "0 %"),
    ],
)
def test_a_share_is_a_percentage_without_needless_digits(share: float | None, said: str) -> None:
    assert words.percent(share) == said


@pytest.mark.parametrize(
    ("microseconds", "said"), [(None, "–"), (85.4, "85 µs"), (999.9, "1 ms"), (1240, "1.24 ms"), (2_100_000, "2.1 s")]
)
def test_a_latency_keeps_three_digits(microseconds: float | None, said: str) -> None:
    assert words.latency(microseconds) == said


@pytest.mark.parametrize(
    ("size_bytes", "said"), [(512, "512 B"), (999, "999 B"), (58_400, "58.4 kB"), (8.2e9, "8.2 GB")]
)
def test_a_size_is_in_decimal_units(size_bytes: float, said: str) -> None:
    assert words.size(size_bytes) == said


@pytest.mark.parametrize(
    ("per_second", "said"), [(None, "–"), (0.0, "0"), (0.25, "0.2"), (52.84, "52.8"), (328.2, "328")]
)
def test_a_rate_has_the_digits_that_matter(per_second: float | None, said: str) -> None:
    assert words.rate(per_second) == said


def test_every_state_that_the_hub_knows_has_a_colour() -> None:
    from cloud_hub.devices.views import PRESENCES
    from cloud_hub.rollouts.states import State
    from fleet_contract.report import Phase

    plain = {"never", "idle", "evicted"}
    for word in (*PRESENCES, *(state.value for state in State), *(phase.value for phase in Phase)):
        assert bool(words.tone(word)) != (word in plain), word


def test_a_digest_and_a_fingerprint_are_cut_alike() -> None:
    assert words.short("sha256:" + "ab" * 32) == words.short("ab" * 32) == "abababababab"


def test_one_is_not_many() -> None:
    assert words.plural(1, "device") == "1 device"
    assert words.plural(1200, "device") == "1,200 devices"
    assert words.plural(0, "entry", "entries") == "0 entries"
