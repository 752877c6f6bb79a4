"""Rollouts in files on the command line: what is sent, what is printed, and with which exit code it ends."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from fleet_client.cli.main import main
from tests.fakes.hub import Answer, FakeHub
from tests.fleet_client.documents import rollout

Captured = pytest.CaptureFixture[str]
DIFF = "--- digits-v2-0a1b2c (running)\n+++ rollout.yaml\n@@ -1 +1 @@\n-  version: 2\n+  version: 3\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rollout.yaml").write_text("kind: Rollout\n")
    return tmp_path


def difference(change: str, diff: str = "") -> dict[str, Any]:
    sentence = "digits has changed: a rollout starts." if diff else "digits has not changed."
    one = {"file": "rollout.yaml", "kind": "Rollout", "name": "digits"}
    changes = one | {"change": change, "diff": diff, "sentence": sentence}
    return {"differs": change != "none", "seen": "3f0c6b1e", "manifests": [changes]}


def applied(outcome: str) -> dict[str, Any]:
    one = {"file": "rollout.yaml", "kind": "Rollout", "name": "digits", "outcome": outcome, "rollout": rollout()}
    return {"manifests": [one | {"sentence": "digits is new: digits-v2-0a1b2c has started."}]}


def wrong() -> Answer:
    fault = {
        "where": "spec.soak_seconds",
        "what": "Input should be greater than or equal to 0, and is -5.",
        "file": "rollout.yaml",
        "line": 12,
        "column": 5,
        "excerpt": "    soak_seconds: -5",
    }
    body = {"status": 422, "detail": "x", "code": "manifest-wrong", "remedy": "Correct these lines.", "errors": [fault]}
    return Answer(body, 422, "application/problem+json")


@pytest.mark.parametrize(
    ("name", "said"),
    [("nothere.yaml", "Name a file, a folder, or - for"), ("binary.yaml", "Save it as"), ("empty", "Name the files")],
)
def test_what_cannot_be_read_is_told_with_what_to_do(
    hub: FakeHub, capsys: Captured, here: Path, name: str, said: str
) -> None:
    (here / "binary.yaml").write_bytes(b"\x00\xff")
    (here / "empty").mkdir()
    assert main(["rollouts", "diff", "-f", name]) == 2
    told = capsys.readouterr().err
    assert "[manifest-unreadable]" in told
    assert said in told
    assert hub.asked == []


@pytest.mark.parametrize(("change", "diff", "code"), [("none", "", 0), ("changed", DIFF, 1), ("new", DIFF, 1)])
def test_a_difference_is_printed_and_is_the_exit_code(
    hub: FakeHub, capsys: Captured, here: Path, change: str, diff: str, code: int
) -> None:
    hub.on("POST /api/v1/manifests/diff", difference(change, diff))
    assert main(["rollouts", "diff", "-f", "rollout.yaml"]) == code
    said = capsys.readouterr()
    assert said.out == diff, "a program can take it as a patch"
    assert said.err.startswith("digits has ")
    assert ("--seen 3f0c6b1e" in said.err) == bool(code)
    assert hub.asked[0].json == {"files": [{"name": "rollout.yaml", "text": "kind: Rollout\n"}], "again": False}


def test_a_file_whose_name_is_no_text_is_read_all_the_same(hub: FakeHub, here: Path) -> None:
    (here / "caf\udce9.yaml").write_text("kind: Rollout\n")
    hub.on("POST /api/v1/manifests/diff", difference("none"))
    assert main(["rollouts", "diff", "-f", "caf\udce9.yaml"]) == 0
    assert hub.asked[0].json["files"] == [{"name": "caf\ufffd.yaml", "text": "kind: Rollout\n"}]


@pytest.mark.parametrize(("flags", "command"), [([], "apply"), (["--again"], "create")])
def test_what_diff_told_is_what_is_done(
    hub: FakeHub, capsys: Captured, here: Path, flags: list[str], command: str
) -> None:
    hub.on("POST /api/v1/manifests/diff", difference("none") | {"differs": True})
    hub.on("POST /api/v1/manifests/apply", applied("created"))
    assert main(["rollouts", "diff", "-f", "rollout.yaml", *flags]) == 1
    assert f"`vedette rollouts {command} --seen 3f0c6b1e` does this, or nothing." in capsys.readouterr().err
    assert main(["rollouts", command, "-f", "rollout.yaml", "--seen", "3f0c6b1e"]) == 0
    asked, done = hub.asked
    assert asked.json["again"] == done.json["again"] == bool(flags)
    assert done.headers["If-Match"] == '"3f0c6b1e"'


def test_a_mark_goes_with_a_manifest(hub: FakeHub, capsys: Captured) -> None:
    assert main(["rollouts", "create", "digits", "1", "--seen", "3f0c6b1e"]) == 2
    assert "--seen goes with --file" in capsys.readouterr().err
    assert hub.asked == []


@pytest.mark.parametrize("mark", ["\u20ac", "a\nb"])
def test_a_mark_that_nothing_can_carry_is_told(hub: FakeHub, capsys: Captured, here: Path, mark: str) -> None:
    assert main(["rollouts", "apply", "-f", "rollout.yaml", "--seen", mark]) == 1
    assert "What was seen has characters that no header can carry." in capsys.readouterr().err
    assert hub.asked == []


def test_nothing_points_beyond_what_is_shown_of_a_line(hub: FakeHub, capsys: Captured, here: Path) -> None:
    body = wrong().body
    body["errors"][0]["column"] = 90_000
    hub.on("POST /api/v1/manifests/diff", Answer(body, 422, "application/problem+json"))
    assert main(["rollouts", "diff", "-f", "rollout.yaml"]) == 2
    assert len(capsys.readouterr().err) < 1_000


def test_what_is_wrong_is_told_at_its_line_and_ends_with_more_than_1(
    hub: FakeHub, capsys: Captured, here: Path
) -> None:
    hub.on("POST /api/v1/manifests/diff", wrong())
    assert main(["rollouts", "diff", "-f", "rollout.yaml"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "rollout.yaml:12:5: spec.soak_seconds: Input should be greater than or equal to 0, and is -5.\n"
        "  12 |     soak_seconds: -5\n"
        "     |     ^\n"
        "Error: 1 fault. [manifest-wrong]\n"
        "  Correct these lines.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-f", "none.yaml"], "Cannot read none.yaml: No such file"),
        (["-f", "empty"], "The folder empty holds no file"),
        (["-f", "rollout.yaml", "--hub", "http://127.0.0.1:9"], "No hub answers"),
        (["-f", "rollout.yaml", "--hub", "nonsense"], "is not the address of a hub"),
        ([], "Name a manifest with --file FILE"),
    ],
)
def test_no_failure_of_diff_looks_like_a_difference(
    hub: FakeHub, capsys: Captured, here: Path, arguments: list[str], said: str
) -> None:
    (here / "empty").mkdir()
    assert main(["rollouts", "diff", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_folder_and_standard_input_are_sent_at_once(
    hub: FakeHub, capsys: Captured, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = here / "all"
    folder.mkdir()
    for name in ("b.yaml", "a.yml", "notes.txt"):
        (folder / name).write_text(f"# {name}\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("kind: Rollout\n"))
    hub.on("POST /api/v1/manifests/apply", applied("created"))
    assert main(["rollouts", "apply", "-f", "all", "-f", "-"]) == 0
    assert [one["name"] for one in hub.asked[0].json["files"]] == ["all/a.yml", "all/b.yaml", "<stdin>"]
    assert hub.asked[0].json["again"] is False
    assert capsys.readouterr().out.startswith("created\tRollout\tdigits\tdigits-v2-0a1b2c\tdigits is new")


def test_what_is_wrong_starts_nothing_and_fails(hub: FakeHub, capsys: Captured, here: Path) -> None:
    hub.on("POST /api/v1/manifests/apply", wrong())
    assert main(["rollouts", "apply", "-f", "rollout.yaml"]) == 1
    assert "rollout.yaml:12:5: " in capsys.readouterr().err


def test_create_starts_what_a_manifest_says_also_when_it_has_not_changed(
    hub: FakeHub, capsys: Captured, here: Path
) -> None:
    hub.on("POST /api/v1/manifests/apply", applied("created"))
    assert main(["rollouts", "create", "-f", "rollout.yaml", "-o", "json"]) == 0
    assert hub.asked[0].json["again"] is True
    assert json.loads(capsys.readouterr().out)[0]["outcome"] == "created"


@pytest.mark.parametrize("more", [["digits", "2"], ["--soak", "5"], ["--shadow"], ["--wave", "1"]])
def test_a_manifest_says_all_and_options_say_nothing_beside_it(
    hub: FakeHub, capsys: Captured, here: Path, more: list[str]
) -> None:
    assert main(["rollouts", "create", "-f", "rollout.yaml", *more]) == 2
    assert "the manifest says all" in capsys.readouterr().err
    assert hub.asked == []


def test_create_wants_a_version_or_a_manifest(hub: FakeHub, capsys: Captured) -> None:
    assert main(["rollouts", "create", "digits"]) == 2
    assert "or a manifest with --file FILE" in capsys.readouterr().err


def test_one_rollout_can_be_watched_and_two_cannot(hub: FakeHub, capsys: Captured, here: Path) -> None:
    two = difference("new", DIFF)
    hub.on("POST /api/v1/manifests/diff", two | {"manifests": two["manifests"] * 2})
    assert main(["rollouts", "create", "-f", "rollout.yaml", "--watch"]) == 2
    assert "these are 2" in capsys.readouterr().err
    hub.on("POST /api/v1/manifests/diff", two)
    hub.on("POST /api/v1/manifests/apply", applied("created"))
    hub.on("GET /api/v1/events", Answer(b'data: ["rollouts"]\n\n', media_type="text/event-stream"))
    hub.on("GET /api/v1/rollouts/digits-v2-0a1b2c", rollout("completed"))
    assert main(["rollouts", "create", "-f", "rollout.yaml", "--watch"]) == 0


def test_the_schema_is_printed_as_json(hub: FakeHub, capsys: Captured) -> None:
    hub.on("GET /api/v1/schemas/rollout.json", {"title": "RolloutManifest"})
    assert main(["rollouts", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == {"title": "RolloutManifest"}
