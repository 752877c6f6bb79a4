"""The command line against a real hub: what an operator types on a day with a new version."""

import json

import pytest

from tests.built import Digits
from tests.fleet.world import AgentFactory, Hub, eventually, vedette

pytestmark = pytest.mark.timeout(1200)


def test_an_operator_rolls_a_version_out_holds_one_and_takes_one_back(
    hub: Hub, agent: AgentFactory, digits: Digits
) -> None:
    one = agent("press-07", labels={"site": "lyon"})
    one.online()

    def ask(*arguments: str, code: int = 0) -> str:
        done = vedette(hub, *arguments)
        assert done.returncode == code, (arguments, done.stderr)
        return done.stdout

    assert "Registered digits version 1." in ask("models", "register", str(digits.good))
    assert json.loads(ask("models", "show", "digits", "1", "-o", "json"))["artifacts"][0]["accuracy"] > 0.95

    told = ask(
        "rollouts",
        "create",
        "digits",
        "1",
        "--soak",
        "1",
        "--minimum-records",
        "0",
        "--watch",
        "--policy",
        str(_gateless(one.state)),
    )
    assert told.splitlines()[-1].startswith("completed\t"), told
    one.runs("digits", 1)
    (found,) = json.loads(ask("devices", "list", "lyon", "--label", "site=lyon", "--running", "1", "-o", "json"))
    assert found["id"] == "press-07"
    assert found["models"][0]["running"]["version"] == 1
    assert "settled" in ask("devices", "show", "press-07")
    assert "joined" in ask("devices", "events", "press-07")
    assert "line=3" in ask("devices", "label", "press-07", "line=3", "site-")
    assert one.seen().labels == {"line": "3"}

    ask("models", "register", str(digits.worse))
    ask("rollouts", "create", "digits", "2", "--soak", "600", "--policy", str(_gateless(one.state)))
    ((rollout, *_),) = [line.split("\t") for line in ask("rollouts", "list", "--state", "running").splitlines()[1:]]
    one.runs("digits", 2)
    assert "paused" in ask("rollouts", "pause", rollout, "--reason", "lunch")
    assert "lunch" in ask("rollouts", "show", rollout)
    ask("rollouts", "pause", rollout, code=1)
    assert "running" in ask("rollouts", "resume", rollout)
    ask("rollouts", "abort", rollout, "--reason", "reads only 0 to 3")
    ask("rollouts", "watch", rollout, code=1)
    one.runs("digits", 1)
    decisions = ask("rollouts", "decisions", rollout)
    assert "reads only 0 to 3" in decisions
    assert "[aborted]" in decisions

    assert "windows\tdevice" in ask("lake", "tables")
    asked = "SELECT DISTINCT version FROM windows"
    eventually(lambda: (1,) in hub.client.lake.query(asked).rows, "what version 1 did is in the lake")
    rows = json.loads(
        ask("lake", "query", "SELECT version, sum(count) AS n FROM windows GROUP BY 1 ORDER BY 1", "-o", "json")
    )
    assert rows[0]["version"] == 1
    assert all(isinstance(row["n"], int) and row["n"] > 0 for row in rows)
    refused = vedette(hub, "lake", "query", "DROP TABLE windows")
    assert refused.returncode == 1
    assert json.loads(ask("version", "-o", "json"))["hub"]


def _gateless(folder: object) -> object:
    from pathlib import Path

    file = Path(str(folder)).parent / "policy.json"
    file.write_text('{"waves": [{"percent": 100}], "gates": {"errors": null, "predictions": null}}')
    return file
