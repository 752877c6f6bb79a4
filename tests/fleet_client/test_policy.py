"""What a person writes becomes the policy that the hub reads."""

from pathlib import Path

import pytest

from fleet_client.errors import PolicyWrong
from fleet_client.policy import policy_of, read_policy


def test_nothing_given_is_nothing_sent_so_that_the_hubs_defaults_hold() -> None:
    assert policy_of({}, (), (), (), {"soak_seconds": None, "on_stop": None}) == {}


def test_waves_are_devices_or_shares() -> None:
    assert policy_of({}, ("1", "12.5%", "100%"), (), (), {})["waves"] == [
        {"devices": 1},
        {"percent": 12.5},
        {"percent": 100.0},
    ]


def test_what_is_given_goes_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "careful.json"
    file.write_text('{"soak_seconds": 900, "on_stop": "pause", "selector": "target = cpu-avx2 or has tpu"}')
    policy = policy_of(read_policy(file), (), ("site=lyon", "line=3=b"), (), {"soak_seconds": 0.0})
    assert policy == {
        "soak_seconds": 0.0,
        "on_stop": "pause",
        "selector": '(target = cpu-avx2 or has tpu) and site = lyon and line = "3=b"',
    }


@pytest.mark.parametrize("wave", ["", "%", "some", "1.5", "x%"])
def test_what_is_no_wave_says_how_to_write_one(wave: str) -> None:
    with pytest.raises(PolicyWrong, match="50%"):
        policy_of({}, (wave,), (), (), {})


@pytest.mark.parametrize("label", ["site", "=lyon", "site="])
def test_what_is_no_label_says_how_to_write_one(label: str) -> None:
    with pytest.raises(PolicyWrong, match="key=value"):
        policy_of({}, (), (label,), (), {})


def test_a_file_that_is_missing_or_no_json_object_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("[1]")
    for file in (tmp_path / "nowhere.json", broken):
        with pytest.raises(PolicyWrong, match=str(file)):
            read_policy(file)
