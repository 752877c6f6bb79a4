"""The whole examination: of a device that is well, and of none at all."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_agent import identity
from edge_agent.cli import main
from edge_agent.join import _certificate_request, device_key
from edge_agent.state import StateFolder
from fleet_contract.join import Broker, Identity
from provisioning.pki import Authority, Request
from tests.fakes.hub import Answer, fake_hub
from tests.fakes.rumqttd import free_port, rumqttd

ROOT = Path(__file__).parents[3]


def device(folder: Path, hub: str, port: int) -> Path:
    """A device that has joined; its config."""
    state, authority, now = StateFolder(folder / "state"), Authority.make("default"), datetime.now(UTC)
    state.create()
    certificate = authority.sign_device(Request(_certificate_request(device_key(state))), "press-1", now)
    broker = Broker("127.0.0.1", port)
    who = Identity("default", "press-1", hub, broker, (), (), certificate, authority.certificate, "cpu-vnni", now)
    identity.save(state, who)
    (folder / "agent.toml").write_text('state_dir = "state"\n')
    return folder / "agent.toml"


def test_a_device_that_is_well_is_told_so_and_nothing_on_it_changes(tmp_path, capsys):
    port = free_port()
    with fake_hub() as hub, rumqttd(tmp_path, port):
        hub.on("GET /healthz", Answer(b"ok\n"))
        config = device(tmp_path, hub.url, port)
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "state").rglob("*")}
        assert main(["doctor", "--config", str(config)]) == 0
        assert {path: path.stat().st_mtime_ns for path in (tmp_path / "state").rglob("*")} == before
    text = capsys.readouterr().out
    assert "WRONG" not in text
    for about in ("config", "service", "state", "disk", "identity", "clock", "certificate", "hub", "broker", "runtime"):
        assert f" {about} " in text


def test_what_is_wrong_ends_with_one_and_programs_can_read_it(tmp_path, capsys):
    assert main(["doctor", "--json", "--config", str(tmp_path / "none.toml")]) == 1
    findings = json.loads(capsys.readouterr().out)
    assert {"about", "verdict", "sentence", "remedy"} == set(findings[0])
    assert findings[0]["about"] == "config"
    assert findings[0]["verdict"] == "wrong"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
def test_root_examines_with_the_rights_of_the_agents_user(tmp_path):
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    config = device(tmp_path, "http://127.0.0.1:1", 1)
    (tmp_path / "state").chmod(0o700)
    for path in (tmp_path / "state", *(tmp_path / "state").rglob("*")):
        os.chown(path, 4321, 4321)
    pictures = tmp_path / "pictures"
    pictures.mkdir(mode=0o755)
    with config.open("a") as file:
        file.write(f'[[sources]]\nkind = "folder"\nmodel = "digits"\npath = "{pictures}"\n')
    done = subprocess.run(
        [sys.executable, "-m", "edge_agent", "doctor", "--json", "--config", config],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    findings = {one["about"]: one for one in json.loads(done.stdout)}
    assert findings["identity"]["verdict"] == "ok"
    if "python" in findings:
        # A Python in root's own folder, which is no place for a gateway's.
        assert "may not read" in findings["python"]["sentence"]
        assert findings["source 0"]["verdict"] == "ok"
    else:
        assert findings["source 0"]["verdict"] == "wrong"
        assert "may not read and write" in findings["source 0"]["sentence"]
