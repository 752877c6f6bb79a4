"""What the command line understands; and the way that the unit starts the agent, which has a shortcut."""

from pathlib import Path

import pytest

from edge_agent import cli
from edge_agent.arguments import DEFAULT_CONFIG, parse
from tests.edge_agent.test_light import ROOT, modules_after

AS_THE_UNIT_DOES = ["run", "--config", "/etc/vedette/agent.toml"]


def test_the_shortcut_gives_what_the_parser_gives() -> None:
    assert cli._options(AS_THE_UNIT_DOES) == parse(AS_THE_UNIT_DOES)


def test_the_unit_and_the_image_start_the_agent_by_the_shortcut() -> None:
    unit = (ROOT / "provisioning/systemd/vedette-agent.service").read_text()
    assert f"/vedette-agent {' '.join(AS_THE_UNIT_DOES)}\n" in unit
    assert str(AS_THE_UNIT_DOES).replace("'", '"') in (ROOT / "Dockerfile.edge").read_text()
    loaded = modules_after(f"from edge_agent import cli; cli._options({AS_THE_UNIT_DOES})")
    assert not loaded & {"argparse", "gettext", "locale"}


@pytest.mark.parametrize(
    ("arguments", "log_level"),
    [
        (["run", "--config=a.toml"], None),
        (["run", "--config", "a.toml", "--log-level", "debug"], "debug"),
        (["run", "--log-level", "info", "--config", "a.toml"], "info"),
    ],
)
def test_other_ways_to_say_it(arguments: list[str], log_level: str | None) -> None:
    options = cli._options(arguments)
    assert (options.command, options.config, options.log_level) == ("run", Path("a.toml"), log_level)


@pytest.mark.parametrize(
    "arguments",
    [[], ["run"], ["run", "--config"], ["run", "--config", "--log-level"], ["run", "--config", "a", "b"], ["fly"]],
)
def test_a_wrong_call_says_how_it_goes(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage: vedette-agent" in capsys.readouterr().err


def test_each_command_is_there_and_has_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    for command in cli._COMMANDS:
        with pytest.raises(SystemExit) as ended:
            cli.main([command, "--help"])
        assert ended.value.code == 0
        assert f"usage: vedette-agent {command}" in capsys.readouterr().out
    assert parse(["doctor"]).config == DEFAULT_CONFIG
