"""The unit in a real systemd: booted, run in its sandbox, reloaded, wedged, killed and stopped."""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pytest

from edge_agent import identity
from edge_agent.join import _certificate_request, device_key
from edge_agent.state import StateFolder
from fleet_contract.join import Broker, Identity
from fleet_contract.report import Phase, Presence
from provisioning.pki import Authority, Request
from tests.edge_agent.test_agent import Hub
from tests.fakes.blob_server import serving
from tests.fakes.device import ADDRESS, HUB_KEY, RELEASE_KEY
from tests.fakes.rumqttd import free_port, rumqttd
from tests.fakes.tiny_models import a_build, images
from tests.fakes.waiting import until
from tests.live.gateway import PROVISIONING, SERVICE, Gateway

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]
CONFIG = """
heartbeat_seconds = 1
[telemetry]
window_seconds = 0.5
[[sources]]
kind = "replay"
model = "digits"
path = "replay.npz"
rate_per_second = 50
"""
#: So that tests need not wait as gateways do. All else is the unit's own.
QUICK = "[Service]\nRestartSec=0.2\n"
#: Only for those that hang: a busy machine may keep any agent from saying for so long that it is well.
WATCHED = f"{QUICK}WatchdogSec=4\n"
WEDGED = (
    "[Service]\nExecStart=\nEnvironment=PYTHONPATH=/opt/source\n"
    "ExecStart=/opt/vedette/bin/python -m tests.fakes.wedged_agent /etc/vedette/wedge run "
    "--config /etc/vedette/agent.toml\n"
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory) -> Iterator[Gateway]:
    """Booted, with the agent installed and joined to a fleet."""
    assert os.geteuid() == 0, "containers need root"
    # Not in pytest's own folder: nobody but its owner may look into that.
    gateway = Gateway(tmp_path_factory.mktemp("gateway"), f"vedette-{os.getpid()}")
    try:
        yield gateway
    finally:
        gateway.stop()


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def hub(gateway: Gateway, port: int, tmp_path_factory) -> Iterator[Hub]:
    """The fleet's side, which has ordered a model."""
    build = a_build(1)
    with serving() as server, rumqttd(tmp_path_factory.mktemp("broker"), port):
        server.blobs.update(build.blobs)
        state = StateFolder(gateway.root / "var" / "lib" / "vedette")
        state.create()
        now, keys = datetime.now(UTC), ((HUB_KEY.public,), (RELEASE_KEY.public,))
        authority = Authority.make(ADDRESS.fleet)
        certificate = authority.sign_device(Request(_certificate_request(device_key(state))), ADDRESS.device, now)
        broker, trusted = Broker("127.0.0.1", port), authority.certificate
        who = Identity(*ADDRESS, server.url, broker, *keys, certificate, trusted, "cpu-vnni", now)
        identity.save(state, who)
        gateway.run("chown", "--recursive", "vedette:vedette", "/var/lib/vedette")
        gateway.run("systemctl", "enable", SERVICE)
        gateway.write("/etc/vedette/agent.toml", CONFIG)
        np.savez(gateway.root / "etc" / "vedette" / "replay.npz", **{"inputs/image": images(50)})
        hub = Hub(port)
        hub.order(1, build)
        yield hub
        hub.close()


@pytest.fixture
def agent(gateway: Gateway, hub: Hub) -> Iterator[Gateway]:
    """The service, started, with the model at work. `drop_in` changes it."""
    start(gateway, hub)
    yield gateway
    gateway.run("systemctl", "stop", SERVICE)


def start(gateway: Gateway, hub: Hub, drop_in: str = QUICK) -> None:
    (gateway.root / "etc" / "vedette" / "wedge").unlink(missing_ok=True)
    gateway.write("/etc/vedette/agent.toml", CONFIG)
    gateway.write(f"/etc/systemd/system/{SERVICE}.d/test.conf", drop_in)
    gateway.run("systemctl", "daemon-reload")
    heard = len(hub.reports)
    gateway.run("systemctl", "start", SERVICE)
    until(lambda: at_work(hub, heard))


def at_work(hub: Hub, since: int) -> bool:
    """Whether a model answers, by a report that came after `since`."""
    reports = [one for one in hub.reports[since:] if one.presence is Presence.ONLINE]
    return bool(reports and reports[-1].models and reports[-1].models[0].phase is Phase.SETTLED)


def wedge(gateway: Gateway, how: str) -> None:
    gateway.write("/etc/vedette/wedge", how)


def restarts(gateway: Gateway) -> int:
    return int(gateway.show("NRestarts"))


def test_it_runs_as_nobody_special_in_its_sandbox_and_infers(agent, hub):
    assert agent.show("ActiveState") == "active"
    pid = agent.show("MainPID")
    status = agent.run("cat", f"/proc/{pid}/status")
    assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE)
    assert re.search(r"^Seccomp:\s+2$", status, re.MULTILINE)
    assert agent.run("stat", "--format=%U", f"/proc/{pid}") == "vedette"
    # ONNX Runtime answers in there, and what it says arrives.
    before = sum(hub.counted.values())
    until(lambda: sum(hub.counted.values()) > before + 50)
    assert "onnxruntime" in agent.run("cat", f"/proc/{pid}/maps")
    assert agent.run("stat", "--format=%a", "/run/vedette") == "750"
    # An application of the group asks the model; nobody else gets to the socket.
    ask = ("curl", "--silent", "--unix-socket", "/run/vedette/vedette.sock", "http://gateway/v2/models/digits")
    assert '"name":"digits"' in agent.run(*ask, user="vedette").replace(" ", "")
    assert agent.run(*ask, user="nobody", check=False) == ""
    # What the sandbox leaves is enough to make memory for it.
    made = agent.run(
        *ask[:-1],
        "--data",
        '{"byte_size": 65536}',
        "http://gateway/v2/systemsharedmemory/region/r/create",
        user="vedette",
    )
    assert json.loads(made) == {"name": "r", "key": "", "offset": 0, "byte_size": 65536}


def test_the_doctor_finds_nothing_wrong_and_says_what_is_when_it_is_stopped(agent, hub):
    doctor = ("/opt/vedette/bin/vedette-agent", "doctor", "--json")
    findings = {one["about"]: one for one in json.loads(agent.run(*doctor))}
    assert {about for about, one in findings.items() if one["verdict"] == "wrong"} == set(), findings
    assert findings["service"]["sentence"] == "vedette-agent.service runs as vedette."
    assert findings["model digits"]["sentence"] == "settled, version 1 runs."
    agent.run("systemctl", "stop", SERVICE)
    findings = {one["about"]: one for one in json.loads(agent.run(*doctor, check=False))}
    assert findings["service"]["verdict"] == "wrong"
    assert "inactive" in findings["service"]["sentence"]


def test_a_reload_is_followed_and_a_wrong_one_is_refused_while_the_agent_goes_on(agent, hub):
    pid = agent.show("MainPID")
    agent.write("/etc/vedette/agent.toml", CONFIG + "[serving]\ntcp_port = 8431\n")
    agent.run("systemctl", "reload", SERVICE)
    hub.said(lambda one: any(trouble.code == "restart-needed" for trouble in one.troubles))
    agent.write("/etc/vedette/agent.toml", "heartbeat_seconds = 'often'")
    agent.run("systemctl", "reload", SERVICE)
    hub.said(lambda one: any(trouble.code == "config-wrong" for trouble in one.troubles))
    before = sum(hub.counted.values())
    until(lambda: sum(hub.counted.values()) > before + 50)
    agent.write("/etc/vedette/agent.toml", CONFIG)
    agent.run("systemctl", "reload", SERVICE)
    hub.said(lambda one: not one.troubles)
    until(lambda: agent.show("ActiveState") == "active")
    assert agent.show("MainPID") == pid


def test_it_stops_within_five_seconds_and_says_goodbye(agent, hub):
    began = time.monotonic()
    agent.run("systemctl", "stop", SERVICE)
    assert time.monotonic() - began < 5
    assert agent.show("Result") == "success"
    hub.said(lambda one: one.presence is Presence.CLOSING)


def test_on_a_disk_that_may_only_be_read_it_starts_infers_and_says_so(agent, hub):
    agent.run("systemctl", "stop", SERVICE)
    heard, state = len(hub.reports), "/var/lib/vedette"
    # As Linux does after errors of the disk.
    agent.run("mount", "--bind", state, state)
    agent.run("mount", "--options", "remount,bind,ro", state)
    try:
        agent.run("systemctl", "start", SERVICE)
        until(lambda: at_work(hub, heard))
        hub.said(lambda one: any(trouble.code == "disk-failed" for trouble in one.troubles))
        ask = (
            "curl",
            "--silent",
            "--unix-socket",
            "/run/vedette/vedette.sock",
            "http://gateway/v2/models/digits/ready",
        )
        assert agent.run(*ask, "--write-out", "%{http_code}", user="vedette").endswith("200")
        agent.run("systemctl", "stop", SERVICE)
        assert agent.show("Result") == "success"
    finally:
        agent.run("umount", state)


def test_one_that_is_killed_is_back_at_once(agent, hub):
    heard, before = len(hub.reports), restarts(agent)
    agent.run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", SERVICE)
    until(lambda: restarts(agent) == before + 1)
    until(lambda: at_work(hub, heard))


def test_one_that_is_stopped_from_outside_trips_the_watchdog_and_is_back(gateway, hub):
    start(gateway, hub, WATCHED)
    heard, before = len(hub.reports), restarts(gateway)
    gateway.run("systemctl", "kill", "--signal=STOP", "--kill-whom=main", SERVICE)
    until(lambda: restarts(gateway) > before)
    assert "Watchdog timeout" in gateway.run("journalctl", "--no-pager", "_PID=1")
    until(lambda: at_work(hub, heard))
    gateway.run("systemctl", "stop", SERVICE)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        # The loop that attends notices, ends what can be ended, and has systemd end the rest.
        ("asleep", "source-0 has been stuck"),
        # Nothing of ours runs any more: it is systemd's watchdog that notices.
        ("holding", "Fatal Python error: Aborted"),
    ],
)
def test_an_inference_that_hangs_trips_the_watchdog(gateway, hub, how, said):
    start(gateway, hub, WATCHED + WEDGED)
    heard, before, journal = len(hub.reports), restarts(gateway), gateway.journal()
    wedge(gateway, how)
    until(lambda: restarts(gateway) > before)
    (gateway.root / "etc" / "vedette" / "wedge").unlink()
    until(lambda: at_work(hub, heard))
    told = gateway.journal().removeprefix(journal)
    assert said in told
    assert "tests/fakes/wedged_agent.py" in told, "where it hung is told"
    gateway.run("systemctl", "stop", SERVICE)


def test_the_unit_exposes_little(gateway):
    unit = PROVISIONING / SERVICE
    said = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", str(unit)], capture_output=True, text=True, check=False
    ).stdout
    level = float(re.search(r"Overall exposure level for \S+: ([\d.]+)", said)[1])
    assert level <= 1.5, said
    assert gateway.run("systemd-analyze", "verify", f"/etc/systemd/system/{SERVICE}") == ""
