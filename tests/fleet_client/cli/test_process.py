"""`vedette` as a process: how fast and how light it starts, and that pipes and Ctrl-C end it quietly."""

import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

from tests.fakes.hub import Answer, FakeHub
from tests.fleet_client.documents import device, page, rollout

VEDETTE = [sys.executable, "-m", "fleet_client"]
HEAVY = {"fastapi", "sqlmodel", "sqlalchemy", "pydantic", "onnxruntime", "numpy", "rich", "cryptography"}


def imported_by(*arguments: str) -> set[str]:
    """The top-level packages that a run of the command imports."""
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "fleet_client", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in run.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def test_help_imports_no_http_and_no_contract_of_messages() -> None:
    found = imported_by("--help")
    assert "click" in found
    assert not found & {*HEAVY, "urllib3"}


@pytest.mark.parametrize(
    "arguments", [("devices", "list"), ("rollouts", "list"), ("lake", "tables"), ("models", "list")]
)
def test_a_command_imports_nothing_of_hub_or_agent(hub: FakeHub, arguments: tuple[str, ...]) -> None:
    hub.on("GET /api/v1/devices", page(device()))
    hub.on("GET /api/v1/rollouts", page(rollout()))
    hub.on("GET /api/v1/lake/tables", [])
    found = imported_by(*arguments)
    assert "urllib3" in found
    assert not found & {*HEAVY, "cloud_hub", "edge_agent", "models", "provisioning"}


def test_a_reader_that_leaves_ends_it_quietly(hub: FakeHub) -> None:
    hub.on("GET /api/v1/devices", page(*(device(f"d{n}") for n in range(2_000))))
    run = subprocess.Popen([*VEDETTE, "devices", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert run.stdout is not None
    assert run.stderr is not None
    run.stdout.readline()
    run.stdout.close()
    complaints = run.stderr.read()
    run.stderr.close()
    assert run.wait(90) == 141
    assert complaints == b""


def test_ctrl_c_ends_a_watch_quietly(hub: FakeHub) -> None:
    hub.on("GET /api/v1/events", Answer(b'data: ["devices"]\n\n', media_type="text/event-stream", owed=100))
    hub.on("GET /api/v1/devices", page(device()))
    run = subprocess.Popen([*VEDETTE, "devices", "list", "--watch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert run.stdout is not None
    assert b"device" in run.stdout.readline()
    run.send_signal(signal.SIGINT)
    _, complaints = run.communicate(timeout=90)
    assert run.returncode == 130
    assert complaints.strip() == b""


def on_a_terminal(*arguments: str) -> tuple[str, int]:
    """What the command writes when its output is a terminal, and its exit code."""
    ours, theirs = pty.openpty()
    run = subprocess.Popen(
        [*VEDETTE, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "200"},
    )
    os.close(theirs)
    text, deadline = b"", time.monotonic() + 90
    while time.monotonic() < deadline:
        if not select.select([ours], [], [], 0.1)[0]:
            continue
        try:
            chunk = os.read(ours, 65_536)
        except OSError:
            break
        if not chunk:
            break
        text += chunk
    os.close(ours)
    return text.decode(), run.wait(90)


def test_a_terminal_gets_a_table(hub: FakeHub) -> None:
    hub.on("GET /api/v1/devices", page(device("press-07"), device("press-08", presence="lost")))
    text, code = on_a_terminal("devices", "list")
    assert code == 0
    assert "\t" not in text
    assert "─" in text
    assert "\x1b[31mlost" in text, "what is bad is red"


def test_a_watched_list_on_a_terminal_is_drawn_on_a_fresh_screen(hub: FakeHub) -> None:
    shown = iter([rollout(), rollout("completed")])
    hub.on("GET /api/v1/events", Answer(b'data: ["rollouts"]\n\n', media_type="text/event-stream"))
    hub.on("GET /api/v1/rollouts/r1", lambda _: Answer(next(shown)))
    text, code = on_a_terminal("rollouts", "watch", "r1")
    assert code == 0
    assert text.count("\x1b[2J") == 2
    assert "completed" in text.rpartition("\x1b[2J")[2]


def test_an_empty_list_on_a_terminal_says_how_to_begin(hub: FakeHub) -> None:
    hub.on("GET /api/v1/devices", page())
    text, code = on_a_terminal("devices", "list")
    assert code == 0
    assert "vedette devices token" in text
