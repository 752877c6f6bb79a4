"""The demo's story is true: told by `vedette demo --exit`, and checked on what it leaves behind."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.world import PATIENCE_SECONDS, Hub, eventually

pytestmark = pytest.mark.timeout(900)
DEMO = [sys.executable, "-m", "fleet_client", "demo"]


def processes_of(folder: Path) -> list[str]:
    """Command lines of processes that name `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line and "fleet_client demo" not in line:
            found.append(line)
    return found


@pytest.mark.timeout(1500)
def test_a_newcomer_sees_the_story_and_it_is_true(tmp_path: Path, hubs: Callable[..., Hub]) -> None:
    data = tmp_path / "demo"
    started = time.monotonic()
    run = subprocess.run(
        [*DEMO, "--exit", "-o", "json", "--data", str(data), "--port", "0"],
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    seconds = time.monotonic() - started
    assert run.returncode == 0, run.stderr
    summary = json.loads(run.stdout)
    assert summary["ok"]
    assert len(summary["claims"]) >= 12
    assert all(claim["holds"] for claim in summary["claims"])
    assert summary["seconds"] <= seconds
    assert "Wave 3 of 3" in run.stderr, "the story is told on the way"
    assert processes_of(data) == [], "nothing is left running"

    _left_behind(summary, hubs(data=data / "hub"))


def _left_behind(summary: dict[str, Any], hub: Hub) -> None:
    """The facts of the story, read by another hub from what the first one wrote."""
    client = hub.client
    devices = {device.id: device for device in client.devices.all()}
    assert len(devices) == 6
    assert {device.labels["site"] for device in devices.values()} == {"lyon", "graz", "oulu"}
    assert {device.target for device in devices.values()} == {"cpu-vnni", "cpu-avx2"}
    assert {device.presence for device in devices.values()} == {"closing"}, "each agent said goodbye"
    for device in devices.values():
        model = device.model("digits")
        assert model is not None
        assert model.wanted is not None
        assert model.running is not None
        assert (model.wanted.version, model.phase, model.running.version) == (1, "settled", 1), "until it left"

    second, first = client.rollouts.page(model="digits").items
    assert (first.version, first.state, first.counts.succeeded) == (1, "completed", 6)
    assert (second.version, second.state) == (2, "reverted")
    offered = [decision.counts.offered for decision in reversed(client.rollouts.decisions(first.id, limit=500).items)]
    assert offered == sorted(offered)
    assert {2, 3, 6} <= set(offered), "a canary of each hardware target, half, all"
    assert second.because.code in ("gate-predictions-failed", "gate-accuracy-failed")
    moved = re.search(r"a (?:shift|rise) of ([\d.]+) points", second.because.sentence)
    assert moved is not None
    assert float(moved.group(1)) > 15

    canary = "SELECT DISTINCT device FROM windows WHERE version = 2"
    assert 1 <= len(client.lake.query(canary).rows) <= 2
    counted = "SELECT count(*), count(DISTINCT (device, boot, sequence)), count(DISTINCT device) FROM windows"
    ((windows, names, reporting),) = client.lake.query(counted).rows
    assert windows == names
    assert reporting == 6
    per_window = "SELECT max(abs(count - list_sum(map_values(predictions)))) FROM windows WHERE errors = 0"
    assert client.lake.query(per_window).rows[0][0] == 0, "each record is one prediction"
    told = {(row[0], row[1]): row[2] for row in summary["rows"]}
    stored = client.lake.query("SELECT device, version, sum(count) FROM windows GROUP BY ALL").rows
    assert all(count >= told[(device, version)] for device, version, count in stored), "nothing told was lost"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_it_is_ended_nothing_is_left_running_and_a_taken_port_is_no_obstacle(
    tmp_path: Path, how: signal.Signals
) -> None:
    data, log = tmp_path / "demo", tmp_path / "out"
    with socket.socket() as other, log.open("w") as out:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        run = subprocess.Popen(
            [*DEMO, "--data", str(data), "--port", str(taken)],
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        found = eventually(lambda: re.search(r"console: http://127\.0\.0\.1:(\d+)", log.read_text()), "the hub is up")
    assert int(found.group(1)) != taken
    assert processes_of(data), "the hub runs"
    run.send_signal(how)
    run.wait(PATIENCE_SECONDS)
    eventually(lambda: processes_of(data) == [], "all of its children are gone")
    assert "Traceback" not in log.read_text()
    if how is not signal.SIGKILL:
        assert run.returncode == 130


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    run = subprocess.run(
        [*DEMO, "--data", str(tmp_path)], capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
    )
    assert run.returncode == 1
    assert "is not empty" in run.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["diary.txt"]


def test_when_a_part_fails_the_demo_says_which_and_shows_its_log(tmp_path: Path) -> None:
    data, log = tmp_path / "demo", tmp_path / "out"
    with log.open("w") as out:
        run = subprocess.Popen([*DEMO, "--data", str(data), "--port", "0"], stdout=out, stderr=subprocess.STDOUT)
    eventually(lambda: "Join 6 devices" in log.read_text(), "the hub is up")
    (hub,) = [
        int(one) for one in (path.name for path in Path("/proc").iterdir()) if one.isdigit() and _is_hub(int(one), data)
    ]
    os.kill(hub, signal.SIGKILL)
    assert run.wait(PATIENCE_SECONDS) == 1
    told = log.read_text()
    assert "The demo failed" in told
    assert "Traceback" not in told
    assert str(data / "logs") in told


def _is_hub(pid: int, data: Path) -> bool:
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"cloud_hub" in line and str(data / "hub").encode() in line
