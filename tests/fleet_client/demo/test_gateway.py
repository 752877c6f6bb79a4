"""The demo's devices, their configs and the ports they are reached at."""

import socket
import tomllib
from pathlib import Path

import pytest

from fleet_client.demo.gateway import TARGETS, fleet_of
from fleet_client.demo.programs import free_port


@pytest.mark.parametrize("count", [2, 6, 50])
def test_each_device_has_a_name_of_its_own_and_both_targets_are_there(tmp_path: Path, count: int) -> None:
    fleet = fleet_of(count, tmp_path)
    assert len({gateway.name for gateway in fleet}) == count
    assert len({(gateway.labels["site"], gateway.labels["line"]) for gateway in fleet}) == count
    assert {gateway.target for gateway in fleet} == set(TARGETS)


def test_no_site_and_no_line_has_one_target_only(tmp_path: Path) -> None:
    fleet = fleet_of(6, tmp_path)
    for label in ("site", "line"):
        for value in {gateway.labels[label] for gateway in fleet}:
            assert {g.target for g in fleet if g.labels[label] == value} == set(TARGETS)


def test_the_config_is_toml_that_names_the_images(tmp_path: Path) -> None:
    gateway = fleet_of(2, tmp_path)[1]
    gateway.configure(tmp_path / "images.npz", seed=3)
    config = tomllib.loads(gateway.config.read_text())
    assert config["target"] == gateway.target
    assert config["sources"][0] | {"rate_per_second": 1} == {
        "kind": "replay",
        "model": "digits",
        "path": str(tmp_path / "images.npz"),
        "rate_per_second": 1,
        "seed": 3,
    }


def test_the_usual_port_is_taken_when_it_is_free_and_another_when_it_is_not() -> None:
    usual = free_port()
    assert free_port(usual) == usual
    with socket.socket() as other:
        other.bind(("127.0.0.1", usual))
        other.listen()
        assert free_port(usual) not in (0, usual)
