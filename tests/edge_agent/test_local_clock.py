"""The site's wall clock: the zone that was set, or the system's, also when that is changed while the agent runs."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import TZPATH

import pytest

from edge_agent.config import load
from edge_agent.core.clock import Told
from edge_agent.errors import ConfigWrong
from edge_agent.local_clock import LocalClock, ZoneUnknown

SUMMER = Told(datetime(2026, 7, 1, 12, tzinfo=UTC))
WINTER = Told(datetime(2026, 12, 1, 12, tzinfo=UTC), by_hub=True)


@pytest.fixture(autouse=True)
def no_zone_of_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TZ", raising=False)


def rules(zone: str) -> bytes:
    return next(path for folder in TZPATH if (path := Path(folder) / zone).exists()).read_bytes()


def shown(clock: LocalClock) -> str:
    wall = clock.wall()
    assert wall is not None
    return f"{wall.local:%H:%M %Z}"


def test_it_shows_the_hours_of_the_zone_that_was_set_summer_and_winter() -> None:
    assert shown(LocalClock(lambda: SUMMER, "Europe/Berlin")) == "14:00 CEST"
    assert shown(LocalClock(lambda: WINTER, "Europe/Berlin")) == "13:00 CET"


def test_it_says_by_whose_clock() -> None:
    wall = LocalClock(lambda: WINTER, "Europe/Berlin").wall()
    assert wall is not None
    assert wall.by_hub


def test_where_nobody_knows_the_time_it_shows_none() -> None:
    assert LocalClock(lambda: None, "").wall() is None


def test_else_it_is_the_systems_with_all_its_rules_and_follows_when_that_is_changed(tmp_path: Path) -> None:
    localtime, told = tmp_path / "localtime", [SUMMER]
    localtime.write_bytes(rules("Europe/Berlin"))
    clock = LocalClock(lambda: told[0], "", localtime)
    assert shown(clock) == "14:00 CEST"
    told[0] = WINTER
    assert shown(clock) == "13:00 CET"
    (tmp_path / "new").write_bytes(rules("Asia/Tokyo"))
    (tmp_path / "new").replace(localtime)
    assert shown(clock) == "21:00 JST"


@pytest.mark.parametrize("content", [None, b"", b"no rules"])
def test_a_system_that_says_nothing_of_its_zone_is_in_utc(tmp_path: Path, content: bytes | None) -> None:
    localtime = tmp_path / "localtime"
    if content is not None:
        localtime.write_bytes(content)
    assert shown(LocalClock(lambda: SUMMER, "", localtime)) == "12:00 UTC"


def test_the_zone_of_the_environment_comes_before_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", ":Asia/Tokyo")
    assert shown(LocalClock(lambda: SUMMER, "")) == "21:00 JST"
    monkeypatch.setenv("TZ", "CET-1CEST")
    assert shown(LocalClock(lambda: SUMMER, "", Path("/nowhere"))) == "12:00 UTC"


def test_a_site_can_be_moved() -> None:
    clock = LocalClock(lambda: SUMMER, "Europe/Berlin")
    clock.move("Asia/Tokyo")
    assert shown(clock) == "21:00 JST"


@pytest.mark.parametrize("name", ["Europe/Vedette", "../etc/passwd", "/etc/passwd", "Europe", "a\0b"])
def test_a_zone_that_is_not_installed_is_refused_with_what_to_do(tmp_path: Path, name: str) -> None:
    with pytest.raises(ZoneUnknown, match="list-timezones"):
        LocalClock(lambda: SUMMER, name)
    config = tmp_path / "agent.toml"
    config.write_text(f"timezone = {name!r}\n".replace("\\x00", "?").replace("'", '"'))
    with pytest.raises(ConfigWrong, match="timezone is"):
        load(config)
