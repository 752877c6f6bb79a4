"""What the hub needs to start, and what it says when it cannot."""

import json
import os
import socket
import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from cloud_hub.errors import CannotStart
from cloud_hub.folder import DataFolder, Whereabouts
from cloud_hub.keys import open_keys
from cloud_hub.ports import free_port, listen
from cloud_hub.settings import Settings

LONG = "0123456789abcdef"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("VEDETTE_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::"])
def test_without_an_api_token_it_listens_on_loopback_only(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CannotStart) as raised:
        Settings(host=host)
    assert raised.value.code == "api-token-missing"
    monkeypatch.setenv("VEDETTE_API_TOKEN", LONG)
    assert Settings(host=host).host == host


def test_a_short_api_token_is_refused() -> None:
    with pytest.raises(CannotStart) as raised:
        Settings(api_token="hunter2")
    assert raised.value.code == "api-token-short"


def test_the_api_token_is_not_shown() -> None:
    assert LONG not in repr(Settings(api_token=LONG))


def test_flags_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VEDETTE_PORT", "1")
    monkeypatch.setenv("VEDETTE_MQTT_PORT", "2")
    settings = Settings(port=3)
    assert (settings.port, settings.mqtt_port) == (3, 2)


@pytest.mark.parametrize(
    "wrong", [{"port": 65536}, {"port": -1}, {"fleet": "Not A Fleet"}, {"silent_after_seconds": 0}]
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises((ValidationError, Exception), match=r"port|fleet|greater than 0"):
        Settings(**wrong)


def test_keys_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    first, again = open_keys(tmp_path / "keys", "default"), open_keys(tmp_path / "keys", "default")
    assert first.hub.public == again.hub.public
    assert first.release.public == again.release.public
    assert first.hub.public != first.release.public
    assert first.url_secret == again.url_secret
    assert first.authority.certificate == again.authority.certificate
    for path in (tmp_path / "keys").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


@pytest.mark.parametrize("content", ["", "rubbish", "abcd\n"])
def test_a_damaged_key_is_never_replaced_silently(tmp_path: Path, content: str) -> None:
    open_keys(tmp_path, "default")
    (tmp_path / "hub.key").write_text(content)
    with pytest.raises(CannotStart) as raised:
        open_keys(tmp_path, "default")
    assert raised.value.code == "keys-unusable"
    assert (tmp_path / "hub.key").read_text() == content


def test_a_key_that_was_half_written_when_the_hub_was_killed_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "hub.new").write_text("ab")
    assert open_keys(tmp_path, "default").hub.public == open_keys(tmp_path, "default").hub.public


def test_a_data_folder_has_one_hub_and_names_it(tmp_path: Path) -> None:
    first = DataFolder(tmp_path / "data")
    with pytest.raises(CannotStart) as raised:
        DataFolder(tmp_path / "data")
    assert raised.value.code == "data-folder-in-use"
    assert f"process {os.getpid()}" in raised.value.what
    first.close()
    DataFolder(tmp_path / "data").close()


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotStart) as raised:
        DataFolder(tmp_path / "file" / "data")
    assert raised.value.code == "data-folder-unusable"


def test_whereabouts_are_written_whole(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    assert folder.last_seen() is None
    here = Whereabouts("http://127.0.0.1:8420", "mqtt://127.0.0.1:8421", 7)
    folder.write_whereabouts(here)
    assert folder.last_seen() == here
    assert json.loads((tmp_path / "hub.json").read_text())["pid"] == 7
    for rubbish in ("", "{}", "[]", '{"url": 1, "more": 2}'):
        (tmp_path / "hub.json").write_text(rubbish)
        assert folder.last_seen() is None
    folder.close()


def test_a_taken_port_is_named_with_its_flag() -> None:
    with listen("127.0.0.1", 0, "--port") as other:
        port = other.getsockname()[1]
        with pytest.raises(CannotStart) as raised:
            listen("127.0.0.1", port, "--port")
    assert raised.value.code == "port-taken"
    assert str(port) in raised.value.what
    assert "--port" in raised.value.remedy


def test_an_address_of_another_machine_is_refused() -> None:
    for host in ("192.0.2.7", "no-such-host.invalid"):
        with pytest.raises(CannotStart) as raised:
            listen(host, 0, "--port")
        assert raised.value.code == "address-wrong"


def test_port_0_means_the_last_one_again_if_it_is_free() -> None:
    port = free_port("127.0.0.1", 0)
    assert free_port("127.0.0.1", 0, remembered=port) == port
    with socket.create_server(("127.0.0.1", port)):
        assert free_port("127.0.0.1", 0, remembered=port) not in (0, port)
    assert free_port("127.0.0.1", 4711) == 4711
