"""`vedette rollouts simulate`, as a person and a program call it."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cloud_hub.simulation.command import main

POLICY = """\
waves:
  - devices: 7
  - percent: 100
rate: null
"""
MANIFEST = """\
apiVersion: vedette/v1
kind: Rollout
metadata: {name: digits}
spec: {model: digits, version: 2, rate: null, waves: [{devices: 7}, {percent: 100}]}
"""


def test_a_bad_version_is_told_with_its_exposure_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "bad.svg"
    code = main(["--devices", "2000", "--failure-rate", "50%", "--seed", "3", "--svg", str(picture)])
    told = capsys.readouterr().out
    assert code == 0
    assert "Stopped after" in told
    assert "stopping it is right, and 0.0 % of the runs missed it" in told
    assert max(len(line) for line in told.splitlines() if "│" in line or "┤" in line) <= 80
    drawn = ElementTree.parse(picture).getroot()
    assert drawn.attrib["aria-label"].startswith("Reverted: ")
    assert "stopped" in [one.text for one in drawn.iter("{http://www.w3.org/2000/svg}text")]


@pytest.fixture
def policy(tmp_path: Path) -> str:
    """The name of a file with one that is soon through."""
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY.replace("rate: null", "rate: {devices_per_minute: 500}"))
    return str(path)


def test_a_program_gets_the_same_as_json(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([policy, "--devices", "200", "--runs", "2", "-o", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["summary"]["runs"] == len(answer["runs"]) == 2
    assert answer["summary"]["false_stops"] == 0
    assert answer["scenario"]["devices"] == 200
    # 2 % never come, and who is away is offered nothing.
    assert 190 <= answer["points"][-1]["offered"] < 200


def test_several_runs_are_told_as_a_distribution(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([policy, "--devices", "100", "--runs", "3"]) == 0
    told = capsys.readouterr().out
    assert "3 runs" in told
    assert "hours to complete" in told
    assert "a stop is false, and 0.0 % of the runs had one" in told


@pytest.mark.parametrize("text", [POLICY, MANIFEST], ids=["alone", "manifest"])
def test_a_policy_from_a_file_is_what_is_played(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    other = tmp_path / "policy.yaml"
    other.write_text(text)
    assert main([str(other), "--devices", "100", "-o", "json"]) == 0
    assert 7 in [point["offered"] for point in json.loads(capsys.readouterr().out)["points"]]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("soak_seconds: 60\nwave: []\n", "policy.yaml:2:1: wave: There is no field 'wave' here. Did you mean 'waves'?"),
        ("soak_seconds: -1\n", "policy.yaml:1:1: soak_seconds: "),
        ("waves: [\n", "policy.yaml:2:1: This is not YAML"),
    ],
)
def test_what_is_no_policy_is_refused_at_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(text)
    assert main([str(policy)]) == 1
    assert says in capsys.readouterr().err


def test_a_file_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nowhere.yaml"]) == 1
    assert "Cannot read the policy nowhere.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("share", ["120%", "-1", "much"])
def test_what_is_no_share_is_refused(share: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--error-rate", share]) == 2
    assert "5% or 0.05" in capsys.readouterr().err


def test_help_teaches_by_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "vedette rollouts simulate policy" in capsys.readouterr().out
